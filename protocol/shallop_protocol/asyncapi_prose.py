"""What the AsyncAPI document says in words: the rules that no schema holds. Numbers come from the code."""

from __future__ import annotations

from shallop_protocol import desired, device, dsse, keys, messages, strict_json
from shallop_protocol.topics import Kind

INFO = f"""\
shallop delivers configuration to robots. The cloud publishes, for each robot, one signed *desired state*; the robot
brings its disk to it and publishes a *report* of what became of it. This document is written from the point of view of
the cloud: what the cloud sends, a robot receives. A robot can be written from this document alone.

## Level-based

Each retained message is the whole truth of its kind. A later one supersedes an earlier one, and the same one twice
changes nothing. Messages may be lost, repeated, delayed and reordered; rely on no order, and give no meaning to the
flags RETAIN and DUP. Absence is no command: no message, an empty payload, or a payload that cannot be read changes
nothing on the robot.

## What a robot does on each connection

1. Connect with the device id in lower case as client id and user name, a clean session, and a last will on the presence
   topic (see the channel *presence*).
2. Subscribe, at QoS 1 and by their exact names, to *keys*, to its own *desired* and *echo*, and to *hello*. Wildcards
   and shared subscriptions are refused. A robot that never asks for an echo may leave *echo* out.
3. Publish *presence* `online`, then its *report*.
4. Before each attempt to connect, the first one included, wait a random moment; wait longer and longer while attempts
   are refused.

## Whose orders count

A robot pins the public root keys when it enrols, for ever, and the threshold: so many of them together sign a *key
list*. The answer to its enrolment brings the first one; the topic *keys* the newest. A key list is taken if enough
roots signed it, its `version` is higher than that of the one in force, and its `epoch` is not lower. Store it durably,
then judge again what was refused with `bad_signature` or `wrong_epoch`: an order may arrive before the list that it
needs. A key list changes nothing of what runs.

## Taking an order

An order is taken only if all of this holds, checked in this order:

1. The envelope is at most {desired.MAX_ENVELOPE_BYTES} bytes, and a key signed it that is active in the key list.
2. The payload type is known; what it unpacks to is at most {desired.MAX_PAYLOAD_BYTES} bytes.
3. `v` is {messages.VERSION}, and the fields are those of the schema *Desired*.
4. `device` is the robot's own id.
5. `epoch` is that of the key list; otherwise `wrong_epoch`. `(epoch, generation)`, compared as a pair, is not lower
   than the `floor` of the enrolment's answer; otherwise `outdated`.
6. `(epoch, generation)` is higher than that of any order taken before. If it is equal, and
   deployment id, deployment digest and fallback are the same, there is nothing to do but to publish the report again.
   If it is equal and one of them differs, the order is refused with code `conflicting_generation`. If it is lower, it
   is refused with `older_generation`.
7. A deployment that was ordered before has the digest that it had then; otherwise `conflicting_deployment`.

Store an order durably before acting on it. A refused message changes nothing but the field `refused` of the next
report; the codes of what could not be read are `too_large`, `malformed`, `unsupported`, `bad_signature` and
`wrong_device`.

## Obeying it

Bring the disk to the newest order that was taken, and to nothing else:

* A file whose `content` is null travels by reference: get its bytes by `GET /v1/device/contents/{{digest}}` from the
  cloud's address, with HTTP Basic authentication by the MQTT user name and password. Byte ranges (RFC 9110, section
  14) are answered, so an interrupted transfer goes on where it stopped.
* Check each file: its size and digest, and its path. A path is relative, its segments are joined by `/`; none is empty,
  `.`, or begins with `..`, and there are no control characters and no backslashes.
* Write all files, make them durable, switch to them in one step, read them back, and only then report `deployed`.
* What runs stays in force until the deployment named by the order is confirmed. Then what the order names neither as
  `deployment` nor as `fallback` comes off.
* The fallback stays on the disk beside the deployment. If the deployment fails, return to the fallback.
* With `deployment: null` everything comes off.
* With `confirm_s`, the deployment is on trial from the switch on. Connect anew, publish a report with a random `nonce`,
  and wait for an *echo* with that nonce. If none comes within so many seconds of the switch, the deployment failed
  (`cut_off`). Before the switch, wait until there is a connection. A robot that does not know the field ignores it.
* Robot software may say "not now". The deployment then stays `queued`, and `waiting` says why and until when.
* An error is `retrying` where the world may heal (the disk is full), with a growing pause; it is `failed`
  where the same bytes can never work (digest differs, path refused, check says no). What failed comes off, is
  never tried again, and keeps its reason.

## Statuses that a robot reports

`activity` goes `queued`, `deployed`, `removing`, `archived`, forward only; `queued` may go straight to `archived`.
`error` is `none`, `retrying` or `failed`. `retrying` becomes `none` only when what was tried is reached; `failed` is
final. A robot takes `queued` to `deployed` by confirming, and never reports `removing` or `archived` of what its order
names unless that failed.

## Digests

Written `sha256:` and 64 lower-case hexadecimal digits.

* Of a file: SHA-256 of its bytes, which are the UTF-8 bytes of `content` where it is there.
* Of a deployment: SHA-256 of one entry for each file, `path` NUL `mode` SPACE `size` SPACE `digest` LF, in UTF-8,
  `size` in decimal; the entries sorted by code point and joined. A robot computes it from what it read back.

## JSON

UTF-8, no byte order mark. Refused: a key twice in one object, NaN and Infinity, nesting deeper than
{strict_json.MAX_DEPTH}, half a surrogate pair, a string where the schema has a number, `17.0` where it has an integer.
Unknown fields are ignored. An unknown status is an error, and so is another `v`. Times are RFC 3339 with an offset;
they are for people, and no decision rests on them.
"""

