"""The postgres connector against a real PostgreSQL."""
