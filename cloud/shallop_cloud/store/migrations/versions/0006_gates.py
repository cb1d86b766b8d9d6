"""What deployments wait for on their robots, files found changed there, and within what term the cloud is to answer"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("devices", sa.Column("confirm_s", sa.Integer))
    op.add_column("deployments", sa.Column("confirm_s", sa.Integer))
    op.add_column("deployments", sa.Column("waiting", sa.JSON(none_as_null=True)))
    op.add_column("deployments", sa.Column("integrity", sa.JSON(none_as_null=True)))
