"""The `base` image, really built on a stand-in for CUDA's and really run. Minutes: `pytest -m slow tests/images`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import standin

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(standin.missing() is not None, reason=str(standin.missing())),
]

ROOT = Path(__file__).parents[2]
TAG = "localhost/pytorch-cuda:test"
# Not the Dockerfile's defaults: another version shows that the arguments decide, and of this one a wheel
# without CUDA, a tenth of the size, is taken where pip's settings offer it.
VERSIONS = {"TORCH_VERSION": "2.13.0", "TORCHVISION_VERSION": "0.28.0", "VERSION": "9.9.9", "REVISION": "abc123"}
START = "ray start --head --num-cpus=1 --object-store-memory=100000000 --node-ip-address=127.0.0.1 >/tmp/log 2>&1"


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """An engine that holds the built image."""
    engine = standin.Engine(tmp_path_factory.mktemp("engine"))
    try:
        engine.make_base()
        engine.build(ROOT, ROOT / "images" / "Dockerfile", TAG, "base", **VERSIONS)
        yield engine
    finally:
        engine.close()


def test_it_runs_as_a_user_who_can_write_where_studies_go(engine):
    """User 1000 under tini, with the three volumes open to writing."""
    script = "id -u; cat /proc/1/comm; touch /data/x /studies/x /registry/x && echo written"
    assert engine.run(TAG, "sh", "-c", script).split() == ["1000", "tini", "written"]


def test_the_versions_asked_for_are_in_it(engine):
    """Torch is the argument's, Ray the package's, and boto3 is there for `ray up`."""
    script = "import boto3, ray, sweep, torch; print(torch.__version__.split('+')[0], ray.__version__[:4])"
    assert engine.run(TAG, "python", "-c", script).split() == ["2.13.0", "2.60"]


def test_login_shells_find_ray(engine):
    """`ray up` runs everything in login shells, which forget the image's PATH."""
    found = engine.run(TAG, "bash", "--login", "-c", "command -v ray python rsync ssh")
    assert found.split() == ["/opt/venv/bin/ray", "/opt/venv/bin/python", "/usr/bin/rsync", "/usr/bin/ssh"]


def test_ray_does_not_start_without_a_token(engine):
    """Nobody gets an open cluster out of this image by forgetting something."""
    out = engine.run(TAG, "bash", "-c", f"{START}; echo code $?; cat /tmp/log")
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
    lines = engine.run(TAG, "bash", "-c", script).splitlines()
    assert lines[:2] == ["healthy", "healthy"]
    assert lines[2].startswith("Ray ")
    assert lines[3] == "code 1"


def test_labels_say_what_was_built(engine):
    """Version, commit, base and torch in the labels are those of the build; the health check is kept."""
    (config,) = json.loads(engine.podman("image", "inspect", TAG))
    labels = config["Config"]["Labels"]
    prefix = "org.opencontainers.image."
    assert [labels[prefix + name] for name in ("version", "revision", "base.name")] == ["9.9.9", "abc123", standin.BASE]
    assert labels["sweep.torch.version"] == "2.13.0"
    assert "sweep-healthcheck" in json.dumps(config)


def test_nothing_of_the_building_machine_is_left(engine):
    """No setting of pip, no certificate, no environment variable of the machine that built it."""
    script = "env | grep -i -e pip -e proxy; cat /etc/pip.conf /run/host/* /etc/apt/apt.conf.d/99host 2>/dev/null; true"
    assert engine.run(TAG, "sh", "-c", script) == ""
