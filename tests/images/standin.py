"""Build and run an image for real where its base image can't be pulled.

A small Debian stands in for the CUDA base, made by debootstrap from the machine's own package
archive, and podman builds on it. Storage and settings lie in a folder of their own; the
machine's are untouched. What pip and apt are set to on this machine reaches the build as
read-only mounts, so that nothing of it is written in the image.
"""

from __future__ import annotations

import ast
import contextlib
import os
import resource
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

BASE = "localhost/cuda-stand-in:latest"
TOOLS = ("podman", "runc", "debootstrap", "ip", "nsenter", "ssh", "ssh-keygen")
LIMITS = ("--cap-drop=all", "--security-opt=no-new-privileges", "--shm-size=1g", "--memory=6g")
# pip's settings that say where packages come from and how to reach them.
PIP_KEYS = ("index-url", "extra-index-url", "find-links", "trusted-host", "proxy", "timeout", "default-timeout")


def missing() -> str | None:
    """Why a build is not possible here, or None."""
    if os.geteuid() != 0:
        return "a stand-in base image is made by debootstrap, which needs root"
    absent = [tool for tool in TOOLS if not shutil.which(tool)]
    return f"not installed: {', '.join(absent)} (.ci/run names Debian's packages)" if absent else None


def limit(kind: int, most: int) -> int:
    """This process's hard limit, at most `most`: podman asks for more than it may have, and is refused."""
    _, hard = resource.getrlimit(kind)
    return most if hard == resource.RLIM_INFINITY else min(hard, most)


