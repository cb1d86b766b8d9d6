"""Orders that tidy up wait for those that change something"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("devices", sa.Column("tidying", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.drop_index("ix_devices_unpublished", "devices")
    where = sa.text("published < generation")
    op.create_index("ix_devices_unpublished", "devices", ["tidying", "id"], sqlite_where=where, postgresql_where=where)
