"""The example robot that ships with shallop, for a bench that is told no other."""

from __future__ import annotations

from pathlib import Path

_DIRECTORY = Path(__file__).parents[1] / "mobile-robot"

RELEASE = _DIRECTORY / "release.yaml"
CONFIGS = {
    "motion-control": _DIRECTORY / "configs" / "motion-control.yaml",
    "nav2": _DIRECTORY / "configs" / "nav2_params.yaml",
    "site": _DIRECTORY / "configs" / "site.json",
}
"""A configuration of it, by config type."""
