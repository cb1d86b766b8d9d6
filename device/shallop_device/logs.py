"""Logging: one JSON object per line on stderr, for journald and its readers."""

from __future__ import annotations

import datetime
import logging

from shallop_protocol import terminal


class JsonLines(logging.Formatter):
    """Time, level, logger and message of a record, its ``extra`` fields, and the traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        moment = datetime.datetime.fromtimestamp(record.created, datetime.timezone.utc)
        line: dict[str, object] = {
            "at": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update({key: value for key, value in vars(record).items() if key not in _OWN and key not in line})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return terminal.as_json(line)


_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def set_up(level: str) -> None:
    """Sends every record from ``level`` upwards to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
