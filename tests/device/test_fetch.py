"""Contents by reference: asked for, cut off, resumed, lied about, and given up."""

from __future__ import annotations

import base64
import errno
import http.server
import os
import re
import threading
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import pytest
from shallop_device import contents, errands, fetch, inbox, testing
from shallop_protocol import digests
from shallop_protocol.desired import Instance

DATA = bytes(range(256)) * 1_200  # 307,200 bytes: more than one piece and more than counts as progress
Answer = Callable[["Handler"], None]


def instance(data: bytes = DATA, path: str = "maps/site.pgm") -> Instance:
    return Instance(id="CFG-7K3QF0H2M9XW4RTC", path=path, digest=digests.of_bytes(data), size=len(data), content=None)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the server was told to for each request in turn, the last answer for ever."""

    server: Cloud
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        answers = self.server.answers
        (answers[0] if len(answers) == 1 else answers.pop(0))(self)
        self.close_connection = True

    def give(self, status: int, body: bytes, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


class Cloud(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.answers: list[Answer] = [serve()]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        """A robot that hangs up is no news."""


def serve(data: bytes = DATA, cut_after: int | None = None) -> Answer:
    """Answers as a shallop cloud does; after so many bytes of the body the connection breaks."""

    def answer(request: Handler) -> None:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
        body, status, headers = data, 200, {}
        if found and request.headers["If-Range"] == f'"{digests.of_bytes(data)}"':
            start, end = int(found[1]), min(int(found[2]) + 1, len(data))
            body, status = data[start:end], 206
            headers = {"Content_Range": f"bytes {start}-{end - 1}/{len(data)}"}
        request.give(status, body[:cut_after], len(body), **headers)

    return answer


def refuse(status: int, **headers: str) -> Answer:
    return lambda request: request.give(status, b"", **headers)


@pytest.fixture
def cloud() -> Generator[Cloud]:
    cloud = Cloud()
    thread = threading.Thread(target=cloud.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield cloud
    cloud.shutdown()
    thread.join()
    cloud.server_close()


@pytest.fixture
def library(tmp_path: Path) -> contents.Library:
    return contents.Library(tmp_path / "state" / contents.DIRECTORY)


@pytest.fixture
def fetcher(cloud: Cloud, library: contents.Library, monkeypatch: pytest.MonkeyPatch) -> fetch.Fetcher:
    monkeypatch.setattr(fetch, "PAUSE_S", 0.0)
    return fetch.Fetcher(cloud.url, "dev-1", "secret", library)


def run(fetcher: fetch.Fetcher, *wanted: Instance) -> inbox.Ended:
    return fetcher.run(errands.FetchContents(7, wanted or (instance(),)))


def on_disk(library: contents.Library) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in library._directory.iterdir()}


def whole(library: contents.Library, wanted: Instance | None = None) -> bytes:
    return b"".join(library.read(wanted or instance()))


def part_of(library: contents.Library, data: bytes) -> None:
    with library.open_part(instance()) as part:
        part.add(data)


def test_contents_are_fetched_with_the_robots_credential(
    cloud: Cloud, fetcher: fetch.Fetcher, library: contents.Library
) -> None:
    small = instance(b"P5 1 1 255\n\x00", "maps/small.pgm")
    cloud.answers = [serve(), serve(b"P5 1 1 255\n\x00")]
    assert not library.has(small)
    assert run(fetcher, instance(), small) == inbox.Ended(7, 0)
    assert (library.has(instance()), whole(library)) == (True, DATA)
    assert whole(library, small) == b"P5 1 1 255\n\x00"
    path, headers = cloud.asked[0]
    assert path == f"/v1/device/contents/{digests.of_bytes(DATA)}"
    assert headers["Authorization"] == f"Basic {base64.b64encode(b'dev-1:secret').decode()}"
    assert "Range" not in headers


def test_a_fetch_goes_on_where_each_connection_broke(
    cloud: Cloud, fetcher: fetch.Fetcher, library: contents.Library
) -> None:
    cloud.answers = [serve(cut_after=100_000), serve(cut_after=100_000), serve()]
    assert run(fetcher) == inbox.Ended(7, 0)
    assert whole(library) == DATA
    assert [headers.get("Range") for _, headers in cloud.asked] == [
        None,
        "bytes=100000-307199",
        "bytes=200000-307199",
    ]


@pytest.mark.parametrize("cut", range(0, len(DATA), 40_000))
def test_what_came_before_a_power_cut_is_not_asked_for_again(
    cloud: Cloud, fetcher: fetch.Fetcher, library: contents.Library, cut: int
) -> None:
    part_of(library, DATA[:cut])
    assert run(fetcher) == inbox.Ended(7, 0)
    assert whole(library) == DATA
    assert cloud.asked[0][1].get("Range") == (f"bytes={cut}-307199" if cut else None)


@pytest.mark.parametrize("left", [DATA[:100_000][::-1], DATA + b"x", bytes(len(DATA))])
def test_what_a_power_cut_damaged_is_not_believed(
    cloud: Cloud, fetcher: fetch.Fetcher, library: contents.Library, left: bytes
) -> None:
    part_of(library, left)
    assert run(fetcher) == inbox.Ended(7, 0)
    assert whole(library) == DATA


def test_a_connection_that_brings_nothing_is_given_up(
    cloud: Cloud, fetcher: fetch.Fetcher, library: contents.Library
) -> None:
    cloud.answers = [serve(cut_after=50_000)]
    ended = run(fetcher)
    assert (ended.number, ended.code, ended.trouble.code) == (7, None, "cannot_fetch")
    assert f"maps/site.pgm: 50000 of 307200 bytes came from {cloud.url}" in ended.trouble.message
    assert on_disk(library) == {f"{digests.of_bytes(DATA)[7:]}.part": 50_000}
    assert not library.has(instance())


def lie(request: Handler) -> None:
    request.give(200, DATA[::-1])


def too_much(request: Handler) -> None:
    request.give(200, DATA + b"more")


def another_range(request: Handler) -> None:
    request.give(206, DATA[5:], Content_Range="bytes 5-307199/307200")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lie, "ordered are 307200 bytes with digest sha256:"),
        (too_much, "gave more than the 307200 bytes that are ordered"),
        (another_range, "gave the range 'bytes 5-307199/307200', which was not asked for"),
        (refuse(401), "answered 401: it does not take this robot's password"),
        (refuse(404), "answered 404: it has no such content for this device"),
        (refuse(416), "answered 416"),
        (refuse(503), "answered 503"),
        (refuse(302, Location="http://127.0.0.1:1/elsewhere"), "a redirection; it is not followed"),
    ],
)
def test_whatever_else_the_cloud_says_is_refused_and_tried_again_later(
    cloud: Cloud, fetcher: fetch.Fetcher, library: contents.Library, answer: Answer, words: str
) -> None:
    cloud.answers = [answer]
    ended = run(fetcher)
    assert (ended.code, ended.trouble.code) == (None, "cannot_fetch")
    assert words in ended.trouble.message
    assert not library.has(instance())
    cloud.answers = [serve()]
    assert run(fetcher) == inbox.Ended(7, 0)
    assert whole(library) == DATA


def test_a_cloud_that_is_silent_is_not_waited_for_for_ever(cloud: Cloud, library: contents.Library) -> None:
    done = threading.Event()
    cloud.answers = [lambda request: done.wait(10) and None]
    fetcher = fetch.Fetcher(cloud.url, "dev-1", "secret", library, timeout=0.05)
    ended = run(fetcher)
    done.set()
    assert ended.trouble.message.endswith("timed out")


def test_nobody_there(library: contents.Library) -> None:
    ended = run(fetch.Fetcher("http://127.0.0.1:9", "dev-1", "secret", library))
    assert (ended.trouble.code, ended.trouble.message[-18:]) == ("cannot_fetch", "Connection refused")


def test_a_run_that_is_called_off_ends_at_once(cloud: Cloud, fetcher: fetch.Fetcher, library: contents.Library) -> None:
    begun, done = threading.Event(), threading.Event()

    def stall(request: Handler) -> None:
        serve(cut_after=70_000)(request)
        request.wfile.flush()
        begun.set()
        done.wait(10)

    cloud.answers = [stall]
    ended: list[inbox.Ended] = []
    thread = threading.Thread(target=lambda: ended.append(run(fetcher)))
    thread.start()
    assert begun.wait(10)
    fetcher.stop()
    thread.join(5)
    done.set()
    assert [each.trouble.code for each in ended] == ["called_off"]
    cloud.answers = [serve()]
    assert run(fetcher) == inbox.Ended(7, 0)


def test_a_disk_that_is_full_is_said_so(
    cloud: Cloud, fetcher: fetch.Fetcher, library: contents.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: contents.Part, piece: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(contents.Part, "add", full)
        assert run(fetcher).trouble.code == "disk_full"
    assert run(fetcher) == inbox.Ended(7, 0)


class SleepingFetcher(fetch.Fetcher):
    """Its pauses take no time but the clock's."""

    def __init__(self, *args: str | contents.Library, clock: testing.FakeClock, budget: int) -> None:
        super().__init__(*args, time=clock, budget_bytes_per_hour=budget)
        self.clock = clock

    def _pause(self, seconds: float, called_off: threading.Event) -> None:
        self.clock.sleep(seconds)


