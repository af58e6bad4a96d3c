"""`sweep tensorboard` and `sweep dashboard`: servers, and the way into them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from sweep.errors import InputError
from sweep.remote import login

# A shell's background jobs ignore Ctrl-C, those under nohup a closed terminal, and so does what they start, if it isn't
# told otherwise.
INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from sweep.cli.main import main
main()
"""
COMMAND = [sys.executable, "-c", INTERRUPTIBLE]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture
def start():
    """Starts a verb that serves until Ctrl-C; gives the process and the address that it tells."""
    begun = []

    def run(*arguments, **env):
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1", **env},
        )
        begun.append(process)
        line = process.stdout.readline()
        assert line, process.stderr.read()
        return process, line.split()[0]

    yield run
    for process in begun:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def fetched(address):
    with urllib.request.urlopen(address, timeout=30) as answer:
        return answer.read()


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_tensorboard_shows_every_trial_and_ends_with_its_verb(launch, start, end):
    launch()
    process, address = start("tensorboard", "toy")
    assert address.startswith("http://127.0.0.1:")
    runs = json.loads(fetched(f"{address}data/runs"))
    while len(runs) < 4:
        runs = json.loads(fetched(f"{address}data/runs"))
    assert sorted({run.split("/")[0] for run in runs}) == ["0000", "0001", "0002", "0003"]
    process.send_signal(end)
    assert process.wait(timeout=30) == 0
    with pytest.raises(urllib.error.URLError):
        fetched(address)


@pytest.mark.slow
def test_a_port_that_is_taken_is_told(launch, sweep, start):
    launch()
    _, address = start("tensorboard", "toy")
    done = sweep("tensorboard", "toy", "--port", address.rstrip("/").rpartition(":")[2])
    assert done.code == 2
    assert "is taken" in done.err


def test_no_dashboard_is_told_with_what_to_do(sweep):
    done = sweep("dashboard", "--address", "http://127.0.0.1:9")
    assert done.code == 2
    assert "no dashboard answers at http://127.0.0.1:9" in done.err
    assert "auto" in sweep("dashboard", "--address", "auto").err


def test_the_token_is_found_where_ray_finds_it(monkeypatch, tmp_path):
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert login.token() is None
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("of-home\n")
    assert login.token() == "of-home"
    (tmp_path / "other").write_text("of-path")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "other"))
    assert login.token() == "of-path"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of-environment")
    assert login.token() == "of-environment"


class Unfollowed(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def answer(address):
    """The code and the heads of an answer, wherever it leads."""
    try:
        with urllib.request.build_opener(Unfollowed).open(address, timeout=10) as found:
            return found.code, found.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers


def test_the_door_sets_the_cookie_for_whoever_knows_its_name_alone(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret-token")
    with login.door("http://127.0.0.1:8265") as address:
        code, heads = answer(address)
        assert code == 303
        assert heads["Location"] == "http://127.0.0.1:8265/"
        assert heads["Set-Cookie"] == "ray-authentication-token=secret-token; Path=/; HttpOnly; SameSite=Strict"
        code, heads = answer(f"{address[:-1]}x")
        assert code == 404
        assert "Set-Cookie" not in heads
    with pytest.raises(OSError, match="refused"):
        answer(address)


def test_a_token_is_never_handed_to_another_host(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret-token")
    with login.door("http://cluster.example:8265") as address:
        assert address == "http://cluster.example:8265"


@pytest.mark.ray
def test_a_wrong_token_is_told(ray_cluster, monkeypatch):
    url = f"http://{ray_cluster.get_runtime_context().worker.node.address_info['webui_url']}"
    login.check(url, wait_s=30)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    with pytest.raises(InputError, match="Its token isn't the one known here"):
        login.check(url, wait_s=0)
