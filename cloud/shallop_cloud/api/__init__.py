"""The HTTP API, ``/v1``: thin. A route reads the request, calls one service, and shows what came of it."""
