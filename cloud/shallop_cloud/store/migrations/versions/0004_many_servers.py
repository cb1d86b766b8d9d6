"""Many servers on one database: who holds the link, which key signs, and texts that compare by their bytes"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("holder", sa.String(128), nullable=False),
        sa.Column("term", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("connected", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    op.create_table(
        "signing_key",
        sa.Column("id", sa.Integer(), autoincrement=False),
        sa.Column("keyid", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_signing_key"),
        sa.CheckConstraint("id = 1", name="only_one"),
    )
    if op.get_bind().dialect.name == "postgresql":
        _compare_bytes()


def _compare_bytes() -> None:
    """By default PostgreSQL compares texts as a language does. Then the beginning of an id finds nothing, and names
    come in another order than on SQLite.
    """
    columns = sa.text(
        "SELECT table_name, column_name, character_maximum_length FROM information_schema.columns"
        " WHERE table_schema = current_schema() AND data_type = 'character varying' AND table_name <> 'alembic_version'"
        " ORDER BY table_name, ordinal_position"
    )
    op.execute("DROP TRIGGER deployments_move_along ON deployments")  # it names columns, which then keep their types
    for table, column, length in op.get_bind().execute(columns).all():
        op.execute(f'ALTER TABLE {table} ALTER COLUMN "{column}" TYPE VARCHAR({length}) COLLATE "C"')
    op.execute(
        "CREATE TRIGGER deployments_move_along BEFORE UPDATE OF target, activity, error ON deployments"
        " FOR EACH ROW EXECUTE FUNCTION deployments_move_along()"
    )
