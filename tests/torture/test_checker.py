"""The checker on histories written by hand: one in which all is well, and for each rule some in which it is not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from torture.checker import RULES, check
from torture.history import History, Log

A, B, X = "DPL-A", "DPL-B", "DPL-X"
Lines = list[dict[str, Any]]
Change = Callable[[Lines], None]


def _statuses(text: str) -> dict[str, str]:
    return dict(zip(("target", "activity", "error"), text.split("/"), strict=True))


_MADE = {"patched_from": None, "restores": None}


def _row(n: int, text: str) -> dict[str, Any]:
    target, activity, error = text.split("/")
    status = activity if error == "none" else error
    return {
        "n": n,
        "target": target,
        "activity": activity,
        "error": error,
        "status": status,
        "digest": f"D{n}",
        **_MADE,
    }


def _entry(at: str, actor: str, deployment: str, before: str | None, after: str) -> dict[str, Any]:
    return {
        "at": at,
        "actor": actor,
        "retired": False,
        "deployment": deployment,
        "before": _statuses(before) if before else None,
        "after": _statuses(after),
    }


def _invoke(n: int, at: float, act: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "invoke", "n": n, "at": at, "act": act, "device": "amr-1", "who": "operator-1", **fields}


def _disk(begin: float, tree: str | None, digest: str | None = None, marks: tuple[str, ...] = ()) -> dict[str, Any]:
    found = {"tree": tree, "digest": digest, "marks": list(marks)}
    return {"kind": "disk", "device": "amr-1", "begin": begin, "end": begin + 0.01, **found}


def _order(at: float, generation: int, deployment: str | None, fallback: str | None = None) -> dict[str, Any]:
    digest = {A: "D1", B: "D2", None: None}[deployment]
    named = {"deployment": deployment, "digest": digest, "fallback": fallback, "order": f"O{generation}"}
    named["signers"] = ["key"]
    return {
        "kind": "order",
        "at": at,
        "client": "cloud-1",
        "device": "amr-1",
        "epoch": 1,
        "generation": generation,
        **named,
    }


def _keys(at: float, version: int, *active: str, epoch: int = 1) -> dict[str, Any]:
    return {"kind": "keys", "at": at, "client": "cloud-1", "version": version, "epoch": epoch, "active": list(active)}


def _report(at: float, seq: int, generation: int, **activities: str) -> dict[str, Any]:
    digests = {"A": "D1", "B": "D2"}
    deployments = [
        {"id": f"DPL-{key}", "activity": activity, "error": "none", "digest": digests[key]}
        for key, activity in activities.items()
    ]
    answered = {"epoch": 1, "generation": generation, "order": f"O{generation}" if generation else None}
    said = {"deployments": deployments, "body": f"body {seq}", "current": None, "keys": 1, **answered}
    return {"kind": "report", "at": at, "device": "amr-1", "incarnation": "i", "seq": seq, **said}


def _api(begin: float, **rows: dict[str, Any]) -> dict[str, Any]:
    named = {f"DPL-{key}": row for key, row in rows.items()}
    return {"kind": "api", "who": "reader-1", "device": "amr-1", "begin": begin, "end": begin + 0.1, "rows": named}


def good() -> Lines:
    """A is ordered. B is staged, then ordered in place of A, and confirmed. An order that expects A comes too late, and
    the answer to another one is lost: it did not happen.
    """
    return [
        {"kind": "device", "name": "amr-1", "id": "DEV-1"},
        _disk(0.1, None),
        _report(0.2, 1, 0),
        _invoke(1, 1.0, "create", expected=None, staged=False, digest="D1"),
        {"kind": "ok", "n": 1, "at": 1.2, "id": A},
        _order(1.3, 1, A),
        _disk(1.4, A, "D1", ("amr-1 1",)),
        _report(1.5, 2, 1, A="deployed"),
        _api(1.6, A=_row(1, "deployed/deployed/none")),
        _invoke(2, 2.0, "create", expected="any", staged=True, digest="D2"),
        {"kind": "ok", "n": 2, "at": 2.1, "id": B},
        _api(2.2, B=_row(2, "staged/staged/none")),
        _invoke(3, 3.0, "deploy", expected=A, key=B),
        {"kind": "ok", "n": 3, "at": 3.1, "id": B},
        _order(3.2, 2, B, A),
        _disk(3.3, B, "D2", ("amr-1 2",)),
        _report(3.4, 3, 2, B="deployed", A="deployed"),
        _order(3.5, 3, B),
        _report(3.6, 4, 3, B="deployed", A="archived"),
        _api(3.7, A=_row(1, "archived/archived/none"), B=_row(2, "deployed/deployed/none")),
        _invoke(4, 4.0, "create", expected=A, staged=False, digest="D4"),
        {"kind": "fail", "n": 4, "at": 4.1, "status": 409, "code": "current_changed"},
        _invoke(5, 4.2, "create", expected="any", staged=False, digest="D5"),
        {"kind": "info", "n": 5, "at": 4.4, "why": "ReadTimeout"},
        {"kind": "healed", "at": 5.0},
        {"kind": "settled", "within": 0.2, "why": None},
        {"kind": "verified", "whole": True, "entries": 9, "reason": ""},
        {"kind": "quiet", "begin": 6.0, "end": 9.0, "messages": 0},
        {
            "kind": "final",
            "device": "amr-1",
            "begin": 9.1,
            "end": 9.2,
            "document": {"current": B, "fallback": None, "generation": 3, "in_sync": True, "online": True},
            "rows": [
                {"id": B, **_row(2, "deployed/deployed/none")},
                {"id": A, **_row(1, "archived/archived/none")},
            ],
            "entries": [
                _entry("t1", "admin", A, None, "staged/staged/none"),
                _entry("t1", "admin", A, "staged/staged/none", "deployed/queued/none"),
                _entry("t2", "device", A, "deployed/queued/none", "deployed/deployed/none"),
                _entry("t3", "admin", B, None, "staged/staged/none"),
                _entry("t4", "admin", B, "staged/staged/none", "deployed/queued/none"),
                _entry("t5", "device", B, "deployed/queued/none", "deployed/deployed/none"),
                _entry("t5", "device", A, "deployed/deployed/none", "archived/deployed/none"),
                _entry("t6", "device", A, "archived/deployed/none", "archived/archived/none"),
            ],
            "trees": [B],
            "digest": "D2",
        },
    ]


def _of(kind: str, place: int = 0, **changes: Any) -> Change:
    """Changes fields of the so-manieth line of a kind, counted from the end if negative."""

    def change(lines: Lines) -> None:
        [line for line in lines if line["kind"] == kind][place].update(changes)

    return change


def _without(kind: str, place: int = 0) -> Change:
    def change(lines: Lines) -> None:
        lines.remove([line for line in lines if line["kind"] == kind][place])

    return change


def _adding(*more: dict[str, Any]) -> Change:
    return lambda lines: lines.extend(copy.deepcopy(list(more)))


def _at_the_end(key: str, change: Callable[[Any], None]) -> Change:
    return lambda lines: change(lines[-1][key])


def _both(*changes: Change) -> Change:
    def change(lines: Lines) -> None:
        for each in changes:
            each(lines)

    return change


def _final(lines: Lines) -> dict[str, Any]:
    return next(line for line in lines if line["kind"] == "final")


def _listing(*rows: dict[str, Any]) -> Change:
    return lambda lines: _final(lines)["rows"].extend(rows)


def _recording(*entries: dict[str, Any]) -> Change:
    return lambda lines: _final(lines)["entries"].extend(entries)


def _row_is(place: int, row: dict[str, Any]) -> Change:
    return lambda lines: _final(lines)["rows"][place].update(row)


def _answered(n: int, at: float, act: str, id_: str, **fields: Any) -> Lines:
    return [_invoke(n, at, act, **fields), {"kind": "ok", "n": n, "at": at + 0.1, "id": id_}]


def _rolled_back(to: str, digest: str, before: str = "deployed/deployed/none") -> Change:
    """B was current, and an order that the operator believes to go back makes X."""
    row = {"id": X, **_row(6, "deployed/queued/none"), "restores": to, "digest": digest}
    recorded = [
        _entry("t7", "admin", X, None, _FIRST),
        _entry("t7", "admin", X, _FIRST, "deployed/queued/none"),
        _entry("t7", "admin", B, before, before),
    ]
    return _both(_adding(*_answered(6, 4.5, "rollback", X)), _listing(row), _recording(*recorded))


_FIRST = "staged/staged/none"
_STRANGER = {"id": X, **_row(5, _FIRST)}

_FOLLOWS = {**_report(4.2, 5, 3, B="deployed"), "keys": 2}
BAD: Mapping[str, Mapping[str, Change]] = {
    "acknowledged is there": {
        "it is not listed": _at_the_end("rows", lambda rows: rows.pop()),
        "it has other content": _at_the_end("rows", lambda rows: rows[1].update(digest="D9")),
        "what was acted on is not listed": _adding(
            _invoke(6, 4.5, "archive", key=X), {"kind": "ok", "n": 6, "at": 4.6, "id": X}
        ),
    },
    "refused had no effect": {
        "what was refused is listed": _listing({"id": X, **_row(4, _FIRST)}),
        "nobody asked for it": _listing({"id": X, **_row(8, _FIRST)}),
        "it was made twice": _listing(_STRANGER, {**_STRANGER, "id": "DPL-Y"}),
        "an answer of 500": _of("fail", status=500),
    },
    "one order of acts": {
        "an acknowledged order is not recorded": _at_the_end("entries", lambda entries: entries.pop(4)),
        "it is recorded twice": _recording(_entry("t7", "admin", B, _FIRST, "deployed/queued/none")),
        "a refused act is recorded": _both(
            _adding(
                _invoke(6, 4.5, "archive", key=B),
                {"kind": "fail", "n": 6, "at": 4.6, "status": 409, "code": "deployment_archived"},
            ),
            _recording(_entry("t7", "admin", B, "deployed/deployed/none", "archived/deployed/none")),
        ),
        "it contradicts the moments": _at_the_end(
            "entries", lambda entries: entries.insert(0, entries.pop(3))
        ),
    },
    "expected is honoured": {
        "another was current": _of("invoke", 2, expected=None),
        "nothing was current": _of("invoke", 0, expected=B),
        "another was current, and it was only staged": _of("invoke", 1, expected=None),
        "another was current when it was restaged": _both(
            _adding(*_answered(6, 4.5, "restage", X, key=X, expected=A)),
            _recording(
                _entry("t7", "admin", X, _FIRST, "staged/drifted/none"),
                _entry("t8", "admin", X, "staged/drifted/none", _FIRST),
            ),
        ),
        "what is current was not ordered": lambda lines: lines[-1]["document"].update(current=A),
        "three are wanted": _recording(
            *(_entry("t7", "admin", f"DPL-{name}", _FIRST, "deployed/queued/none") for name in "XY")
        ),
    },
    "acts are seen": {
        "ordered, and read as staged": _of("api", 2, rows={B: _row(2, "staged/staged/none")}),
        "archived, and read as deployed": _both(
            _adding(_invoke(6, 3.2, "archive", key=B), {"kind": "ok", "n": 6, "at": 3.3, "id": B}),
        ),
    },
    "rollbacks restore": {
        "what was current": _rolled_back(B, "D2"),
        "what never was in force": _rolled_back("DPL-Z", "D1"),
        "with another content": _rolled_back(A, "D2"),
        "what failed": _both(
            lambda lines: _final(lines)["entries"][7]["after"].update(error="failed"), _rolled_back(A, "D1")
        ),
    },
    "patches say of what": {
        "of nothing": _both(
            _adding(*_answered(6, 4.5, "patch", X, key=A, digest="D6")), _listing({"id": X, **_row(6, _FIRST)})
        ),
    },
    "out of service, nothing new": {
        "made": _adding(*_answered(6, 0.5, "retire", "DEV-1")),
        "ordered": _adding(
            *_answered(6, 2.5, "retire", "DEV-1"), *_answered(7, 3.5, "return", "DEV-1")
        ),
    },
    "the record is whole": {
        "it is not": _of("verified", whole=False, reason="entry 7 is not what was recorded"),
        "nobody looked": _without("verified"),
    },
    "never back": {
        "in one reader's eyes": _adding(_api(4.0, A=_row(1, "deployed/deployed/none"))),
        "in two readers' eyes": _adding({**_api(4.0, A=_row(1, "archived/removing/none")), "who": "reader-2"}),
        "from failed": _adding(
            _api(4.0, B=_row(2, "archived/archived/failed")), _api(4.5, B=_row(2, "archived/archived/none"))
        ),
        "what cannot be": _adding(_api(4.0, B=_row(2, "staged/deployed/none"))),
        "in the records": _recording(_entry("t7", "device", A, "archived/archived/none", "archived/removing/none")),
        "records with a gap": _at_the_end("entries", lambda entries: entries.pop(6)),
    },
    "merged": {
        "the error is not shown": _adding(_api(4.0, B={**_row(2, "deployed/deployed/retrying"), "status": "deployed"})),
    },
    "deployed is proof": {
        "never on the disk": _without("disk", 1),
        "on the disk too late for the API": _both(_without("report", 1), _of("disk", 1, begin=1.8, end=1.9)),
        "on the disk too late for the report": _of("disk", 1, begin=1.55, end=1.56),
        "with another digest": lambda lines: lines[7]["deployments"][0].update(digest="D9"),
    },
    "never torn": {
        "two contents": _of("disk", 1, marks=["amr-1 1", "amr-1 2"]),
        "a file is missing": _of("disk", 1, digest="D1 but one"),
        "another's": _both(
            _adding({**_invoke(6, 0.5, "create", digest="D6"), "device": "amr-2"}),
            _adding({"kind": "ok", "n": 6, "at": 0.6, "id": X}, _disk(2.0, X, "D6", ("amr-2 6",))),
        ),
        "nobody's": _adding(_disk(2.0, "DPL-Z", "D7", ("amr-1 7",))),
    },
    "gone stays gone": {
        "after a report": _adding(_disk(3.65, A, "D1", ("amr-1 1",))),
        "after it was read": _both(_of("report", 3, deployments=[]), _adding(_disk(4.0, f"{A}.1", "D1", ("amr-1 1",)))),
    },
    "absence is no command": {
        "without an order": _adding(_disk(2.0, None)),
        "by an order of earlier": _both(_adding(_disk(4.0, None)), _adding(_order(0.5, 0, None))),
    },
    "one order per generation": {
        "two of one number": _adding({**_order(4.0, 3, B), "order": "another"}),
        "an older one after a newer one": _adding(_order(4.0, 2, B, A)),
        "of other content": _of("order", 1, digest="D9"),
        "what nobody made": _of("order", 1, deployment="DPL-Z"),
    },
    "orders are sealed by the list": {
        "an older list after a newer one": _adding(_keys(4.0, 2, "key"), _keys(4.1, 1, "key")),
        "signed by a key that is retired": _adding(_keys(4.0, 2, "another"), _order(4.1, 3, B)),
        "of an epoch that is over": _adding(_keys(4.0, 2, "key", epoch=2), _order(4.1, 3, B)),
    },
    "robots follow the list": {
        "back to an older one": _both(_adding(_keys(0.1, 2, "key"), _FOLLOWS), _of("report", 1, keys=2)),
        "one that was not sent": _of("report", -1, keys=2),
        "before it was sent": _both(_adding(_keys(4.0, 2, "key"), _FOLLOWS), _of("report", 2, keys=2)),
        "the newest is missed": _adding(_keys(4.0, 2, "key")),
    },
    "reports answer orders": {
        "two of one number": _adding({**_report(4.0, 4, 3), "body": "another"}),
        "back to an earlier order": _adding(_report(4.0, 5, 2, B="deployed")),
        "an order that was not sent": _adding(_report(4.0, 5, 7)),
        "another order than was sent": _adding({**_report(4.0, 5, 3), "order": "another"}),
        "before it was sent": _of("report", 2, at=3.1),
    },
    "everything agrees": {
        "it did not settle": _of("settled", within=None, why="amr-1 is not in sync"),
        "nothing is known": _without("final"),
        "not in sync": lambda lines: lines[-1]["document"].update(in_sync=False),
        "a fallback is left": lambda lines: lines[-1]["document"].update(fallback=A),
        "what is current is not in force": _row_is(0, _row(2, "deployed/queued/none")),
        "something is being removed": _row_is(1, _row(1, "archived/removing/none")),
        "a tree is left": _at_the_end("trees", lambda trees: trees.append(A)),
        "other files": lambda lines: lines[-1].update(digest="D1"),
    },
    "nobody gives up": {
        "the cloud": _adding({"kind": "exit", "at": 3.0, "who": "cloud", "after": "stop-cloud"}),
        "an agent": _adding({"kind": "exit", "at": 3.0, "who": "amr-1", "after": "clock"}),
    },
    "the traffic stops": {"somebody speaks": _of("quiet", messages=1)},
}  # fmt: skip


def test_a_good_history_is_good() -> None:
    assert check(History(good())) == []


def test_a_rule_without_a_history_that_breaks_it_would_prove_nothing() -> None:
    assert set(BAD) == set(RULES)


@pytest.mark.parametrize(("rule", "name"), [(rule, name) for rule, bad in BAD.items() for name in bad])
def test_a_bad_history_is_found_out(rule: str, name: str) -> None:
    lines = good()
    BAD[rule][name](lines)
    found = [each for each in check(History(lines)) if each.rule == rule]
    assert found
    if rule != "everything agrees":
        assert all(each.lines for each in found)


OTHERS: Mapping[str, Change] = {
    "a device is archived and returns": _adding(
        *_answered(6, 3.2, "retire", "DEV-1"), *_answered(7, 3.5, "return", "DEV-1")
    ),
    "what may have happened did": _both(_listing(_STRANGER), _recording(_entry("t7", "admin", X, None, _FIRST))),
    "two readers at once": _adding({**_api(3.65, A=_row(1, "archived/removing/none")), "who": "reader-2"}),
    "an order is repeated by another connection": _adding({**_order(3.9, 2, B, A), "client": "cloud-2"}),
    "an agent cannot begin on a full disk": _adding({"kind": "exit", "at": 3.0, "who": "amr-1", "after": "disk-full"}),
    "either of two keys signs": _adding(_keys(4.0, 2, "another", "key"), _order(4.1, 3, B), _FOLLOWS),
    "another connection has not heard of the list": _adding(
        {**_keys(4.0, 2, "another"), "client": "cloud-2"}, _order(4.1, 3, B), _FOLLOWS
    ),
    "a list reaches everybody": _adding(_keys(4.0, 2, "key"), _FOLLOWS),
    "a report is repeated": _adding(_report(4.0, 4, 3, B="deployed", A="archived")),
    "everything is taken off by order": _both(_adding(_order(3.9, 4, None)), _adding(_disk(4.0, None))),
    "a tree was damaged and written anew": _adding(_disk(4.0, f"{B}.1", "D2", ("amr-1 2",))),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_may_happen_is_allowed(name: str) -> None:
    lines = good()
    OTHERS[name](lines)
    assert check(History(lines)) == []


def test_a_violation_shows_the_lines_that_prove_it() -> None:
    lines = good()
    lines.append(_disk(2.0, None))
    (found,) = check(History(lines))
    assert str(found).splitlines()[0] == "absence is no command: amr-1 lost its configuration without an order"
    assert [line.number for line in found.lines] == [7, 30]
    assert '"tree": "DPL-A"' in str(found)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    log = Log(tmp_path / "history.jsonl")
    for line in good():
        log.write(**line)
    log.close()
    log.write("late")
    read = History.read(tmp_path / "history.jsonl")
    assert [dict(line.fields) for line in read.lines] == json.loads(json.dumps(good()))
    assert check(read) == []
