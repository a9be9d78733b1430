"""Parts of the postgres connector that need no database."""
