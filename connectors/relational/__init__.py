"""One person's records in a relational database: what every dialect shares.

catalogue (what the database says) + declaration (what it can't know) -> model -> compiler (SQL) -> locate, export,
erase, verify. A kind of database adds a dialect (how it writes SQL) and a session (how it runs it).
"""
