"""How Ray is started on the machines, and what is left to fill in."""

from __future__ import annotations

import re
from typing import Any

from sweep.cluster.reading import texts
from sweep.cluster.remarks import Remarks
from sweep.cluster.security import STARTS, ray_starts, uses_docker

Config = dict[str, Any]

# What it is, and what stands for it in examples: names and addresses reserved for them (RFC 2606, RFC 5737), and
# machine images, groups and so on of zeros.
EXAMPLES = {
    "registry and image": r"\bexample\.(?:com|org|net)\b",
    "address": r"\b192\.0\.2\.\d+\b",
    "machine image": r"\bami-0+\b",
    "security group": r"\bsg-0+\b",
    "file system": r"\bfs-0+\b",
    "subnet": r"\bsubnet-0+\b",
    "network": r"\bvpc-0+\b",
    "project": r"\bmy-project-id\b",
    "bucket": r"\bmy-bucket\b",
}
LONG_IDLE_MINUTES = 60
_LIMIT = re.compile(r"\bulimit\s+(?:-\w+\s+)*-?\w*n\s+\d+|--ulimit[= ]nofile")


def start_problems(prepared: Config, found: Remarks) -> None:
    """Head and workers each start Ray once, a local head with the first autoscaler, with room for open files.

    Args:
        prepared: the file as Ray completes it.
        found: takes problems and doubts.
    """
    starts = list(ray_starts(prepared))
    for key in STARTS:
        mine = [command for path, command in starts if path[0] == key]
        if len(mine) != 1:
            came = "no command runs" if not mine else f"{len(mine)} commands run"
            found.wrong((key,), f"{came} `ray start`: one has to. cluster/ has commands to copy.")
    for path, command in starts:
        head = path[0] == STARTS[0]
        _start(path, command, found, head=head)
        before = command.split("ray start")[0]
        local = prepared["provider"]["type"] == "local"
        if head and local and "RAY_enable_autoscaler_v2=0" not in before:
            told = "put RAY_enable_autoscaler_v2=0 before `ray start --head`; else a worker stays out."
            found.wrong(path, f"{told} Ray's second autoscaler counts the head among them.")
        options = (prepared.get("docker") or {}).get("run_options") or []
        limits = [before, *map(str, options)] if uses_docker(prepared) else [before]
        if not any(_LIMIT.search(text) for text in limits):
            told = (
                "files may run out: a machine's default is 1024 open ones. Write ulimit -n 65536; before `ray start`."
            )
            found.doubt(path, told)
    idle = prepared.get("idle_timeout_minutes", 0)
    if prepared["provider"]["type"] != "local" and idle > LONG_IDLE_MINUTES:
        found.doubt(("idle_timeout_minutes",), f"got {idle}: each worker is paid for that long after its last trial.")


def _start(path: tuple[str | int, ...], command: str, found: Remarks, *, head: bool) -> None:
    said = command.split("ray start", 1)[1]
    if head and "--head" not in said:
        found.wrong(path, "`ray start` lacks --head here.")
    if head and "--autoscaling-config" not in said:
        told = (
            "`ray start` lacks --autoscaling-config=~/ray_bootstrap_config.yaml; without it no worker is ever started."
        )
        found.wrong(path, told)
    if not head and not re.search(r"--address[= ]\"?\$\{?RAY_HEAD_IP", said):
        found.wrong(path, "`ray start` lacks --address=$RAY_HEAD_IP:6379; so it joins nothing.")


def placeholders(config: Any, found: Remarks) -> None:
    """Where the example's values still stand, which have to be replaced before `ray up`, and by what."""
    for path, text in texts(config):
        for what, pattern in EXAMPLES.items():
            if match := re.search(pattern, text):
                found.doubt(path, f"{match.group()} is the example's. Put your {what} there before the start.")
