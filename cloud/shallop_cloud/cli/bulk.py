"""What became of each thing that one command was about: a line each, and an exit code for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shallop_cloud.cli import exits, output, tables, wait_many
from shallop_cloud.cli.exits import Exit
from shallop_cloud.cli.output import Format
from shallop_cloud.cli.tables import Cell, Content, Id

if TYPE_CHECKING:
    from shallop_cloud.cli.client import Api, Json


def finish(api: Api, answer: Json, done: str, format: Format, wait_for: float | None = None) -> None:  # noqa: A002
    """Prints what became of each; with ``wait_for`` (seconds), once the outcomes of what was ordered are known.

    Raises:
        exits.Failure: a deployment failed on its device (9), its outcome was not known in time (8), or an item was
            refused: 6 if the present state forbids it, else as its problem would end a command of its own.
    """
    ordered = output.ids(answer)
    if wait_for is not None and ordered:
        refused = [f"{_key(each)}: {each['problem']['detail']}" for each in answer["data"] if each["problem"]]
        code = _code(answer) if refused else Exit.OK
        wait_many.finish(api, ordered, wait_for, format, refused, code)
        return
    output.show(answer, format, lambda page: _table(page, done))
    refused = [each for each in answer["data"] if each["problem"]]
    if not refused:
        return
    told = format is Format.TABLE
    lines = [] if told else [f"{_key(each)}: {each['problem']['detail']}" for each in refused]
    rest = len(answer["data"]) - len(refused)
    outcome = f"{rest} {done}" if rest else f"nothing was {done}"
    raise exits.Failure(_code(answer), f"{len(refused)} refused, {outcome}", lines)


def _table(answer: Json, done: str) -> None:
    if not answer["data"]:
        tables.say("nothing to do: nothing fits")
        return
    rows: list[tuple[Content, ...]] = []
    for each in answer["data"]:
        problem = each["problem"]
        result = Cell("refused", "bold red") if problem else Cell(done, "green")
        rows.append((_key(each), result, Id(each["id"] or ""), problem["detail"] if problem else ""))
    if "device" in answer["data"][0]:
        tables.columns(("DEVICE", "RESULT", "DEPLOYMENT", "PROBLEM"), rows)
    else:
        tables.columns(("DEPLOYMENT", "RESULT", "PROBLEM"), [(row[0], row[1], row[3]) for row in rows])


def _key(item: Json) -> str:
    return item["device"] if "device" in item else item["deployment"]


def _code(answer: Json) -> Exit:
    codes = [exits.of_http(each["problem"]["status"]) for each in answer["data"] if each["problem"]]
    return Exit.CONFLICT if Exit.CONFLICT in codes else codes[0]
