#!/usr/bin/env python3
"""Start what a development container was asked for: JupyterLab, an SSH server, both, or a command beside them.

    JUPYTER_TOKEN=...            JupyterLab on port 8888, for whoever has the token; at least 16 characters
    SSH_AUTHORIZED_KEYS=...      an SSH server on port 2222, for the owners of these public keys, a line each

Each may be read from a file instead: JUPYTER_TOKEN_FILE, SSH_AUTHORIZED_KEYS_FILE. Nothing runs that wasn't asked for.
With a command (`docker run IMAGE bash`) that command decides when the container ends; without one the services do, and
the first of them that ends takes the other along. Everything runs as the image's own user: there is no root to log in
as, no password, and no PAM.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

JUPYTER_PORT, SSH_PORT = 8888, 2222
SHORTEST_TOKEN = 16
GRACE_S = 8.0
"""Docker gives ten seconds between SIGTERM and SIGKILL."""
POLL_S = 0.2
# sshd starts sessions with an environment of its own; without these `python` would not be found in them.
KEPT = ("PATH", "VIRTUAL_ENV", "LANG", "LD_LIBRARY_PATH", "NVIDIA_", "CUDA_", "SWEEP_", "RAY_AUTH_MODE")
KEPT += ("RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS", "PYTHONUNBUFFERED")


class WrongSettingError(Exception):
    """What was asked for can't be started; the message says why and what to do."""


def setting(name: str) -> str:
    """A setting from the environment, or from the file that NAME_FILE names."""
    if path := os.environ.get(f"{name}_FILE"):
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise WrongSettingError(f"{name}_FILE: {path} can't be read: {error.strerror}.") from error
    return os.environ.get(name, "").strip()


def jupyter() -> list[str] | None:
    """The command of JupyterLab; None when it isn't asked for."""
    token = setting("JUPYTER_TOKEN")
    if not token:
        return None
    if len(token) < SHORTEST_TOKEN:
        raise WrongSettingError(
            f"JUPYTER_TOKEN: got {len(token)} characters, expected at least {SHORTEST_TOKEN}: it opens a shell. "
            "Make one: openssl rand -hex 24"
        )
    # By the environment, not by an option: every user of the machine can read a command line.
    os.environ["JUPYTER_TOKEN"] = token
    return ["jupyter", "lab", "--ip=0.0.0.0", f"--port={JUPYTER_PORT}", "--no-browser", "--ServerApp.port_retries=0"]


def sshd(home: Path) -> list[str] | None:
    """The command of an SSH server for keys alone; None when it isn't asked for.

    Args:
        home: where host keys and settings are kept, so that a mounted home keeps the host's identity.
    """
    keys = setting("SSH_AUTHORIZED_KEYS")
    if not keys:
        return None
    if wrong := [line for line in keys.splitlines() if line.strip() and " " not in line.strip()]:
        raise WrongSettingError(
            f"SSH_AUTHORIZED_KEYS: expected lines such as 'ssh-ed25519 AAAA... name', got {wrong[0][:40]!r}."
        )
    folder = home / ".local" / "state" / "sweep-dev"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = folder / "host_ed25519"
        if not key.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        written(folder / "authorized_keys", keys + "\n")
        written(folder / "sshd_config", config(folder))
    except OSError as error:
        raise WrongSettingError(
            f"SSH: {folder} can't be written ({error.strerror}). "
            f"Mount a volume or a tmpfs of user {os.getuid()} at {home}."
        ) from error
    return ["/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "sshd_config")]


def written(path: Path, text: str) -> None:
    """Write a file that nobody else may read."""
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)


def config(folder: Path) -> str:
    """The server's settings: one user, keys alone, and the image's environment in each session."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(KEPT) and '"' not in value}
    environment = " ".join(f'"{name}={value}"' for name, value in sorted(kept.items()))
    return f"""\
Port {SSH_PORT}
HostKey {folder}/host_ed25519
PidFile none
AuthorizedKeysFile {folder}/authorized_keys
AuthenticationMethods publickey
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
PermitEmptyPasswords no
UsePAM no
AllowUsers {pwd.getpwuid(os.getuid()).pw_name}
X11Forwarding no
SetEnv {environment}
Subsystem sftp internal-sftp
"""


def unwell() -> str | None:
    """What of the services that were asked for doesn't answer, or None; Ray is asked too, if it was started."""
    if subprocess.run(["sweep-healthcheck"], check=False).returncode:
        return "Ray"
    if setting("JUPYTER_TOKEN"):
        with contextlib.suppress(OSError):
            # Answers without the token, and tells nothing but a version.
            urllib.request.urlopen(f"http://127.0.0.1:{JUPYTER_PORT}/api", timeout=5).close()
            return None if not setting("SSH_AUTHORIZED_KEYS") else unwell_ssh()
        return "JupyterLab"
    return unwell_ssh() if setting("SSH_AUTHORIZED_KEYS") else None


def unwell_ssh() -> str | None:
    """Whether the SSH server says its name."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", SSH_PORT), timeout=5) as answer:
        if answer.recv(4) == b"SSH-":
            return None
    return "SSH"


def run(services: dict[str, list[str]], command: list[str]) -> int:
    """Run services, and a command beside them, to the end of one; then end the others. The container's exit code."""
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda got, _: stopped.append(got))
    # Sessions of their own: a signal comes to them once, from here, and to the children that they have.
    running = {name: subprocess.Popen(words, start_new_session=True) for name, words in services.items()}
    for name, words in services.items():
        print(f"sweep-dev: started {name} ({shlex.join(words)})", flush=True)
    # The command keeps the terminal.
    main = subprocess.Popen(command) if command else None
    try:
        while not stopped:
            if main is not None and main.poll() is not None:
                return exit_code(main)
            for name, process in running.items():
                if process.poll() is not None and main is None:
                    print(f"sweep-dev: {name} ended with code {exit_code(process)}", file=sys.stderr, flush=True)
                    return exit_code(process) or 1
            time.sleep(POLL_S)
        return 0 if main is None else finish([main], signal.SIGTERM)
    finally:
        finish([*running.values(), *([main] if main else [])], signal.SIGTERM)


def finish(processes: list[subprocess.Popen[bytes]], number: int) -> int:
    """End processes, by force after a while; the exit code of the first."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)
    deadline = time.monotonic() + GRACE_S
    for process in processes:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return exit_code(processes[0]) if processes else 0


def exit_code(process: subprocess.Popen[bytes]) -> int:
    """As a shell tells it: 128 and the signal, for a process that one ended."""
    code = process.returncode or 0
    return code if code >= 0 else 128 - code


def main(arguments: list[str]) -> int:
    """Start, or with --health ask."""
    try:
        if arguments == ["--health"]:
            found = unwell()
            print(f"{found} doesn't answer" if found else "healthy")
            return 1 if found else 0
        wanted = {"JupyterLab": jupyter(), "SSH": sshd(Path.home())}
    except WrongSettingError as error:
        print(f"sweep-dev: {error}", file=sys.stderr)
        return 2
    services = {name: words for name, words in wanted.items() if words}
    if not services and not arguments:
        print(f"sweep-dev: nothing was asked for.\n\n{__doc__}", file=sys.stderr)
        return 2
    if not services:
        os.execvp(arguments[0], arguments)  # noqa: S606 - nothing to look after: the command takes this place
    return run(services, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
