"""The robot's local API: HTTP/1.1 and Server-Sent Events on a Unix socket. docs/local-door.md says how to use it.

``server.Door`` listens and serves each connection in a thread of its own (``serving``). ``routes`` knows every route,
``document`` makes OpenAPI of them. ``desk.Desk`` stands between the door's threads and the agent's. ``client`` is what
the commands of ``shallopd`` use, and needs nothing but the standard library.
"""
