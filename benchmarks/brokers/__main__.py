"""python -m brokers [KIND...]: probes brokers, and prints a table of what was found, as docs/brokers.md has it."""

from __future__ import annotations

import json
import subprocess
import sys

import harness

from brokers.kinds import KINDS


def main() -> None:
    """Runs them one after the other."""
    found: dict[str, dict[str, str]] = {}
    said: list[str] = []
    for kind in sys.argv[1:] or KINDS:
        harness.progress(kind)
        try:
            with harness.directory() as where, KINDS[kind](where) as running:
                command = [*harness.SHALLOP, "broker", "check", *running.options, "-o", "json"]
                done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)
                results = json.loads(done.stdout)["data"]
        except harness.BenchmarkError as error:
            harness.progress(str(error))
            continue
        found[running.title] = {each["subject"]: each["verdict"] for each in results}
        said += [f"* {running.title}, {each['subject']}: {each['verdict']}. {each['observed']}" for each in results]
    subjects = list(next(iter(found.values()), {}))
    print("|", *(f"{each} |" for each in ("", *found)))
    print("|", *("--- |" for _ in ("", *found)))
    for subject in subjects:
        print(f"| {subject} |", *(f"{each.get(subject, '')} |" for each in found.values()))
    print("", *said, sep="\n")


if __name__ == "__main__":
    main()