def test_a_budget_is_spent_by_the_minute_and_a_restart_gains_nothing(cloud: Cloud, library: contents.Library) -> None:
    clock = testing.FakeClock()
    fetcher = SleepingFetcher(cloud.url, "dev-1", "secret", library, clock=clock, budget=60 * 60_000)
    assert run(fetcher) == inbox.Ended(7, 0)
    assert clock.monotonic() == pytest.approx(60 * len(DATA) / 60_000)
    assert [headers["Range"] for _, headers in cloud.asked] == [
        f"bytes={start}-{min(start + 60_000, len(DATA)) - 1}" for start in range(0, len(DATA), 60_000)
    ]
    library.keep_only([])
    again = SleepingFetcher(cloud.url, "dev-1", "secret", library, clock=clock, budget=60 * 60_000)
    began = clock.monotonic()
    assert run(again) == inbox.Ended(7, 0)
    assert clock.monotonic() - began == pytest.approx(60 * len(DATA) / 60_000)


def test_what_no_order_needs_is_dropped(fetcher: fetch.Fetcher, library: contents.Library) -> None:
    library.keep_only([])
    assert run(fetcher) == inbox.Ended(7, 0)
    other = instance(b"other", "other.bin")
    with library.open_part(other) as part:
        part.add(b"oth")
    library.keep_only([instance().digest, other.digest])
    assert len(on_disk(library)) == 2
    library.keep_only([other.digest])
    assert list(on_disk(library)) == [f"{other.digest[7:]}.part"]
    library.keep_only([])
    assert on_disk(library) == {}


def test_an_empty_file_needs_no_request(cloud: Cloud, fetcher: fetch.Fetcher, library: contents.Library) -> None:
    empty: Sequence[Instance] = (instance(b""),)
    assert run(fetcher, *empty) == inbox.Ended(7, 0)
    assert (library.has(empty[0]), whole(library, empty[0]), cloud.asked) == (True, b"", [])
