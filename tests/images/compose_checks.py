"""Read a compose file and say which of its promises it breaks; Compose's own check knows the keys, not these."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

SECRET = re.compile(r"TOKEN|PASSWORD|SECRET|API_?KEY", re.IGNORECASE)
SERVICES = {"head", "worker", "dev", "tensorboard", "prometheus", "grafana"}
GPU = {"worker", "dev"}
KEPT = {"/data", "/studies", "/registry"}


def problems(file: Mapping[str, Any]) -> list[str]:
    """Every promise that this file breaks; empty when it keeps them all."""
    services = file["services"]
    found = [f"services: {name} is missing." for name in sorted(SERVICES - services.keys())]
    for name, service in services.items():
        found += [f"{name}: {problem}" for problem in service_problems(name, service)]
    found += cluster_problems(services)
    used = {volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])}
    named = {volume for volume in used if not volume.startswith((".", "/", "~"))}
    return found + [f"volumes: {name} is not declared." for name in sorted(named - file.get("volumes", {}).keys())]


def service_problems(name: str, service: Mapping[str, Any]) -> Iterator[str]:
    """Limits, rights, ports, image and command of one service."""
    limits = service.get("deploy", {}).get("resources", {}).get("limits", {})
    yield from (f"no limit of {kind}." for kind in ("cpus", "memory") if not limits.get(kind))
    devices = service.get("deploy", {}).get("resources", {}).get("reservations", {}).get("devices", [])
    if (name in GPU) != any("gpu" in device.get("capabilities", []) for device in devices):
        yield "reserves GPUs if it trains, and only then."
    if service.get("cap_drop") != ["ALL"] or "no-new-privileges:true" not in service.get("security_opt", []):
        yield "keeps rights that it doesn't need: cap_drop: [ALL], no-new-privileges."
    for port in service.get("ports", []):
        if not str(port).startswith("127.0.0.1:"):
            yield f"publishes {port} to the network; begin with 127.0.0.1:."
    tag = service.get("image", "").rpartition(":")[2]
    if not re.match(r"v?\d", tag.removesuffix("}").removesuffix("}-dev")):
        yield f"image {service.get('image')!r} has no fixed tag."
    if isinstance(service.get("command", []), str):
        yield "command: a list, or a shell stands in the way of signals."
    if not service.get("logging", {}).get("options", {}).get("max-size"):
        yield "logging: without max-size its log fills the disk."
    for key, value in service.get("environment", {}).items():
        if SECRET.search(key) and value and not key.endswith(("_PATH", "_FILE")) and not str(value).startswith("${"):
            yield f"environment: {key} is written in the file."


def cluster_problems(services: Mapping[str, Any]) -> Iterator[str]:
    """What head and worker have to have in common."""
    head, worker = services.get("head", {}), services.get("worker", {})
    if head.get("image") != worker.get("image"):
        yield "head and worker: not the same image; Ray and Python would differ."
    for name, service in (("head", head), ("worker", worker)):
        environment = service.get("environment", {})
        if environment.get("RAY_AUTH_MODE") != "token" or "ray_token" not in service.get("secrets", []):
            yield f"{name}: has no token."
        missing = KEPT - {volume.split(":")[1] for volume in service.get("volumes", [])}
        yield from (f"{name}: {path} is no volume; it goes with the container." for path in sorted(missing))
        if not service.get("read_only"):
            yield f"{name}: its root can be written."
        if "--block" not in service.get("command", []):
            yield f"{name}: without --block the container ends at once."
