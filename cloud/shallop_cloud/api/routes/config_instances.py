"""Config instances: single files of deployments."""

from __future__ import annotations

import fastapi

from shallop_cloud.api import asking, etags, models, show, streams
from shallop_cloud.api.asking import Key, S, Tagged
from shallop_cloud.api.routes.contents import BYTES
from shallop_cloud.services import reading

router = asking.guarded()


@router.get("/config-instances/{key}")
def show_config_instance(shore: S, key: Key, tagged: Tagged) -> models.ConfigInstance:
    """One config instance, without its content."""
    shown = show.config_instance(reading.config_instance(shore, key))
    return tagged.for_ever(shown, shown.id)


@router.get(
    "/config-instances/{key}/content",
    response_class=fastapi.Response,
    responses={
        200: {"content": {streams.MEDIA_TYPE: BYTES}},
        206: {"description": "The bytes that Range asks for.", "content": {streams.MEDIA_TYPE: BYTES}},
        416: {"description": "Range asks for none of the bytes."},
    },
)
def config_instance_content(shore: S, key: Key, tagged: Tagged, request: fastapi.Request) -> fastapi.Response:
    """The bytes of a config instance, as its author wrote them."""
    row = reading.config_instance(shore, key)
    if tagged.has_seen(row["digest"]):
        headers = {"ETag": etags.strong(row["digest"]), "Cache-Control": etags.FOR_EVER}
        return fastapi.Response(status_code=304, headers=headers)
    return streams.answer(shore, request, row["digest"], row["size"])
