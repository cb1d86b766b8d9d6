"""The key list and its roots, and what is known of each device's: which list it has, and which its order was sealed under"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "key_list",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("roots", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("threshold", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("envelope", _text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_key_list"),
        sa.CheckConstraint("id = 1", name=op.f("ck_key_list_only_one")),
    )
    # The server that starts next makes a root and a list with the key that it has.
    op.drop_table("signing_key")
    op.add_column("devices", sa.Column("key_list", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("devices", sa.Column("sealed", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("devices", sa.Column("stale", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("devices", sa.Column("lagging_since", sa.DateTime(timezone=True)))
    lagging = sa.text("lagging_since IS NOT NULL")
    op.create_index("ix_devices_lagging", "devices", ["name"], sqlite_where=lagging, postgresql_where=lagging)


def _text() -> sa.Text:
    """Texts compare by their bytes, also on a PostgreSQL of another language."""
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    return sa.Text(collation="C" if is_postgresql else None)
