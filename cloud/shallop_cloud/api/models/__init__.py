"""What the API takes and shows. The names are the contract: they change only by addition."""

from shallop_cloud.api.models.base import (
    MAX_BATCH,
    DeviceKey,
    ItemProblem,
    Moment,
    Nothing,
    Page,
    Reason,
    Shown,
    Taken,
    Waiting,
)
from shallop_cloud.api.models.brokers import Granted, LoggedIn, LogIn, Wish
from shallop_cloud.api.models.contents import Content
from shallop_cloud.api.models.deployments import (
    Act,
    ActedOn,
    ActedOnMany,
    BesideDeployment,
    Choice,
    ConfigInstance,
    Deployment,
    MadeDeployment,
    MadeDeployments,
    ManyDeployments,
    Merging,
    NewConfig,
    NewDeployment,
    NewDeployments,
    NewValue,
    Patch,
    Restaging,
    Rollback,
)
from shallop_cloud.api.models.devices import (
    BesideDevice,
    BroughtReport,
    CreatedDevice,
    CreatedDevices,
    Device,
    DeviceChange,
    Lagging,
    LastKnown,
    NewDevice,
    NewDevices,
    Refusal,
)
from shallop_cloud.api.models.diff import (
    Change,
    Compared,
    Diff,
    FileDiff,
    Merge,
    MergeConflict,
    MergedFile,
    VersionOfFile,
)
from shallop_cloud.api.models.enrolments import (
    EnrolledDevice,
    Enrolment,
    Enrolments,
    Floor,
    Mqtt,
    MqttAccount,
    NewEnrolment,
    NewEnrolments,
    SeatedDevice,
    Trust,
)
from shallop_cloud.api.models.fleet import (
    Health,
    Summary,
)
from shallop_cloud.api.models.history import (
    HistoryEntry,
    Verdict,
)
from shallop_cloud.api.models.keys import GoingBy, Keys, ListedKey, PublicKey, Signature, SignedKeys
from shallop_cloud.api.models.problems import (
    Problem,
    ProblemError,
)
from shallop_cloud.api.models.releases import (
    ConfigSchema,
    ConfigType,
    NewConfigType,
    NewRelease,
    NewSlot,
    Release,
    SchemaDocuments,
    Slot,
)
from shallop_cloud.api.models.review import (
    Review,
)
from shallop_cloud.api.models.tokens import (
    CreatedToken,
    Holder,
    NewToken,
    Token,
)
from shallop_cloud.api.models.why import (
    LastSaid,
    Wait,
    Why,
)
from shallop_cloud.configs import Format

for _model in (BesideDeployment, BesideDevice, Deployment, Device, CreatedDevice, CreatedDevices, Review, Why):
    _model.model_rebuild()

__all__ = [
    # base
    "Shown", "Taken", "Page", "Reason", "MAX_BATCH", "DeviceKey", "ItemProblem", "Moment", "Nothing",
    "Waiting",
    # brokers
    "LogIn", "LoggedIn", "Wish", "Granted",
    # contents
    "Content",
    # deployments
    "NewConfig", "NewDeployment", "NewDeployments", "MadeDeployment", "MadeDeployments", "Act", "Restaging", "Merging",
    "Rollback", "NewValue", "Patch", "ManyDeployments", "Choice", "ActedOn", "ActedOnMany",
    "ConfigInstance", "BesideDeployment", "Deployment",
    # devices
    "BroughtReport",
    "NewDevice", "DeviceChange", "Refusal", "LastKnown", "Lagging", "BesideDevice", "Device", "CreatedDevice",
    "NewDevices", "CreatedDevices",
    # diff
    "VersionOfFile", "Change", "FileDiff", "Compared", "Diff", "MergeConflict", "MergedFile", "Merge",
    # enrolments
    "NewEnrolment", "EnrolledDevice", "MqttAccount", "Trust", "Floor", "Enrolment", "NewEnrolments", "Mqtt",
    "SeatedDevice", "Enrolments",
    # fleet
    "Health", "Summary",
    # history
    "HistoryEntry", "Verdict",
    # keys
    "PublicKey", "ListedKey", "GoingBy", "Keys", "Signature", "SignedKeys",
    # problems
    "Problem", "ProblemError",
    # releases
    "SchemaDocuments", "NewSlot", "NewConfigType", "NewRelease", "Slot", "ConfigType", "Release", "ConfigSchema",
    # review
    "Review",
    # tokens
    "NewToken", "Holder", "Token", "CreatedToken",
    # why
    "LastSaid", "Wait", "Why",
    # others'
    "Format",
]  # fmt: skip