BROKER = """\
Any MQTT broker, version 5 or 3.1.1, with TLS. Everything is published at QoS 1. No decision rests on a SUBACK, a
PUBACK, a persistent session, or on what the broker keeps. The host is an example: enrolment says which broker to use.
So is the topic root `shallop/v1`, which may have one to five segments of `[A-Za-z0-9_-]` and 126 bytes.
"""

ENVELOPE = f"""\
A DSSE v1 envelope (https://github.com/secure-systems-lab/dsse). `payload` and `sig` are base64, in the standard or the
URL-safe alphabet, with padding. A signature is Ed25519 (RFC 8032) over these bytes, where SP is a space, LEN a length
in bytes in decimal, and PAYLOAD the bytes after base64 and before decompression:

    "DSSEv1" SP LEN(payloadType) SP payloadType SP LEN(PAYLOAD) SP PAYLOAD

One signature by a trusted key is enough, for a key list as many as the threshold says, each by another key; those by
other keys are passed over; at most {dsse.MAX_SIGNATURES} are looked at. Look at nothing in the payload before the
signature was found good. With `{desired.PAYLOAD_TYPE_GZIP}` the payload is one gzip member with nothing behind it. The
signature of the example is by the key whose 32 private bytes are 00 01 02 … 1f: use it to test an
implementation, and pin it nowhere.
"""

KEY_ID = (
    "The first 32 hexadecimal digits of the SHA-256 of the 32 bytes of the public key. A hint, never trusted by itself."
)

DEVICE = "The robot's id on the wire: lower case, 1 to 64 of a-z, 0-9 and '-'. `cloud` and `monitor` are reserved."

SCHEMAS = (
    "What the models accept. `Envelope` is what travels on the topic `desired`; its payload is a `Desired`. "
    "The rules that no schema holds are in asyncapi.json."
)

