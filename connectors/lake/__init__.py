"""Finds and removes people's records in files that hold many people's: JSON Lines, CSV, Parquet. Knows no store."""
