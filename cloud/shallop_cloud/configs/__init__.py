"""Config documents, the schemas that they must satisfy, and the releases that bring both together.

Bytes become a `Document` (`parse`), strictly and with the place of every entry. A `ConfigSchema` is checked when it
is made and judges documents in bounded time. `read_release` reads a release from disk. What is wrong is told by
`Finding`s, collected in `Refused` where there is no other result to give.

`diff` compares two versions of a file, `merge` brings two versions together that grew from one, and `patching` changes
single values and leaves the rest as its author wrote it.
"""

from shallop_cloud.configs import diff, merge, patching
from shallop_cloud.configs.budget import Budget
from shallop_cloud.configs.documents import MAX_BYTES, Document, Format, parse
from shallop_cloud.configs.findings import Finding, Position, Refused, pointer_of
from shallop_cloud.configs.linking import Allowance, Fetch, UnreadableError
from shallop_cloud.configs.manifest import read as read_release
from shallop_cloud.configs.manifest import read_schemas as read_release_of_schemas
from shallop_cloud.configs.release import DEFAULT_SLOT, ConfigTypeDraft, ReleaseDraft, SlotDraft, problems
from shallop_cloud.configs.schemas import OPAQUE, ConfigSchema

__all__ = [
    # documents
    "Format", "Document", "parse", "MAX_BYTES",
    # schemas
    "ConfigSchema", "OPAQUE", "Fetch", "UnreadableError", "Allowance", "Budget",
    # releases
    "ReleaseDraft", "ConfigTypeDraft", "SlotDraft", "DEFAULT_SLOT", "problems",
    "read_release", "read_release_of_schemas",
    # files that change
    "diff", "merge", "patching",
    # what is wrong
    "Finding", "Position", "Refused", "pointer_of",
]  # fmt: skip
