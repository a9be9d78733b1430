"""Trials of the mysql connector against a MariaDB of their own."""
