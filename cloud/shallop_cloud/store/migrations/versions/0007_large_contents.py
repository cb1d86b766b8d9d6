"""Contents in chunks, so that a file of hundreds of megabytes is never in memory at once"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "content_chunks",
        sa.Column("digest", _text(71), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", "start", name="pk_content_chunks"),
        sa.ForeignKeyConstraint(["digest"], ["contents.digest"], name="fk_content_chunks_digest"),
    )
    op.execute("INSERT INTO content_chunks (digest, start, data) SELECT digest, 0, data FROM contents")
    op.add_column("contents", sa.Column("size", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute("UPDATE contents SET size = length(data)")
    # What was taken until now came as text.
    op.add_column("contents", sa.Column("is_text", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.add_column("contents", sa.Column("is_whole", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.add_column("contents", sa.Column("uploaded_at", sa.DateTime(timezone=True)))
    op.drop_column("contents", "data")
    uploaded = sa.text("uploaded_at IS NOT NULL")
    op.create_index(
        "ix_contents_uploaded", "contents", ["uploaded_at"], sqlite_where=uploaded, postgresql_where=uploaded
    )
    op.create_index("ix_config_instances_digest", "config_instances", ["digest"])


def _text(length: int) -> sa.String:
    """Texts compare by their bytes, also on a PostgreSQL of another language."""
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    return sa.String(length, collation="C" if is_postgresql else None)
