"""Hooks as real processes: whatever they do, their end is heard, in time and in few words."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import signal
import threading
import time
from pathlib import Path

import pytest
from shallop_device import errands, errors, hooks, inbox, runner

DEPLOYMENT = "DPL-0123456789ABCDEF"
DOCUMENT = json.dumps({"v": 1, "hook": "check", "deployment": {"id": DEPLOYMENT}}).encode()
LONG = json.dumps({"v": 1, "deployment": None, "padding": "x" * 1_000_000}).encode()


@pytest.fixture
def script(tmp_path):
    """Makes a hook of a few lines of shell, and gives its path."""

    def make(lines: str, first: str = "#!/bin/sh\n", mode: int = 0o755) -> str:
        path = tmp_path / f"hook-{len(list(tmp_path.glob('hook-*')))}"
        path.write_text(f"{first}{lines}\n")
        path.chmod(mode)
        return str(path)

    return make


def hooks_of(root: Path, *command: str, timeout_s: float = 10.0, **more) -> hooks.Hooks:
    return hooks.Hooks({"check": command}, timeout_s=timeout_s, root=root, **more)


def run(root: Path, *command: str, document: bytes = DOCUMENT, **more) -> inbox.Ended:
    return hooks_of(root, *command, **more).run(errands.RunHook(1, "check", document))


def is_running(pid: int) -> bool:
    """A zombie whose parent is gone is not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_hook_is_told_everything(tmp_path, script):
    hook = script('cat; echo; pwd; env | sort | grep -v -e ^PWD -e ^SHLVL -e ^_=; echo "$1" >&2; exit 3')

    ended = run(tmp_path, hook, "argument")

    assert (ended.number, ended.code, ended.trouble) == (1, 3, None)
    assert ended.output.splitlines() == [
        DOCUMENT.decode(),
        str(tmp_path),
        f"PATH={hooks.PATH}",
        f"SHALLOP_CURRENT={tmp_path}/current",
        f"SHALLOP_DEPLOYMENT={DEPLOYMENT}",
        f"SHALLOP_ROOT={tmp_path}",
        "argument",
    ]


def test_a_hook_without_a_deployment(tmp_path, script):
    ended = run(tmp_path, script('echo "[$SHALLOP_DEPLOYMENT]"; wc -c'), document=LONG)
    assert ended.output.split() == ["[]", str(len(LONG))]


@pytest.mark.parametrize(
    "lines", ["exec 0<&-; exit 0", "exec 0<&- 1>&- 2>&-; exit 0", "exit 0"], ids=["stdin", "all", "none"]
)
def test_a_hook_that_does_not_want_to_know(lines, tmp_path, script):
    ended = run(tmp_path, script(lines), document=LONG)
    assert ended == inbox.Ended(1, 0, "")


def test_a_hook_that_ends_by_a_signal(tmp_path, script):
    assert run(tmp_path, script("echo here; kill -SEGV $$")) == inbox.Ended(1, -signal.SIGSEGV, "here")


def test_only_the_end_of_what_a_hook_says_is_kept(tmp_path, script):
    ended = run(tmp_path, script("head -c 20000000 /dev/zero | tr '\\0' x; echo; echo the end"), output_bytes=32)
    assert ended.code == 0
    assert ended.output == "x" * 23 + "\nthe end"


@pytest.mark.slow
def test_a_flood_takes_no_memory(tmp_path, script):
    before = _resident()
    ended = run(tmp_path, script("head -c 100000000 /dev/zero | tr '\\0' x; echo; echo the end"), timeout_s=60.0)
    assert ended.code == 0
    assert len(ended.output) <= hooks.OUTPUT_BYTES
    assert _resident() - before < 5_000_000


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (b"\x1b[31mred\x1b[0m", "red"),
        (b"\x1b]0;title\x07text", "text"),
        (b"a\r\nb\rc\x00\x08", "a\nb\nc"),
        (b"caf\xc3\xa9 \xff", "café \ufffd"),
        (b"\xe2\x80\xaeevil\xe2\x80\xac", "evil"),
        (b"  \n", ""),
    ],
)
def test_what_is_kept_is_printable(said, shown):
    assert hooks.printable(said) == shown


CANNOT_START = {
    "not_there": ("/nowhere/hook", "No such file or directory (/nowhere/hook); is it installed"),
    "a_directory": ("/", "Permission denied (/); make it executable"),
}


@pytest.mark.parametrize(("command", "words"), CANNOT_START.values(), ids=CANNOT_START)
def test_what_cannot_be_started_says_why(command, words, tmp_path):
    ended = run(tmp_path, command)
    assert (ended.code, ended.trouble.code) == (None, "hook_cannot_start")
    assert words in ended.trouble.message


def test_scripts_that_cannot_be_started(tmp_path, script):
    for hook, words in (
        (script("exit 0", mode=0o644), "Permission denied"),
        (script("exit 0", first=""), "Exec format error"),
        (script("exit 0", first="#!/no/interpreter\n"), "is it installed, and the interpreter"),
    ):
        ended = run(tmp_path, hook)
        assert (ended.code, ended.trouble.code) == (None, "hook_cannot_start")
        assert words in ended.trouble.message
    assert "is the configuration root mounted" in run(tmp_path / "gone", script("exit 0")).trouble.message
    assert "there is no user nobody-knows-him" in run(tmp_path, script(""), user="nobody-knows-him").trouble.message
    assert "no hook check is set up" in run(tmp_path).trouble.message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run something as another user")
