"""What this machine, or a cluster, can do, and what will not work there. `sweep doctor` prints it."""

from __future__ import annotations

import platform
from pathlib import Path

from sweep.core.findings import Report, Versions
from sweep.doctor.examination import examine
from sweep.doctor.machine import installed
from sweep.doctor.smoke import smoke
from sweep.store.paths import place

__all__ = ["diagnose", "examine", "smoke"]


def diagnose(address: str | None, storage: str | Path | None, registry: str | Path | None) -> Report:
    """Examine this machine, or the cluster at an address.

    Args:
        address: None for this machine; "auto" or HOST:PORT to join a cluster, http://HOST:8265 to ask its head.
        storage: of the studies, a folder or a URL; None for the default.
        registry: of the models; None for the default.

    Raises:
        InputError: nobody answers at the address, or it doesn't let us in.
        WorkError: the head couldn't examine its cluster.
    """
    if address and "://" in address:
        from sweep.doctor.by_job import examine_by_job

        return examine_by_job(address, storage, registry)
    studies, models = place(storage or "studies"), place(registry or "registry")
    if address:
        from sweep.doctor.on_cluster import examine_cluster

        return examine_cluster(address, studies, models)
    here = examine(studies, models)
    return Report((here,), (Versions(here.place, platform.python_version(), installed("ray") or "0.0"),))
