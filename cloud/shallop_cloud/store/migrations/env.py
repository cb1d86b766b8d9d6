"""What Alembic runs: migrations on the connection that the database hands over."""

import alembic.context
from shallop_cloud.store import tables

connection = alembic.context.config.attributes["connection"]
alembic.context.configure(connection=connection, target_metadata=tables.metadata, render_as_batch=True)
with alembic.context.begin_transaction():
    alembic.context.run_migrations()
