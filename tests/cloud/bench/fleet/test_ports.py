from __future__ import annotations

import socket

import pytest
from shallop_cloud.bench.fleet import ports


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_free_port_can_be_listened_on_and_is_not_one_of_those_for_outgoing_connections(host: str) -> None:
    port = ports.free(host)
    assert ports.FIRST <= port < ports.END
    with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
        pass


def test_ports_in_use_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    other = ports.free()
    with socket.create_server(("127.0.0.1", ports.free())) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            ports.hold("127.0.0.1", port)
        tried = iter([port, port, other])
        monkeypatch.setattr("secrets.randbelow", lambda _: next(tried) - ports.FIRST)
        assert ports.free() == other


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(OSError, match="assign requested address"):
        ports.free("192.0.2.1")
