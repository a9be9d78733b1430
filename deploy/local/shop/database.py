"""The shop's database: 714,000 rows about 20,489 customers, the same on every machine, in some three seconds."""

import secrets
from importlib import resources

import asyncpg

from deploy.local.postgres import Cluster

TEMPLATE = "shop_template_1"
"""Made once in a cluster and then cloned. Change the number with the SQL files."""

CONNECTOR_ROLE = "acme_dsr"
"""What the connector signs in as: it may read, change and remove rows, and keep its journal; it owns nothing else."""

_FILES = ("tables", "partitions", "crowd", "known", "constraints")


async def create_shop(cluster: Cluster, name: str) -> str:
    """Makes the database `name`, anew if it exists. Returns the superuser's DSN."""
    if not cluster.has_database(TEMPLATE):
        unfinished = f"{TEMPLATE}_{secrets.token_hex(4)}"
        await fill(cluster.create_database(unfinished))
        cluster.rename_database(unfinished, TEMPLATE)
    cluster.drop_database(name)
    return cluster.create_database(name, template=TEMPLATE)


async def create_connector_role(dsn: str, password: str) -> None:
    """Lets the connector's role into the database at `dsn`, with this password."""
    connection = await asyncpg.connect(dsn)
    try:
        # SQL has no parameters where a role is created: the server quotes the password itself.
        secret = await connection.fetchval("SELECT quote_literal($1::text)", password)
        database = await connection.fetchval("SELECT quote_ident(current_database())")
        role = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", CONNECTOR_ROLE)
        await connection.execute(f"{'ALTER' if role else 'CREATE'} ROLE {CONNECTOR_ROLE} LOGIN PASSWORD {secret}")
        await connection.execute(f"GRANT CONNECT, TEMPORARY, CREATE ON DATABASE {database} TO {CONNECTOR_ROLE}")
        await connection.execute(f"GRANT SELECT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {CONNECTOR_ROLE}")
    finally:
        await connection.close()


async def fill(dsn: str) -> None:
    """Fills an empty database."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            for name in _FILES:
                sql = resources.files(__package__).joinpath("sql", f"{name}.sql").read_text()
                if name == "partitions":
                    sql = ";\n".join([row[0] for row in await connection.fetch(sql)])
                await connection.execute(sql)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()