def test_a_hook_runs_as_another_user_with_that_users_groups(script, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    for directory in (root, *root.parents[:-2]):
        directory.chmod(0o755)
    account = pwd.getpwnam("nobody")

    ended = run(root, "/bin/sh", "-c", "id -u; id -g; id -G; cat /etc/shadow", user="nobody")

    assert ended.output.splitlines()[:3] == [str(account.pw_uid), str(account.pw_gid), str(account.pw_gid)]
    assert "Permission denied" in ended.output
    own = pwd.getpwuid(os.geteuid()).pw_name
    assert run(root, "/bin/sh", "-c", "id -un", user=own).output == own


def test_a_hook_that_takes_too_long_is_killed_with_its_children(tmp_path, script, monkeypatch, eventually):
    monkeypatch.setattr(hooks, "GRACE_S", 0.2)
    hook = script("trap '' TERM; sh -c 'trap \"\" TERM; echo $$; while :; do sleep 60; done' & echo $$; wait; wait")

    ended = run(tmp_path, hook, timeout_s=0.3)

    assert (ended.code, ended.trouble.code) == (None, "hook_timeout")
    assert ended.trouble.message == "the hook check did not end within 0.3 s and was killed"
    pids = [int(pid) for pid in ended.output.split()]
    assert len(pids) == 2
    assert eventually(lambda: not any(is_running(pid) for pid in pids))


def test_a_hook_is_asked_to_end_before_it_is_killed(tmp_path, script):
    hook = script("trap 'echo tidied up; exit 0' TERM; sleep 60 & wait")
    ended = run(tmp_path, hook, timeout_s=0.2)
    assert (ended.code, ended.output, ended.trouble.code) == (None, "tidied up", "hook_timeout")


def test_what_a_hook_leaves_running_goes_on_and_holds_nobody_up(tmp_path, script):
    ended = run(tmp_path, script("sleep 60 & echo $!"))
    pid = int(ended.output)
    try:
        assert ended.code == 0
        assert is_running(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_what_floods_on_after_its_hook_ended_holds_nobody_up(tmp_path, script):
    ended = run(tmp_path, script("yes & echo $! > pid"))
    assert ended.code == 0
    with contextlib.suppress(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


@pytest.fixture
def items():
    return inbox.Inbox()


def test_errands_are_run_one_after_another(tmp_path, script, items):
    doing = runner.Runner(items, hooks_of(tmp_path, script("echo $SHALLOP_DEPLOYMENT")))
    for number in (1, 2):
        doing.begin(errands.RunHook(number, "check", DOCUMENT))
        assert items.get(10.0) == inbox.Ended(number, 0, DEPLOYMENT)
    doing.close()
    assert "errands" not in {thread.name for thread in threading.enumerate()}


def test_an_errand_that_is_called_off_is_killed_and_the_next_one_is_not(tmp_path, script, items, eventually):
    doing = runner.Runner(items, hooks_of(tmp_path, script("echo $$ > pid; [ -e go ] || exec sleep 60")))
    doing.begin(errands.RunHook(1, "check", DOCUMENT))
    pid = int(eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    (tmp_path / "go").touch()

    doing.call_off()
    doing.begin(errands.RunHook(2, "check", DOCUMENT))

    first, second = items.get(10.0), items.get(10.0)
    assert first.trouble.code == "called_off"
    assert second == inbox.Ended(2, 0, "")
    assert eventually(lambda: not is_running(pid))
    doing.close()


def test_an_errand_that_is_called_off_before_it_began_never_begins(tmp_path, script):
    all_of_them = hooks_of(tmp_path, script("touch began"))
    all_of_them.kill(1)
    assert all_of_them.run(errands.RunHook(1, "check", DOCUMENT)).trouble.code == "called_off"
    assert not (tmp_path / "began").exists()
    assert all_of_them.run(errands.RunHook(2, "check", DOCUMENT)).code == 0


def test_closing_kills_what_runs(tmp_path, script, items, eventually):
    doing = runner.Runner(items, hooks_of(tmp_path, script("echo $$ > pid; exec sleep 60")))
    doing.begin(errands.RunHook(1, "check", DOCUMENT))
    pid = int(eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    began = time.monotonic()
    doing.close()
    assert time.monotonic() - began < 5.0
    assert eventually(lambda: not is_running(pid))


class Fetcher:
    """Fetches until it is stopped, or breaks."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.began = threading.Event()
        self.stopped = threading.Event()
        self._fault = fault

    def run(self, errand: errands.FetchContents) -> inbox.Ended:
        self.began.set()
        if self._fault:
            raise self._fault
        self.stopped.wait(10.0)
        return inbox.Ended(errand.number, 0)

    def stop(self) -> None:
        self.stopped.set()


def test_a_fetch_is_stopped(items):
    fetcher = Fetcher()
    doing = runner.Runner(items, fetcher=fetcher)
    doing.begin(errands.FetchContents(1, ()))
    assert fetcher.began.wait(10.0)
    doing.call_off()
    assert items.get(10.0) == inbox.Ended(1, 0)
    doing.close()


def test_a_defect_in_an_errand_is_heard_of(items, caplog):
    doing = runner.Runner(items, fetcher=Fetcher(ZeroDivisionError()))
    doing.begin(errands.FetchContents(1, ()))
    assert items.get(10.0).trouble.code == "internal_error"
    assert "ZeroDivisionError" in caplog.text
    doing.close()


def test_what_was_not_set_up_is_not_begun(items):
    doing = runner.Runner(items)
    for errand in (errands.RunHook(1, "check", DOCUMENT), errands.FetchContents(2, ())):
        with pytest.raises(errors.HeldUp, match="was not set up"):
            doing.begin(errand)
    doing.call_off()
    doing.close()
