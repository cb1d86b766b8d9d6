"""Client certificates, and devices that are revoked until they enrol anew"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("devices", sa.Column("revoked_at", sa.DateTime(timezone=True)))
    op.add_column("devices", sa.Column("purged", sa.Boolean(), nullable=False, server_default=sa.false()))
    revoked = sa.text("revoked_at IS NOT NULL")
    op.create_index("ix_devices_revoked", "devices", ["id"], sqlite_where=revoked, postgresql_where=revoked)
    op.create_table(
        "certificate_authority",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("certificate", _text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_certificate_authority"),
        sa.CheckConstraint("id = 1", name="only_one"),
    )
    op.create_table(
        "certificates",
        sa.Column("serial", _text(40), nullable=False),
        sa.Column("device_id", _text(32), nullable=False),
        sa.Column("chain", _text(), nullable=False),
        sa.Column("key_digest", _text(71), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("serial", name="pk_certificates"),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name="fk_certificates_device_id"),
    )
    in_force = sa.text("revoked_at IS NULL")
    op.create_index(
        "uq_certificates_in_force", "certificates", ["device_id"], unique=True,
        sqlite_where=in_force, postgresql_where=in_force,
    )  # fmt: skip
    op.create_index(
        "ix_certificates_revoked", "certificates", ["expires_at"], sqlite_where=revoked, postgresql_where=revoked
    )


def _text(length: int | None = None) -> sa.String:
    """Texts compare by their bytes, also on a PostgreSQL of another language."""
    collation = "C" if op.get_bind().dialect.name == "postgresql" else None
    return sa.Text(collation=collation) if length is None else sa.String(length, collation=collation)
