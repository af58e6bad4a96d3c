"""The images, really built on a stand-in for CUDA's base and really run. Minutes: `pytest -m slow tests/images`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import standin

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),  # a minute or two of a quiet core, several times that of a busy one
    pytest.mark.skipif(standin.missing() is not None, reason=str(standin.missing())),
]

KEEP = "SWEEP_TEST_IMAGES"
ROOT = Path(__file__).parents[2]
TAG = "localhost/pytorch-cuda:test-dev"
# Not the Dockerfile's defaults: other versions show that the arguments decide, and of this torch a wheel without
# CUDA, a tenth of the size, is taken where pip's settings offer it.
TORCH, TORCHVISION, PYTHON = "2.13.0", "0.28.0", "3.11"
ARGUMENTS = {
    "TORCH_VERSION": TORCH, "PYTHON_VERSION": PYTHON, "VERSION": "9.9.9", "REVISION": "abc123", "IMAGE": "here:v2.13",
}  # fmt: skip
START = "ray start --head --num-cpus=1 --object-store-memory=100000000 --node-ip-address=127.0.0.1 >/tmp/log 2>&1"
READ_ONLY = ("--network=none", "--read-only", "--read-only-tmpfs=false", "--tmpfs=/tmp", "--tmpfs=/home/sweep:mode=777")
BASE = ("--network=none", '--entrypoint=["/usr/bin/tini", "--"]')
"""`dev` is `base` with services before the command; with base's entrypoint it is base."""

# Each prints 48. timm and Transformers' models import torchvision, which doesn't fit a torch without CUDA.
USES = {
    "cv": "import cv2, numpy; print(cv2.resize(numpy.ones((8, 8, 3), 'uint8'), (4, 4)).sum())",
    "nlp": "import datasets, sentencepiece, tokenizers, transformers as t\n"
    "print(len(datasets.Dataset.from_list([{'n': 1}] * 40)) + t.BertConfig(num_hidden_layers=8).num_hidden_layers)",
}


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """What is built from."""
    return context_for(tmp_path_factory.mktemp("context"))


