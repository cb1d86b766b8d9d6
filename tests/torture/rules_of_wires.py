"""What went over the wire: orders and reports, as they arrived at the proxy before anything happened to them."""

from __future__ import annotations

from collections.abc import Iterator

from torture.history import History, Line
from torture.violation import Found


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
