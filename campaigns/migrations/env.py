"""Alembic's entry: runs the migrations on the connection that `upgrade` hands over."""

from alembic import context
from sqlmodel import SQLModel

from campaigns.migrations import tables

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=SQLModel.metadata,
    transactional_ddl=True,
    render_as_batch=False,
    compare_type=True,
    include_object=lambda obj, name, type_, reflected, compare_to: tables.is_ours(name, type_),
)
with context.begin_transaction():
    context.run_migrations()
