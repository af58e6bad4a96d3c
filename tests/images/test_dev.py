"""The development image's entrypoint: nothing that wasn't asked for, keys and tokens alone, a clean end."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "images" / "dev.py"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3Qwz someone"


@pytest.fixture
def dev(monkeypatch) -> ModuleType:
    for name in ("JUPYTER_TOKEN", "JUPYTER_TOKEN_FILE", "SSH_AUTHORIZED_KEYS", "SSH_AUTHORIZED_KEYS_FILE"):
        monkeypatch.delenv(name, raising=False)
    spec = importlib.util.spec_from_file_location("images_dev", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def keygen(dev, monkeypatch):
    """An ssh-keygen that writes a host key, or says why it can't."""

    def run(words, check):
        Path(words[-1]).write_text("a host key")

    monkeypatch.setattr(dev.subprocess, "run", run)


def test_nothing_is_started_that_was_not_asked_for(dev, capsys, tmp_path):
    assert dev.jupyter() is None
    assert dev.sshd(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
    assert dev.main([]) == 2
    err = capsys.readouterr().err
    assert "nothing was asked for" in err
    assert "SSH_AUTHORIZED_KEYS=..." in err


def test_a_token_is_long_and_never_on_a_command_line(dev, monkeypatch):
    monkeypatch.setenv("JUPYTER_TOKEN", "letmein")
    with pytest.raises(dev.WrongSettingError, match="got 7 characters, expected at least 16"):
        dev.jupyter()
    monkeypatch.setenv("JUPYTER_TOKEN", "a-token-of-some-length")
    assert "a-token-of-some-length" not in " ".join(dev.jupyter())


def test_a_setting_may_come_from_a_file(dev, monkeypatch, tmp_path):
    (tmp_path / "token").write_text("a-token-of-some-length\n")
    monkeypatch.setenv("JUPYTER_TOKEN_FILE", str(tmp_path / "token"))
    assert dev.jupyter() is not None
    assert os.environ["JUPYTER_TOKEN"] == "a-token-of-some-length"
    monkeypatch.setenv("JUPYTER_TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(dev.WrongSettingError, match="can't be read"):
        dev.jupyter()


def test_ssh_takes_keys_alone_and_keeps_the_images_environment(dev, keygen, monkeypatch, tmp_path):
    monkeypatch.setenv("SSH_AUTHORIZED_KEYS", KEY)
    monkeypatch.setenv("SWEEP_STORAGE", "/studies")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "hidden")
    command = dev.sshd(tmp_path)
    config = Path(command[-1])
    lines = config.read_text().splitlines()
    wanted = ("PasswordAuthentication no", "PermitRootLogin no", "AuthenticationMethods publickey", "UsePAM no")
    assert set(wanted) <= set(lines)
    (environment,) = [line for line in lines if line.startswith("SetEnv")]
    assert '"SWEEP_STORAGE=/studies"' in environment
    assert f'"PATH={os.environ["PATH"]}"' in environment
    assert "hidden" not in config.read_text()
    assert [path.stat().st_mode & 0o077 for path in config.parent.iterdir() if "host" not in path.name] == [0, 0]
    assert (config.parent / "authorized_keys").read_text() == KEY + "\n"


def test_the_host_key_of_a_kept_home_is_kept(dev, keygen, monkeypatch, tmp_path):
    monkeypatch.setenv("SSH_AUTHORIZED_KEYS", KEY)
    folder = Path(dev.sshd(tmp_path)[-1]).parent
    (folder / "host_ed25519").write_text("known to clients")
    dev.sshd(tmp_path)
    assert (folder / "host_ed25519").read_text() == "known to clients"


def test_what_is_no_public_key_is_refused(dev, monkeypatch, tmp_path):
    monkeypatch.setenv("SSH_AUTHORIZED_KEYS", "/home/me/.ssh/id_ed25519.pub")
    with pytest.raises(dev.WrongSettingError, match="expected lines such as 'ssh-ed25519 AAAA"):
        dev.sshd(tmp_path)


def test_a_home_that_cannot_be_written_is_told(dev, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("SSH_AUTHORIZED_KEYS", KEY)
    (tmp_path / ".local").write_text("no folder")
    with pytest.raises(dev.WrongSettingError, match="Mount a volume or a tmpfs of user"):
        dev.sshd(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert dev.main(["bash"]) == 2
    assert "sweep-dev: SSH:" in capsys.readouterr().err


def test_health_asks_only_what_was_asked_for(dev, monkeypatch, capsys):
    ray = {"code": 0}
    monkeypatch.setattr(dev.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], ray["code"]))
    assert dev.main(["--health"]) == 0
    monkeypatch.setattr(dev, "JUPYTER_PORT", 1)
    monkeypatch.setattr(dev, "SSH_PORT", 1)
    monkeypatch.setenv("JUPYTER_TOKEN", "a-token-of-some-length")
    assert dev.unwell() == "JupyterLab"
    monkeypatch.delenv("JUPYTER_TOKEN")
    monkeypatch.setenv("SSH_AUTHORIZED_KEYS", KEY)
    assert dev.unwell() == "SSH"
    ray["code"] = 1
    assert dev.main(["--health"]) == 1
    assert capsys.readouterr().out == "healthy\nRay doesn't answer\n"


RUNNER = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("dev", sys.argv[1])
dev = importlib.util.module_from_spec(spec)
spec.loader.exec_module(dev)
python = [sys.executable, "-c"]
services = {name: [*python, source] for name, source in zip(("one", "two"), sys.argv[2:4])}
sys.exit(dev.run(services, [*python, sys.argv[4]] if len(sys.argv) > 4 else []))
"""
# In one write: two services share the output.
FOREVER = "import os, time; os.write(1, b'up\\n'); time.sleep(600)"


def supervised(*sources: str) -> subprocess.Popen[str]:
    """The supervisor in a process of its own, with two services and maybe a command."""
    return subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(SCRIPT), *sources],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its code and output; all children are gone, for they held its output open."""
    out, _ = process.communicate(timeout=60)
    return process.returncode, out


def test_sigterm_ends_all_services_and_the_supervisor_well():
    process = supervised(FOREVER, FOREVER)
    seen = []
    reader = threading.Thread(target=lambda: seen.extend(process.stdout.readline() for _ in range(4)))
    reader.start()
    reader.join(timeout=60)
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 0
    assert seen.count("up\n") == 2


def test_a_service_that_dies_takes_the_other_along():
    code, out = ended(supervised(FOREVER, "raise SystemExit(3)"))
    assert code == 3
    assert "two ended with code 3" in out


def test_a_service_that_ends_by_itself_is_no_success():
    assert ended(supervised(FOREVER, "pass"))[0] == 1


def test_a_commands_end_is_the_containers():
    assert ended(supervised(FOREVER, FOREVER, "raise SystemExit(5)"))[0] == 5
