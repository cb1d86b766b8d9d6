"""What people and programs see: JSON, YAML and tables that no device can abuse, and ages."""

from __future__ import annotations

import datetime
import io
import json
import sys

import pytest
import yaml
from shallop_cloud.cli import output, progress, tables, words
from shallop_cloud.cli.output import Format
from shallop_cloud.cli.tables import Id
from shallop_protocol.terminal import UNSAFE

NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
NASTY = "é \x1b[31mred\x1b[0m \x9b2J\x07\u202etxt.exe\x7f\ud800 [bold]loud[/bold]\n"


class Terminal(io.StringIO):
    """A stream that calls itself a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Makes stdout and stderr a terminal, from the call on: pytest sets them anew when a test begins."""

    def begin() -> Terminal:
        monkeypatch.setattr(sys, "stdout", Terminal())
        monkeypatch.setattr(sys, "stderr", sys.stdout)
        return sys.stdout

    for name in ("NO_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    return begin


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (NASTY, "é red txt.exe [bold]loud[/bold]"),
        ("a\tb\r\nc", "a b c"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x07", "link"),
        ("\x1bP1$r\x1b\\ok\x1b(B", "ok"),
        ("half\x1b[", "half"),
        ("plain — ok ✓", "plain — ok ✓"),
    ],
)
def test_what_terminals_obey_is_taken_out(text, shown):
    assert words.clean(text) == shown


def test_json_is_the_same_object_in_harmless_letters(capsys):
    output.show({"id": "x", "reason": NASTY}, Format.JSON, print)

    out = capsys.readouterr().out
    assert json.loads(out) == {"id": "x", "reason": NASTY}
    assert UNSAFE.findall(out) == []
    assert "é" in out


@pytest.mark.parametrize("text", [NASTY.replace("\ud800", ""), "é", "2026-03-01T08:00:00Z", "1.0", "no", ""])
def test_yaml_is_the_same_object_in_harmless_letters(capsys, text):
    output.show({"id": "x", "reason": text}, Format.YAML, print)

    out = capsys.readouterr().out
    assert yaml.safe_load(out) == {"id": "x", "reason": text}
    assert UNSAFE.findall(out) == []


def test_piped_tables_are_never_cut(capsys):
    tables.columns(("ID", "NOTE"), [("DPL-7K3QF0H2M9XW4RTC", 300 * "x"), ("DPL-M2W8R00000000000", "")])

    assert capsys.readouterr().out == (f"{'ID':20}  NOTE\nDPL-7K3QF0H2M9XW4RTC  {300 * 'x'}\nDPL-M2W8R00000000000  -\n")


def test_terminals_get_colour_beside_the_word_ids_to_type_and_one_line_each(terminal):
    stream = terminal()
    first, second = (Id("DPL-7K3QF0H2M9XW4RTC"), Id("DPL-7K3QFZ"))
    failed = tables.state("failed")
    tables.columns(
        ("ID", "STATUS", "REASON"), [(first, failed, 8 * "so long "), (second, failed, ""), (Id(""), "", "")]
    )

    assert "\x1b[31m\x1b[1mfailed\x1b[0m" in stream.getvalue()
    assert [line.rstrip() for line in _uncoloured(stream).splitlines()] == [
        "ID          STATUS  REASON",
        "DPL-7K3QF0  failed  so long so long so long so long so long…",
        "DPL-7K3QFZ  failed  -",
        "-           -       -",
    ]


def test_terminals_do_not_show_long_columns_that_say_nothing(terminal):
    stream = terminal()
    tables.columns(("ID", "REASON", "LABELS"), [(Id("DPL-7K3QF0"), "", "site=lyon"), (Id("DPL-7K3QF1"), "", "")])
    tables.columns(("ID", "REASON"), [])

    assert [line.rstrip() for line in _uncoloured(stream).splitlines()] == [
        "ID          LABELS",
        "DPL-7K3QF0  site=lyon",
        "DPL-7K3QF1  -",
        "ID  REASON",
    ]


