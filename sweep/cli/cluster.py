"""The verbs of clusters: `cluster check` reads their files, `cluster watch` runs on their machines."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sweep.cli.options import AsJson, console, echo_json
from sweep.errors import ClusterFileError, InputError, ResourceError

if TYPE_CHECKING:
    from sweep.cluster.check import Report
    from sweep.core.spec import StudySpec
    from sweep.watch.view import View

cluster_app = typer.Typer(no_args_is_help=True, help="Files that start a Ray cluster, and its machines.")


@cluster_app.callback()
def cluster() -> None:
    """Files that start a Ray cluster, and its machines."""


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.add_typer(cluster_app, name="cluster")


@cluster_app.command()
def check(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="For `ray up`, or for KubeRay.", show_default=False)
    ],
    spec: Annotated[
        Path | None, typer.Option("--for", metavar="SPEC", help="Say what of this search file it can do at once.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=C", help="Change one key of the search file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check cluster files without a cloud; every problem of each is told."""
    from sweep.cluster.check import check_file
    from sweep.store.spec_file import read_spec

    study = None if spec is None else read_spec(spec, list(overrides or []))
    results = []
    for file in files:
        report = check_file(file)
        views, unfit = _fits(report, study) if study else ([], [])
        problems = [*map(str, report.problems), *unfit]
        results.append((report, views, problems))
        if not as_json and not problems:
            _say(report, views)
    problems = [problem for *_, found in results for problem in found]
    if as_json:
        echo_json([_data(*result) for result in results])
        if problems:
            raise typer.Exit(2)
    elif problems:
        raise ClusterFileError(problems)


@cluster_app.command()
def watch(
    cloud: Annotated[str, typer.Argument(metavar="aws|gcp", help="Whose machine this is.", show_default=False)],
    address: Annotated[str, typer.Option(metavar="HOST:PORT", help="The cluster's control store.", show_default=False)],
    every: Annotated[float, typer.Option(metavar="SECONDS", min=0.1, help="How often the cloud is asked.")] = 5.0,
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="The cloud's metadata service, if it isn't the usual one.")
    ] = None,
) -> None:
    """On a cluster's machine: wait until the cloud takes it back, and tell Ray, so that its trials move first."""
    from sweep.cluster import notices

    if cloud not in notices.ENDPOINTS:
        raise InputError(f"cluster watch: expected one of {', '.join(notices.ENDPOINTS)}, got {cloud!r}.")
    asked = endpoint or notices.ENDPOINTS[cloud]
    typer.echo(f"Asking {asked} every {every:g} s whether this machine is taken back. Ctrl-C ends it.")
    silent: set[str] = set()

    def say_once(reason: str) -> None:
        if reason not in silent:
            typer.echo(f"{reason}: is this a machine of {cloud}? Asking on.", err=True)
            silent.add(reason)

    while True:
        notice = notices.look(cloud, endpoint, unanswered=say_once)
        if notice is not None:
            try:
                drained = notices.drain(address, notice)
            except ConnectionError as error:
                typer.echo(f"{notice.text}; the cluster at {address} isn't told: {error}", err=True)
            else:
                typer.echo(f"{notice.text}; {len(drained)} of its nodes drain.")
                return
        time.sleep(every)


def _say(report: Report, views: list[View]) -> None:
    from sweep.watch.text import counted

    doubts = len(report.doubts)
    verdict = f"right, with {counted(doubts, 'place')} to look at." if doubts else "fine."
    typer.echo(f"{report.source}: {verdict}")
    for doubt in report.doubts:
        typer.echo(str(doubt), err=True)
    for view in views:
        console().print(view)


def _data(report: Report, views: list[View], problems: list[str]) -> dict[str, Any]:
    return {
        "file": report.source,
        "kind": report.kind,
        "problems": problems,
        "doubts": [str(doubt) for doubt in report.doubts],
        "clusters": [view.data for view in views],
    }


def _fits(report: Report, spec: StudySpec) -> tuple[list[View], list[str]]:
    """A view of the study on each cluster of the file, and why it has no room on one."""
    from sweep.core.fleet import fit
    from sweep.training.fused import keys
    from sweep.watch.fleet import fleet_view

    views, unfit = [], []
    lanes = spec.resources.fuse if keys.can_fuse(spec) else 1
    for name, fleet in report.fleets:
        try:
            views.append(fleet_view(name, fleet, spec, fit(spec, fleet, lanes=lanes)))
        except ResourceError as error:
            unfit.append(f"{report.source}: {name}: {error}")
    if not report.fleets and not report.problems:
        unfit.append(
            f"{report.source}: says nowhere what its machines have, so --for can't be answered. "
            "Write metadata: {resources_per_machine: {CPU: 16, GPU: 2}}."
        )
    return views, unfit
