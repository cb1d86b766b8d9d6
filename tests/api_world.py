"""The real API on a port of this machine, for what needs a connection of its own: streams, and the commands."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Generator

import uvicorn
from cloud_world import World
from shallop_cloud.api.patience import AS_SERVED

STOPS_WITHIN = 5.0
"""Seconds."""


@contextlib.contextmanager
def served(world: World) -> Generator[str]:
    """The URL of a world's API while the block lasts. It stops as the server does, and must not hang."""
    app = world.ashore.app
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", **AS_SERVED))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        app.state.feed.stop()
        server.should_exit = True
        thread.join(STOPS_WITHIN)
        hung, server.force_exit = thread.is_alive(), True
        thread.join()
        listener.close()
        assert not hung, "a stream of events kept the server from stopping"
