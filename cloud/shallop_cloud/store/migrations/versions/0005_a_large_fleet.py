"""What lists and counts ask for is found in a large fleet as fast as in a small one"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

MERGED = "CASE WHEN error = 'none' THEN activity ELSE error END"
RARE_DEVICES = {
    "behind": (["name"], "reported <> generation", "reported <> generation"),
    "archived": (["name"], "archived_at IS NOT NULL", "archived_at IS NOT NULL"),
    "never_heard": (["name"], "last_heard_at IS NULL", "last_heard_at IS NULL"),
    "offline": (["name"], "online = 0", "NOT online"),
    "online": (["last_heard_at", "online"], "online = 1", "online"),
}


def upgrade() -> None:
    op.create_index("ix_devices_created", "devices", ["created_at"])
    for name, (columns, sqlite, postgresql) in RARE_DEVICES.items():
        op.create_index(
            f"ix_devices_{name}",
            "devices",
            columns,
            sqlite_where=sa.text(sqlite),
            postgresql_where=sa.text(postgresql),
        )
    live = sa.text("activity <> 'archived'")
    op.drop_index("ix_deployments_unfinished", "deployments")
    op.create_index(
        "ix_deployments_unfinished", "deployments", ["device_id", "activity"], sqlite_where=live, postgresql_where=live
    )
    merged = sa.text(f"({MERGED})")
    op.create_index("ix_deployments_status", "deployments", [merged, "created_at", "id"])
    op.create_index("ix_deployments_release", "deployments", ["release_id", merged, "created_at", "id"])
    failing = sa.text("error <> 'none' AND activity <> 'archived'")
    op.create_index("ix_deployments_in_error", "deployments", ["error"], sqlite_where=failing, postgresql_where=failing)