class Engine:
    """podman with storage of its own.

    Args:
        folder: where images and settings go; `close` empties it.
        kept: leave the images for the next run, which then builds only what has changed.
    """

    def __init__(self, folder: Path, *, kept: bool = False) -> None:
        self.folder, self.kept = folder, kept
        folder.mkdir(parents=True, exist_ok=True)
        storage, containers = folder / "storage.conf", folder / "containers.conf"
        storage.write_text(f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/storage"\nrunroot = "{folder}/run"\n')
        files, processes = limit(resource.RLIMIT_NOFILE, 1048576), limit(resource.RLIMIT_NPROC, 32768)
        containers.write_text(
            f'[containers]\ndefault_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]\n'
            # The machine's own network for builds: a bridge would change its firewall.
            'netns = "host"\n[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
        )
        self.env = {
            **os.environ,
            "CONTAINERS_STORAGE_CONF": str(storage),
            "CONTAINERS_CONF": str(containers),
            "DISABLE_HC_SYSTEMD": "true",
        }

    def podman(self, *words: str | Path, stdin: int | None = None) -> str:
        """Run podman; its output, or RuntimeError with the last of what it said."""
        done = subprocess.run(
            ["podman", *words], env=self.env, stdin=stdin, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"podman {words[0]}: {done.stdout[-1500:]}\n{done.stderr[-1500:]}")
        return done.stdout

    def make_base(self) -> None:
        """Import the stand-in, with what CUDA's images on Ubuntu bring that a Dockerfile may trip over."""
        if self.kept and BASE in self.podman("images", "--format={{.Repository}}:{{.Tag}}").split():
            return
        root = self.folder / "rootfs"
        subprocess.run(
            ["debootstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", root],
            check=True,
            capture_output=True,
        )
        subprocess.run(["chroot", root, "useradd", "-m", "-u", "1000", "ubuntu"], check=True)
        (root / "etc" / "resolv.conf").unlink(missing_ok=True)
        changes = ("ENV NVIDIA_VISIBLE_DEVICES=all", 'ENTRYPOINT ["/opt/nvidia/nvidia_entrypoint.sh"]')
        with subprocess.Popen(["tar", "-C", root, "--numeric-owner", "-c", "."], stdout=subprocess.PIPE) as tar:
            options = [word for change in changes for word in ("--change", change)]
            self.podman("import", "-q", *options, "-", BASE, stdin=tar.stdout.fileno())
        shutil.rmtree(root)

    def build(self, context: Path, tag: str, target: str, **arguments: str) -> None:
        """Build one target on the stand-in; what it shares with those built before isn't built again."""
        dockerfile = context / "images" / "Dockerfile"
        self.podman(
            "build",
            "--network=host",
            "--format=docker",  # the other format has no health check
            "--layers=true",
            *(f"--volume={source}:{place}:ro" for source, place in host_mounts(self.folder)),
            *(f"--build-arg={name}={value}" for name, value in {"BASE": BASE, **arguments}.items()),
            f"--ignorefile={dockerfile}.dockerignore",
            f"--target={target}",
            f"--file={dockerfile}",
            f"--tag={tag}",
            context,
        )

    def run(self, tag: str, *command: str, options: Sequence[str] = ("--network=none",)) -> str:
        """The output of a command in a new container: no network unless told, no capabilities, tini kept."""
        return self.podman("run", "--rm", *LIMITS, *options, tag, *command)

    def start(self, tag: str, *command: str, options: Sequence[str] = ("--network=none",)) -> Container:
        """Start a container that goes on by itself."""
        return Container(self, self.podman("run", "--detach", *LIMITS, *options, tag, *command).strip())

    def close(self) -> None:
        """Remove containers and volumes; images and the folder too, unless they are kept."""
        for words in (("rm", "-fa", "-t", "0"), ("volume", "rm", "-fa"), *(() if self.kept else (("rmi", "-fa"),))):
            with contextlib.suppress(RuntimeError):
                self.podman(*words)
        if self.kept:
            return
        overlay = self.folder / "storage" / "overlay"
        subprocess.run(["umount", overlay], check=False, capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class Container:
    """A container at work."""

    engine: Engine
    number: str

    def inside(self, *command: str) -> str:
        """The output of one more command in it."""
        return self.engine.podman("exec", self.number, *command)

    def healthy(self) -> bool:
        """Whether its health check says so."""
        try:
            self.engine.podman("healthcheck", "run", self.number)
        except RuntimeError:
            return False
        return True

    def logs(self) -> str:
        """What it printed, to both streams."""
        done = subprocess.run(
            ["podman", "logs", self.number], env=self.engine.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=True,
        )  # fmt: skip
        return done.stdout

    def stop(self, grace_s: int) -> int:
        """Send SIGTERM; its exit code, 137 when it had to be killed."""
        self.engine.podman("stop", f"--time={grace_s}", self.number)
        return int(self.engine.podman("inspect", "--format={{.State.ExitCode}}", self.number))

    def until(self, condition: Callable[[], bool], timeout_s: float = 90.0) -> None:
        """Wait for it, or fail with what the container printed."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(self.logs()[-3000:])
            time.sleep(0.3)


@contextlib.contextmanager
def network() -> Iterator[str]:
    """A network namespace with a loopback address alone: what listens there is reached from this machine by `nsenter`.

    A bridge or a published port would change the machine's own firewall.
    """
    name = f"standin-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield f"/run/netns/{name}"
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def pip_settings() -> dict[str, str]:
    """What pip is set to on this machine, environment over file."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    settings: dict[str, str] = {}
    # The environment's lines (":env:.") win over those of files.
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = ast.literal_eval(value)
    return settings


def host_mounts(folder: Path) -> list[tuple[str, str]]:
    """(here, in the build) of read-only mounts that let pip and apt reach what they reach on this machine."""
    out = folder / "host"
    out.mkdir(exist_ok=True)
    settings = pip_settings()
    lines = ["[global]", *(f"{key} = {' '.join(settings[key].split())}" for key in PIP_KEYS if key in settings)]
    mounts = []
    authority = settings.get("cert") or ssl.get_default_verify_paths().cafile
    if authority and Path(authority).is_file():
        lines.append("cert = /run/host/ca.crt")
        mounts.append((str(Path(authority).resolve()), "/run/host/ca.crt"))
    mounts += [(str(place), str(place)) for place in local_folders(settings)]
    if "constraint" in settings:
        limits = "".join(Path(name).read_text() for name in settings["constraint"].split())
        (out / "constraints.txt").write_text(limits)
        lines.append("constraint = /run/host/constraints.txt")
        mounts.append((str(out / "constraints.txt"), "/run/host/constraints.txt"))
    (out / "pip.conf").write_text("\n".join(lines) + "\n")
    mounts.append((str(out / "pip.conf"), "/etc/pip.conf"))
    return mounts + apt_mount(out)


def local_folders(settings: dict[str, str]) -> list[Path]:
    """Folders of this machine that pip looks in; of an index its parent, as its pages link to files beside it."""
    found = []
    for key in ("find-links", "index-url", "extra-index-url"):
        for place in settings.get(key, "").split():
            path = Path(place.removeprefix("file://"))
            if path.is_absolute() and path.is_dir():
                found.append(path if key == "find-links" else path.parent)
    return list(dict.fromkeys(found))


def apt_mount(out: Path) -> list[tuple[str, str]]:
    """Apt's ways of transport, not its sources: those are the base image's."""
    dumped = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    wanted = ("Acquire::Check-", "Acquire::http", "Acquire::Retries")
    lines = [line for line in dumped.splitlines() if line.startswith(wanted) and not line.endswith('"";')]
    if not lines:
        return []
    (out / "apt.conf").write_text("\n".join(lines) + "\n")
    return [(str(out / "apt.conf"), "/etc/apt/apt.conf.d/99host")]
