"""Configuration for EMQX 5, which asks shallop's API who may connect and do what."""

from __future__ import annotations

import json
import secrets
import shlex

from shallop_cloud import files
from shallop_cloud.brokers import rules
from shallop_cloud.brokers.rules import Plan, Written

ANSWERS_COUNT_S = 60
"""How long EMQX goes by an answer to what a client may do, in seconds: a revoked robot is deaf and dumb after that."""


def write(plan: Plan) -> Written:
    """``emqx.conf``, with the secret by which EMQX asks; the secret is made if there is none."""
    for directory in (plan.data, plan.mqtt):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    token = files.secret(plan.mqtt / "broker.token", secrets.token_urlsafe)
    return Written({"emqx.conf": configuration(plan, token)}, _steps(plan))


def configuration(plan: Plan, token: str) -> str:
    """``emqx.conf`` in HOCON, where a JSON text is a text."""
    api, headers = (
        plan.api,
        f'{{ "content-type" = "application/json", authorization = {json.dumps(f"Bearer {token}")} }}',
    )
    return f"""\
# EMQX 5 for shallop. Written by `shallop broker config emqx`; it may be written again at any time.
# It has the secret by which EMQX asks shallop's API: keep it for its owner alone.

{_listeners(plan)}
listeners.ws.default.enable = false
listeners.wss.default.enable = false

mqtt {{
  max_packet_size = "{(rules.PAYLOAD_BYTES >> 10) + 1}KB"
  max_mqueue_len = {rules.QUEUED_MESSAGES}
  max_inflight = 65535
  server_keepalive = {rules.KEEPALIVE_S}
  # A client's id is its user, so no robot can push another off by using its id.
  use_username_as_clientid = true
  # shallop uses none.
  shared_subscription = false
}}
retainer.max_payload_size = "{(rules.PAYLOAD_BYTES >> 10) + 1}KB"

# Who may connect: the password is checked by shallop, at once after a robot enrolled or was revoked.
authentication = [
  {{
    mechanism = password_based
    backend = http
    method = post
    url = {json.dumps(f"{api}/v1/broker/authenticate")}
    headers {headers}
    body {{ username = "${{username}}", password = "${{password}}", clientid = "${{clientid}}" }}
    request_timeout = "5s"
  }}
]

# Who may do what; what shallop does not allow is denied, also while it cannot be reached.
authorization {{
  no_match = deny
  deny_action = ignore
  cache {{ enable = true, max_size = 64, ttl = "{ANSWERS_COUNT_S}s" }}
  sources = [
    {{
      type = http
      method = post
      url = {json.dumps(f"{api}/v1/broker/authorize")}
      headers {headers}
      body {{ username = "${{username}}", clientid = "${{clientid}}", topic = "${{topic}}", action = "${{action}}" }}
      request_timeout = "5s"
    }}
  ]
}}
"""


def _listeners(plan: Plan) -> str:
    if not plan.tls:
        return (
            f"listeners.tcp.default.bind = {json.dumps(rules.spelt(plan.listen))}\nlisteners.ssl.default.enable = false"
        )
    asks = ""
    if plan.tls.authority:
        asks = f"""
    cacertfile = {json.dumps(str(plan.tls.authority))}
    verify = verify_peer
    fail_if_no_peer_cert = true"""
    inner = plan.inner
    plain = (
        f"listeners.tcp.default.bind = {json.dumps(rules.spelt(inner))}"
        if inner
        else "listeners.tcp.default.enable = false"
    )
    return f"""\
listeners.ssl.default {{
  bind = {json.dumps(rules.spelt(plan.listen))}
  ssl_options {{
    certfile = {json.dumps(str(plan.tls.certificate))}
    keyfile = {json.dumps(str(plan.tls.key))}
    versions = ["tlsv1.3", "tlsv1.2"]{asks}
  }}
}}
{plain}"""


def _steps(plan: Plan) -> tuple[str, ...]:
    scheme = "mqtts" if plan.tls else "mqtt"
    cloud = f"mqtt://{rules.spelt(plan.inner or plan.listen)}"
    advertise = f" --advertise-broker {scheme}://BROKER-HOST:{plan.listen[1]}" if plan.tls else ""
    serve = f"shallop serve --data {shlex.quote(str(plan.data))} --broker {cloud} --broker-protocol 5{advertise}"
    first = f"The cloud, which EMQX asks at {plan.api}; over a network, let that be https:\n  {serve}"
    file = shlex.quote(str(plan.out / "emqx.conf"))
    then = f"EMQX, with this file as its own:\n  cp {file} /etc/emqx/emqx.conf && systemctl restart emqx"
    return (first, then)
