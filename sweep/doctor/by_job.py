"""Examines a cluster that this machine only reaches over HTTP: a job on its head runs `sweep doctor` there."""

from __future__ import annotations

import json
import platform
import shlex
import time
from pathlib import Path

import ray
from ray.job_submission import JobStatus, JobSubmissionClient

from sweep.core.agreement import agreement
from sweep.core.findings import Examined, Report, Versions, read_report
from sweep.doctor.on_cluster import ALL
from sweep.errors import WorkError
from sweep.remote.jobs import connect, own_version, send

JOB_S = 600.0
POLL_S = 0.5
_HERE = "this machine"
_SHOWN = 5


def examine_by_job(address: str, storage: str | Path | None, registry: str | Path | None) -> Report:
    """Examine it from its head.

    Args:
        address: http://HOST:8265, of its dashboard.
        storage: of the studies there; None for the head's own setting.
        registry: of the models there; None for the head's own setting.

    Raises:
        InputError: nobody answers there, or it doesn't let us in.
        WorkError: the job failed.
    """
    client = connect(address)
    # This version of sweep, on every node that the job examines.
    job = send(
        client,
        entrypoint=command(storage, registry),
        runtime_env=own_version(),
        metadata={"job_name": "sweep doctor", "sweep": "doctor"},
    )
    return with_submitter(parsed(_log(client, job), address))


def command(storage: str | Path | None, registry: str | Path | None) -> str:
    """What the job runs."""
    words = ["python", "-m", "sweep", "doctor", "--address", "auto", "--json"]
    words += ["--storage", str(storage)] if storage else []
    words += ["--registry", str(registry)] if registry else []
    return shlex.join(words)


def parsed(log: str, address: str) -> Report:
    """The report in a job's log, which may have other lines before and after.

    Raises:
        WorkError: there is none.
    """
    lines = log.splitlines()
    try:
        last = len(lines) - lines[::-1].index("}")
        return read_report(json.loads("\n".join(lines[lines.index("{") : last])))
    except ValueError as error:
        said = "\n".join(f"  {line}" for line in lines[-_SHOWN:]) or "  (nothing)"
        raise WorkError(
            f"the head at {address} gave no report. Do its machines have what sweep needs? The job said:\n{said}"
        ) from error


def with_submitter(report: Report) -> Report:
    """The report with this machine's versions in place of those of the job's driver, which are the head's own."""
    cluster = [versions for versions in report.versions if versions.place != _HERE]
    versions = (*cluster, Versions(_HERE, platform.python_version(), ray.__version__))
    compared = agreement(versions)
    names = {finding.name for finding in compared}
    places = [place for place in report.places if place.place != ALL]
    others = [finding for place in report.places if place.place == ALL for finding in place.findings]
    together = (*compared, *(finding for finding in others if finding.name not in names))
    return Report((*places, Examined(ALL, together)), versions)


def _log(client: JobSubmissionClient, job: str) -> str:
    deadline = time.monotonic() + JOB_S
    while client.get_job_status(job) in (JobStatus.PENDING, JobStatus.RUNNING):
        if time.monotonic() > deadline:
            client.stop_job(job)
            raise WorkError(f"job {job} didn't end in {JOB_S:.0f} s. Look at it: ray job logs {job}")
        time.sleep(POLL_S)
    return str(client.get_job_logs(job))
