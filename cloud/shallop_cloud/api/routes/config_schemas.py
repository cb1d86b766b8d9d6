"""Config schemas."""

from __future__ import annotations

from shallop_cloud.api import asking, models, show
from shallop_cloud.api.asking import Key, S, Tagged
from shallop_cloud.services import lookup

router = asking.guarded()


@router.get("/config-schemas/{key}")
def show_config_schema(shore: S, key: Key, tagged: Tagged) -> models.ConfigSchema:
    """One config schema, with the texts of its files."""
    with shore.database.read() as connection:
        shown = show.config_schema(lookup.config_schema(connection, key))
    return tagged.for_ever(shown, shown.digest)
