"""The notice by which a cloud says that it takes this machine back, handed on to Ray: the machine's nodes drain.

Ray itself never asks the cloud. AWS gives two minutes, Google Cloud half a minute.
"""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from http.client import HTTPException
from typing import Literal

Cloud = Literal["aws", "gcp"]

ENDPOINTS: dict[Cloud, str] = {"aws": "http://169.254.169.254", "gcp": "http://metadata.google.internal"}
"""Where each cloud answers questions of a machine about itself."""

ANSWER_S = 2.0

GCP_NOTICE_S = 30.0

MARGIN_S = 5.0
"""So much earlier than the cloud's own time the nodes are said to go."""

PREEMPTION = 2
"""Ray's DrainNodeReason of a machine that is taken back: unlike an idle one's it can't be refused."""


@dataclass(frozen=True)
class Notice:
    """This machine goes.

    Attributes:
        at: when, in seconds since 1970.
        text: in words.
    """

    at: float
    text: str


def look(
    cloud: Cloud,
    endpoint: str | None = None,
    *,
    now: Callable[[], float] = time.time,
    unanswered: Callable[[str], None] = lambda _: None,
) -> Notice | None:
    """The cloud's notice to this machine; None as long as there is none, or no answer that can be read.

    Args:
        cloud: whose machine this is.
        endpoint: of its metadata service, where that isn't the usual one.
        now: seconds since 1970.
        unanswered: told why there is no answer.
    """
    base = endpoint or ENDPOINTS[cloud]
    try:
        return _aws(base) if cloud == "aws" else _gcp(base, now())
    except (OSError, HTTPException, ValueError, LookupError, TypeError) as error:
        # OSError is also what urllib raises, the last three what no notice is. The next look may be answered.
        unanswered(f"{base} gives no answer that can be read ({getattr(error, 'reason', error)})")
        return None


def _aws(base: str) -> Notice | None:
    """The instance's `spot/instance-action`, which isn't there until two minutes before; with IMDSv2's token."""
    import json

    ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    token = _fetch(f"{base}/latest/api/token", ttl, method="PUT")
    action = _fetch(f"{base}/latest/meta-data/spot/instance-action", {"X-aws-ec2-metadata-token": token or ""})
    if not action:
        return None
    told = json.loads(action)
    at = datetime.fromisoformat(told["time"]).timestamp()
    return Notice(at, f"AWS takes the spot instance back ({told['action']} at {told['time']})")


def _gcp(base: str, now: float) -> Notice | None:
    told = _fetch(f"{base}/computeMetadata/v1/instance/preempted", {"Metadata-Flavor": "Google"})
    if (told or "").strip().upper() != "TRUE":
        return None
    return Notice(now + GCP_NOTICE_S, "Google Cloud takes the spot machine back")


def _fetch(url: str, headers: dict[str, str], method: str = "GET") -> str | None:
    """What stands there; None when nothing does."""
    request = urllib.request.Request(url, headers=headers, method=method)  # noqa: S310 - the cloud's own, by http
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:  # noqa: S310
            text: str = answer.read().decode()
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.NOT_FOUND:
            return None
        raise
    return text


def drain(address: str, notice: Notice, here: str | None = None) -> list[str]:
    """Tell Ray that the nodes of a machine are about to go.

    Args:
        address: of the cluster's control store, HOST:PORT.
        notice: when, and why.
        here: the machine's address in the cluster; this one's by default.

    Returns:
        Ray's ids of the nodes that it has on the machine.

    Raises:
        ConnectionError: the control store doesn't answer, or doesn't let us in.
    """
    import ray
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    here = here or ray.util.get_node_ip_address()
    try:
        client = GcsClient(address=address)
        nodes = client.get_all_node_info(timeout=ANSWER_S)
        # ALIVE is the state's zero.
        found = [key.hex() for key, info in nodes.items() if info.state == 0 and info.node_manager_address == here]
        for key in found:
            client.drain_node(key, PREEMPTION, notice.text, int((notice.at - MARGIN_S) * 1000), timeout=ANSWER_S)
    except (ray.exceptions.RayError, RuntimeError) as error:
        raise ConnectionError(str(error).strip().partition("\n")[0]) from error
    return found
