"""``HOST:PORT`` as an option's value."""

from __future__ import annotations

import click


class Address(click.ParamType[tuple[str, int]]):
    """Host and port; IPv6 hosts in brackets, as in ``[::1]:1883``."""

    name = "host:port"

    def convert(
        self, value: str | tuple[str, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """The two parts."""
        if isinstance(value, tuple):
            return value
        host, colon, port = value.rpartition(":")
        if not colon or not host or not port.isascii() or not port.isdecimal() or int(port) > 65_535:
            self.fail(f"{value!r} is not HOST:PORT, such as 127.0.0.1:8080", param, ctx)
        return host.strip("[]"), int(port)
