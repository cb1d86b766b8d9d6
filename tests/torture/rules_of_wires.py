"""What went over the wire: orders and reports, as they arrived at the proxy before anything happened to them."""

from __future__ import annotations

from collections.abc import Iterator

from torture.history import History, Line
from torture.violation import Found

FIRST_LIST = 1
"""Robots are enrolled with it."""


def orders(history: History) -> Iterator[Found]:
    """A generation of a device is one order; no connection of the cloud sends an older one after a newer one; and
    what is ordered was made for this device.
    """
    first: dict[tuple[str, int, int], Line] = {}
    newest: dict[tuple[str, str], Line] = {}
    for line in history.of("order"):
        position = (line["epoch"], line["generation"])
        one = first.setdefault((line["device"], *position), line)
        if one["order"] != line["order"]:
            yield Found(f"two orders have generation {line['generation']} of {line['device']}", (one, line))
        last = newest.get((line["device"], line["client"]))
        if last is not None and (last["epoch"], last["generation"]) > position:
            yield Found(f"an older order of {line['device']} was sent after a newer one", (last, line))
        newest[line["device"], line["client"]] = line
        if line["deployment"] is not None:
            made = history.creates.get(line["deployment"])
            if made is None or (made.device, history.digest(made)) != (line["device"], line["digest"]):
                yield Found(f"{line['deployment']} was ordered, and was not made so for {line['device']}", (line,))


def seals(history: History) -> Iterator[Found]:
    """No connection of the cloud sends an older key list after a newer one, nor an order that the newest list which it
    sent before does not allow: of an earlier epoch, or signed by none of the keys that are active.
    """
    told: dict[str, Line] = {}
    for line in history.lines:
        known = told.get(line["client"]) if line["kind"] in ("keys", "order") else None
        if line["kind"] == "keys":
            if known is not None and known["version"] > line["version"]:
                yield Found(f"key list {line['version']} was sent after key list {known['version']}", (known, line))
            told[line["client"]] = line
        elif known is not None and line["epoch"] < known["epoch"]:
            yield Found(f"an order of {line['device']} is of an epoch that is over", (known, line))
        elif known is not None and not set(line["signers"]) & set(known["active"]):
            yield Found(f"an order of {line['device']} is signed by no key that counts", (known, line))


def lists(history: History) -> Iterator[Found]:
    """A robot never goes back to an older key list, goes by none that the cloud had not sent, and by the newest in the
    end.
    """
    sent: dict[int, Line] = {}
    last: dict[str, Line] = {}
    for line in history.lines:
        if line["kind"] == "keys":
            sent.setdefault(line["version"], line)
        elif line["kind"] == "report":
            before = last.get(line["device"])
            if before is not None and before["incarnation"] == line["incarnation"] and before["keys"] > line["keys"]:
                yield Found(f"{line['device']} went back to key list {line['keys']}", (before, line))
            if line["keys"] > FIRST_LIST and line["keys"] not in sent:
                yield Found(f"{line['device']} goes by key list {line['keys']}, which was not sent", (line,))
            last[line["device"]] = line
    newest = max(sent, default=FIRST_LIST)
    for line in last.values():
        if line["keys"] != newest:
            yield Found(f"{line['device']} ends with key list {line['keys']}, and {newest} is the newest", (line,))


def reports(history: History) -> Iterator[Found]:
    """A number of a report is one report; a later one answers no earlier order; and what is answered was sent."""
    sent: dict[tuple[str, int, int], Line] = {}
    for line in history.of("order"):
        sent.setdefault((line["device"], line["epoch"], line["generation"]), line)
    first: dict[tuple[str, str, int], Line] = {}
    for line in history.of("report"):
        one = first.setdefault((line["device"], line["incarnation"], line["seq"]), line)
        if one["body"] != line["body"]:
            yield Found(f"two reports of {line['device']} have number {line['seq']}", (one, line))
        if line["generation"]:
            order = sent.get((line["device"], line["epoch"], line["generation"]))
            if order is None or order["at"] > line["at"]:
                yield Found(f"{line['device']} answers generation {line['generation']}, which was not sent", (line,))
            elif line["order"] not in (None, order["order"]):
                yield Found(f"{line['device']} answers another order than was sent", (order, line))
    last: Line | None = None
    for line in sorted(first.values(), key=lambda line: (line["device"], line["incarnation"], line["seq"])):
        same = last is not None and (last["device"], last["incarnation"]) == (line["device"], line["incarnation"])
        if last is not None and same and (last["epoch"], last["generation"]) > (line["epoch"], line["generation"]):
            yield Found(f"{line['device']} went back to an older order", (last, line))
        last = line
