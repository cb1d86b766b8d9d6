"""Config instances and their bytes."""

from __future__ import annotations

import fastapi

from shallop_cloud.api import asking, models, show
from shallop_cloud.api.asking import Key, S, Tagged
from shallop_cloud.services import reading

router = asking.guarded()


@router.get("/config-instances/{key}")
def show_config_instance(shore: S, key: Key, tagged: Tagged) -> models.ConfigInstance:
    """One config instance, without its content."""
    shown = show.config_instance(reading.content(shore, key)[0])
    return tagged.for_ever(shown, shown.id)


@router.get(
    "/config-instances/{key}/content",
    response_class=fastapi.Response,
    responses={200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}},
)
def config_instance_content(shore: S, key: Key, tagged: Tagged) -> fastapi.Response:
    """The bytes of a config instance, as its author wrote them."""
    row, content = reading.content(shore, key)
    return tagged.content(content, row["digest"])
