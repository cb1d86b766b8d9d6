"""Values as comparisons and merges tell them: plain JSON, of bounded size."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, cast

from shallop_cloud.configs import values

MOST = 50_000
"""How much all values of one answer may weigh together, as `values.weight` weighs: about 3 MB of text. An alias costs a
few bytes in a file and may stand for a megabyte."""


@dataclasses.dataclass(slots=True)
class Showing:
    """Makes values fit to be shown. Once ``left`` is used up, a value that is not small becomes a short text."""

    left: int = MOST

    def plain(self, value: Any) -> Any:
        """``value`` as dict, list, str, int, finite float, bool and None, and nothing else.

        NaN and infinity, which JSON cannot say, become the texts ``.nan``, ``.inf`` and ``-.inf``, as YAML spells them.
        """
        weight = values.weight(value)
        if weight > 2 and weight > self.left:
            return values.show(value)
        self.left -= weight
        return _plain(value)


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {str(key): _plain(each) for key, each in cast("dict[str, Any]", value).items()}
        case list():
            return [_plain(each) for each in cast("list[Any]", value)]
        case str():
            return str(value)
        case float() if math.isnan(value):
            return ".nan"
        case float() if math.isinf(value):
            return ".inf" if value > 0 else "-.inf"
        case _:
            return value