@pytest.fixture(scope="module")
def engine(tmp_path_factory, context):
    """An engine that holds the image of the target `dev`, and so `base` under it; kept where KEEP names a folder."""
    kept = os.environ.get(KEEP)
    engine = standin.Engine(Path(kept) if kept else tmp_path_factory.mktemp("engine"), kept=bool(kept))
    try:
        try:
            engine.make_base()
            engine.run(standin.BASE, options=("--network=none", "--entrypoint=/bin/true"))
        except (RuntimeError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no container of a stand-in base runs here: {error}")
        engine.build(context, TAG, "dev", **ARGUMENTS)
        yield engine
    finally:
        engine.close()


def context_for(folder: Path) -> Path:
    """The checkout as a build sees it, with a lock file of this torch as this machine gets it."""
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("sweep", "images"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    lock = [sys.executable, ROOT / "images" / "lock.py", "--only-torch", "--python", PYTHON]
    subprocess.run(
        [*lock, "--torch", TORCH, "--torchvision", TORCHVISION, "--out", folder / "images" / "lock"], check=True
    )
    return folder


@pytest.fixture
def outside():
    """A network that a container shares with the tests, and with nothing else."""
    with standin.network() as path:
        yield path


def test_it_runs_as_a_user_who_can_write_where_studies_go(engine):
    """User 1000 under tini, with the three volumes open to writing."""
    script = "id -u; cat /proc/1/comm; touch /data/x /studies/x /registry/x && echo written"
    assert engine.run(TAG, "sh", "-c", script, options=BASE).split() == ["1000", "tini", "written"]


def test_the_smoke_script_finds_the_versions_asked_for(engine):
    """Python and torch are the arguments', Ray is the lock file's; AMP and an all-reduce work; the image has a name."""
    asked = f"sweep-smoke --torch {TORCH} --python {PYTHON} --ray 2.60 --json"
    printed, _, code = engine.run(TAG, "sh", "-c", f"{asked}; echo $?", options=READ_ONLY).rstrip().rpartition("\n")
    told = {finding["name"]: finding for finding in json.loads(printed)}
    vision = told.pop("torchvision")
    assert {finding["verdict"] for finding in told.values()} == {"ok"}
    # This machine has no torchvision that fits a torch without CUDA: then the script has to say so.
    mixed = "+cpu" in told["PyTorch"]["value"]
    assert (vision["verdict"], code) == (("fail", "1") if mixed else ("ok", "0"))
    assert "libcudart" in vision["value"] or "torchvision::nms" in vision["value"] or not mixed
    assert told["image"]["value"] == "here:v2.13-dev"
    assert told["all-reduce"]["verdict"] == "ok"


@pytest.mark.parametrize("target", USES)
def test_the_images_for_pictures_and_text_are_base_with_their_packages(engine, context, target):
    """Built on base's layers, by the same user, named after the target; their packages work, pip misses nothing."""
    tag = f"localhost/pytorch-cuda:test-{target}"
    engine.build(context, tag, target, **ARGUMENTS)
    script = f"import os\nprint(os.getuid(), os.environ['SWEEP_IMAGE'])\n{USES[target]}"
    assert engine.run(tag, "python", "-c", script, options=READ_ONLY) == f"1000 here:v2.13-{target}\n48\n"
    assert "No broken requirements" in engine.run(tag, "pip", "check", options=READ_ONLY)
    (config,) = json.loads(engine.podman("image", "inspect", tag))
    assert config["Config"]["Labels"]["org.opencontainers.image.title"] == f"pytorch-cuda-{target}"


def test_login_shells_find_ray(engine):
    """`ray up` runs everything in login shells, which forget the image's PATH."""
    found = engine.run(TAG, "bash", "--login", "-c", "command -v ray python rsync ssh", options=BASE)
    assert found.split() == ["/opt/venv/bin/ray", "/opt/venv/bin/python", "/usr/bin/rsync", "/usr/bin/ssh"]


def test_ray_does_not_start_without_a_token(engine):
    """Nobody gets an open cluster out of this image by forgetting something."""
    out = engine.run(TAG, "bash", "-c", f"{START}; echo code $?; cat /tmp/log", options=BASE)
    assert "code 1" in out
    assert "no authentication token was found" in out


def test_health_follows_ray(engine):
    """Healthy before Ray, healthy with it, unhealthy once its raylet was killed."""
    script = f"""
        sweep-healthcheck
        ray get-auth-token --generate >/dev/null 2>&1
        {START} || cat /tmp/log
        for try in $(seq 60); do sweep-healthcheck >/dev/null && break; sleep 0.5; done
        sweep-healthcheck
        kill -9 $(grep -l '^Name:.raylet$' /proc/[0-9]*/status | cut -d/ -f3)
        for try in $(seq 60); do sweep-healthcheck >/dev/null || break; sleep 0.5; done
        sweep-healthcheck || echo code $?
    """
    lines = engine.run(TAG, "bash", "-c", script, options=BASE).splitlines()
    assert lines[:2] == ["healthy", "healthy"]
    assert lines[2].startswith("Ray ")
    assert lines[3] == "code 1"


def test_a_study_that_docker_stops_goes_on_in_the_next_container(engine):
    """On a read-only root: SIGTERM ends it with 130, the volume keeps what was done, a resume completes it."""
    volumes = ("--volume=studies:/studies", "--volume=registry:/registry", "--volume=data:/data")
    options = (*READ_ONLY, *volumes, f"--volume={ROOT / 'search_spaces'}:/home/sweep/search_spaces:ro")
    launch = ("sweep", "launch", "search_spaces/quick.yaml", "--trials", "4", "--yes")
    first = engine.start(TAG, *launch, options=(*options, BASE[1]))
    first.until(lambda: "best so far" in first.logs(), 180)
    assert first.stop(grace_s=30) == 130
    listed = json.loads(engine.run(TAG, "sweep", "trials", "quick", "--json", options=(*options, BASE[1])))
    assert listed
    out = engine.run(TAG, "sweep", "resume", "quick", options=(*options, BASE[1]))
    assert "quick v1 (champion): /registry/quick/v1" in out
    status = json.loads(engine.run(TAG, "sweep", "status", "quick", "--json", options=(*options, BASE[1])))
    assert status["state"] == "complete"


def test_dev_starts_nothing_that_was_not_asked_for(engine):
    """Without a setting it says which there are and ends; with a command alone it is that command."""
    with pytest.raises(RuntimeError, match="nothing was asked for"):
        engine.run(TAG)
    with pytest.raises(RuntimeError, match="expected at least 16"):
        engine.run(TAG, options=("--network=none", "--env=JUPYTER_TOKEN=short"))
    assert engine.run(TAG, "sh", "-c", "ls /etc/ssh/ssh_host_*_key 2>/dev/null || echo none") == "none\n"


def test_jupyter_and_ssh_are_reached_from_outside_together_by_their_keys_alone(engine, outside, tmp_path):
    """Both in one container, without capabilities; wrong keys, root and no token stay out; SIGTERM ends both."""
    for name in ("right", "wrong"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    token = "a-token-of-some-length"
    keys = (tmp_path / "right.pub").read_text().strip()
    settings = (f"--env=JUPYTER_TOKEN={token}", f"--env=SSH_AUTHORIZED_KEYS={keys}", f"--network=ns:{outside}")
    container = engine.start(TAG, options=settings)
    container.until(container.healthy)

    def ssh(key: str, user: str, *command: str) -> subprocess.CompletedProcess[str]:
        options = [
            "BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "IdentitiesOnly=yes",
            "LogLevel=ERROR", "ConnectTimeout=10",
        ]  # fmt: skip
        words = ["ssh", "-F", "none", "-p", "2222", "-i", tmp_path / key, *(f"-o{option}" for option in options)]
        return entered(outside, *words, f"{user}@127.0.0.1", *command)

    assert (
        ssh("right", "sweep", "python -c 'import ray, os; print(ray.__version__, os.getuid())'").stdout
        == "2.60.0 1000\n"
    )
    assert ssh("right", "sweep", "echo $SWEEP_STORAGE $SWEEP_IMAGE").stdout == "/studies here:v2.13-dev\n"
    for key, user in (("wrong", "sweep"), ("right", "root")):
        refused = ssh(key, user, "id")
        assert (refused.returncode, refused.stdout) == (255, "")
        assert "Permission denied (publickey)" in refused.stderr

    def status(path: str) -> str:
        code = (
            "import sys, urllib.request, urllib.error\n"
            "try: print(urllib.request.urlopen(sys.argv[1], timeout=20).status)\n"
            "except urllib.error.HTTPError as error: print(error.code)\n"
        )
        return entered(outside, sys.executable, "-c", code, f"http://127.0.0.1:8888{path}").stdout.strip()

    assert status("/api/kernels") == "403"
    assert status(f"/api/kernels?token={token}") == "200"
    assert token not in container.inside("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert container.stop(grace_s=20) == 0


def entered(network: str, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command of this machine in that network."""
    return subprocess.run(
        ["nsenter", f"--net={network}", *command], capture_output=True, text=True, check=False, timeout=60
    )


def test_a_ray_node_ends_cleanly_when_it_is_stopped(engine):
    """`ray start --block`, the command of the compose file's services, hears SIGTERM through tini."""
    start = ("ray", "start", "--head", "--block", "--num-cpus=1", "--object-store-memory=100000000")
    options = (*BASE, "--env=RAY_AUTH_TOKEN=0123456789abcdef0123456789abcdef")
    node = engine.start(TAG, *start, "--node-ip-address=127.0.0.1", options=options)
    node.until(lambda: "Ray runtime started" in node.logs())
    # 1 is Ray's own code after it has ended its processes; 137 would be Docker's, after the grace.
    assert node.stop(grace_s=60) == 1


def test_labels_say_what_was_built(engine):
    """Version, commit, base and what is inside, in the labels, are those of the build; the health check is kept."""
    (config,) = json.loads(engine.podman("image", "inspect", TAG))
    labels = config["Config"]["Labels"]
    prefix = "org.opencontainers.image."
    assert [labels[prefix + name] for name in ("version", "revision", "base.name")] == ["9.9.9", "abc123", standin.BASE]
    assert [labels[f"sweep.{name}.version"] for name in ("torch", "python", "ray")] == [TORCH, PYTHON, "2.60.0"]
    assert "sweep-dev" in json.dumps(config)


def test_nothing_of_the_building_machine_is_left(engine):
    """No setting of pip, no certificate, no environment variable of the machine that built it."""
    script = "env | grep -i -e pip -e proxy; cat /etc/pip.conf /run/host/* /etc/apt/apt.conf.d/99host 2>/dev/null; true"
    assert engine.run(TAG, "sh", "-c", script) == ""