CHANNELS = {
    Kind.DESIRED: (
        "The signed order for one robot, retained. The cloud publishes it when it changes, and again while the robot "
        "has not answered it. The payload of its envelope is described by the schema *Desired*."
    ),
    Kind.REPORT: f"""\
The robot's last-known state, retained. Published on each connection, on each change of what it says, on *hello*, and
now and then as a heartbeat.

* `incarnation` names the robot's database: a new random one when that is lost. `seq` is stored with it, and grows with
  each report that is published, one that says the same again included. The cloud passes over what is not newer within
  an incarnation.
* `epoch` and `generation` are those of the newest order taken, 0 and 0 before the first.
* `current` is what robot software sees now.
* `deployments` are those on the disk or ordered, and the last {device.KEPT_FINISHED} finished ones, so that an outcome
  survives a cloud that was away. The one that the order names is always among them. What is missing from the report
  counts as off the robot, if the order that ended it was answered.
* `digest` is computed from what was read back from the disk. The cloud believes `deployed` only with the right one.
* `waiting` says why a deployment is not brought on though nothing is wrong: `held`, `fetching`, `checking`, `on_trial`,
  `offline`. `integrity` says that files on the disk are not what was written, and that the robot leaves them so.
* `nonce` asks for an echo. A robot asks on each connection and now and then. If for long, by a clock that nobody sets,
  no echo came that knows of nothing newer than the robot has, then somebody may be holding the cloud's messages back:
  `stale` says so. What runs stays.
* `keys` is the version of the key list that the robot goes by.
* `refused` is the newest message that was not taken, until an order is taken.
* If a report would be too large, cut the words of its reasons, and leave out the oldest finished deployments.
""",
    Kind.PRESENCE: """\
Whether the robot's connection stands, retained; a hint for people, on which no decision rests. The robot stores a
`connection` number and raises it before each connection. The last will, `offline`, and the message after connecting,
`online`, carry the same number. A will that arrives late carries an old number, and is passed over. A robot that hears
of an `offline` that is not its own says `online` again.
""",
    Kind.EVENT: "What happened along the way, for people: a file that changed, say. Not retained, never needed.",
    Kind.HELLO: (
        "The cloud asks every robot to publish its report again, under a new `seq`, at a random moment within "
        "`spread_s` seconds. Not retained. The cloud needs it because not every broker replays retained messages."
    ),
    Kind.ECHO: (
        "The cloud's answer to a report with a `nonce`: that nonce, and the epoch and generation of its newest order, "
        "and the version of its newest key list, signed. Not retained. The payload of its envelope is described by the "
        "schema *Echo*. An echo with another nonce says nothing."
    ),
    Kind.KEYS: (
        "The key list, signed by the roots, retained: the same for every robot. The payload of its envelope is "
        f"described by the schema *KeyList*; its type is `{keys.PAYLOAD_TYPE}`."
    ),
}

OPERATIONS = {
    Kind.DESIRED: "The cloud orders what one robot shall run.",
    Kind.REPORT: "A robot says how it is.",
    Kind.PRESENCE: "A robot, or its last will, says whether it is connected.",
    Kind.EVENT: "A robot says what happened along the way.",
    Kind.HELLO: "The cloud asks every robot to report again.",
    Kind.ECHO: "The cloud proves to one robot that its report arrived.",
    Kind.KEYS: "The roots say whose orders count.",
}

_SMALL = f"At most {messages.MAX_SMALL_BYTES} bytes."
LIMITS = {
    Kind.DESIRED: (
        f"The cloud publishes at most {desired.DEFAULT_LIMIT} bytes unless it is set up otherwise; a robot looks at up "
        f"to {desired.MAX_ENVELOPE_BYTES}."
    ),
    Kind.REPORT: f"At most {messages.MAX_REPORT_BYTES} bytes and {messages.MAX_DEPLOYMENTS} deployments.",
    Kind.PRESENCE: _SMALL,
    Kind.EVENT: _SMALL,
    Kind.HELLO: _SMALL,
    Kind.ECHO: _SMALL,
    Kind.KEYS: f"At most {keys.MAX_BYTES} bytes, {keys.MAX_KEYS} keys, of which {keys.MAX_ACTIVE} may be active.",
}
