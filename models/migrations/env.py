"""Alembic's entry: runs the versions on the connection that `models.migrations` hands over."""

from alembic import context

from models.tables import Tenant

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Tenant.metadata, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