def test_a_line_is_cut_where_the_terminal_ends_and_sentences_are_broken(terminal):
    stream = terminal()
    tables.say("  ", tables.Cell(10 * "so long ", "red"))
    tables.say_all(10 * "so long ", indent=4)

    assert [line.rstrip() for line in _uncoloured(stream).splitlines()] == [
        "  so long so long so long so long so long so long so long s…",
        "    so long so long so long so long so long so long so long",
        "    so long so long so long",
    ]


def test_piped_lines_are_whole(capsys):
    tables.say("  ", tables.Cell(100 * "x", "red"))
    tables.say_all(40 * "so long ", indent=4)

    assert capsys.readouterr().out.splitlines() == [f"  {100 * 'x'}", f"    {40 * 'so long '}".rstrip()]


def _uncoloured(stream) -> str:
    return words.clean(stream.getvalue().replace("\n", "\\n"), strip=False).replace("\\n", "\n")


def test_terminals_are_not_commanded_by_what_devices_say(terminal):
    stream = terminal()
    tables.fields([("reason", NASTY.replace("\ud800", ""))])

    assert stream.getvalue().rstrip() == "\x1b[1mreason:  \x1b[0mé red txt.exe [bold]loud[/bold]"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_terminals_that_want_no_colour_get_the_piped_form(terminal, monkeypatch, name, value):
    stream = terminal()
    monkeypatch.setenv(name, value)

    tables.fields([("status", tables.state("failed")), ("id", "x")])

    tables.columns(("ID", "REASON"), [(Id("DPL-7K3QF0H2M9XW4RTC"), 60 * "x")])

    assert stream.getvalue() == (f"status:  failed\nid:      x\n{'ID':9}  REASON\nDPL-7K3QF  {48 * 'x'}…\n")


def test_progress_says_each_thing_once(capsys):
    with progress.shown("waiting") as tell:
        for text in ("queued", "queued", "retrying: \x1b[2Jfull", "deployed"):
            tell(text)

    assert capsys.readouterr() == ("", "queued\nretrying: full\ndeployed\n")


def test_progress_on_a_terminal_keeps_the_news_above_what_is_awaited(terminal):
    stream = terminal()
    with progress.shown("waiting for [amr-07]") as tell:
        tell("queued")
        tell("deployed [bold]")

    shown = stream.getvalue()
    assert "waiting for [amr-07]" in shown
    assert shown.index("queued") < shown.index("deployed [bold]")


def test_counting_on_a_terminal_is_one_living_line(terminal):
    stream = terminal()
    with progress.counted("exporting") as tell:
        tell("7 rows")
        tell("[bold]8 rows")

    assert "\n7 rows" not in stream.getvalue()
    assert "exporting: [bold]8 rows" in stream.getvalue()


@pytest.mark.parametrize(("piped", "said"), [(True, "7 rows\n8 rows\n"), (False, "")])
def test_counting_into_a_pipe(capsys, piped, said):
    with progress.counted("exporting", piped=piped) as tell:
        tell("7 rows")
        tell("7 rows")
        tell("8 rows")

    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize(
    ("before", "age"),
    [
        (datetime.timedelta(seconds=-5), "0s ago"),
        (datetime.timedelta(seconds=59.9), "59s ago"),
        (datetime.timedelta(seconds=60), "1m ago"),
        (datetime.timedelta(minutes=119), "1h ago"),
        (datetime.timedelta(hours=48), "2d ago"),
    ],
)
def test_ages(before, age):
    assert words.ago((NOW - before).isoformat(), NOW) == age


def test_times():
    assert words.ago(None, NOW) == words.stamp(None) == words.with_age(None, NOW) == words.until(None, NOW) == ""
    assert words.with_age("2026-03-01T12:57:00.5+01:00", NOW) == "2026-03-01T11:57:00Z (2m ago)"
    assert words.until("2026-03-08T11:59:59Z", NOW) == "2026-03-08T11:59:59Z (in 7d)"
    assert words.until("2026-03-01T12:00:47Z", NOW) == "2026-03-01T12:00:47Z (in 47s)"
    assert words.until("2026-03-01T12:59:59Z", NOW) == "2026-03-01T12:59:59Z (in 1h)"
    assert words.until("2026-03-01T12:00:00Z", NOW) == "2026-03-01T12:00:00Z (expired)"
