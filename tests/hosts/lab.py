"""Machines of our own on this one: namespaces with their own network, processes, sshd, home and temporary folder.

A switch in one network namespace connects them; there is no way out, and the machine's own network isn't touched. What
they share is the file system outside of /root, /tmp, /run and /dev/shm, as a storage that all hosts mount would be.
A bare host has neither address nor processes until somebody boots it, as a machine in a cloud's hall.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
NEEDED = ("ip", "nsenter", "unshare", "/usr/sbin/sshd", "ssh", "ssh-keygen", "rsync")
BOOT_S = 30
OUTSIDE = "10.77.0.1"
"""Where the switch itself answers: for services that are on no host."""

METADATA = "169.254.169.254"
"""It answers here too: where machines in clouds ask about themselves."""

USER = "ubuntu"

INIT = """
set -eu
mount --make-rprivate /
hostname {name}
n=0
for kept in {kept}; do n=$((n + 1)); mkdir -p {folder}/kept/$n; mount --bind $kept {folder}/kept/$n; done
mkdir -p {folder}/home/.ssh {folder}/home/.ray
mount --bind {folder}/home /root
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs -o mode=1777,size=2g tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/sshd
n=0
for kept in {kept}; do n=$((n + 1)); mkdir -p $kept; mount --bind {folder}/kept/$n $kept; done
mount --bind {lab}/hosts /etc/hosts
mount --bind {lab}/passwd /etc/passwd
{keys}
chmod 700 /root /root/.ssh
chmod 600 /root/.ssh/*
printf 'StrictHostKeyChecking no\\nUserKnownHostsFile /dev/null\\nLogLevel ERROR\\n' > /root/.ssh/config
cp {lab}/bashrc /root/.bashrc
printf '. ~/.bashrc\\n' > /root/.profile
ssh-keygen -q -t ed25519 -N '' -f {folder}/hostkey
exec /usr/sbin/sshd -D -e -f {lab}/sshd_config -h {folder}/hostkey
"""

# A host whose people know each other's key; one that knows a single key was made by somebody who has its other half.
OWN_KEY = "cp {lab}/key /root/.ssh/id_ed25519; cp {lab}/key.pub /root/.ssh/authorized_keys"
GIVEN_KEY = "printf '%s\\n' '{key}' > /root/.ssh/authorized_keys"

SSHD = """
PidFile none
PasswordAuthentication no
PermitRootLogin prohibit-password
AuthorizedKeysFile .ssh/authorized_keys
StrictModes no
UsePAM no
PrintMotd no
MaxStartups 50
MaxSessions 50
"""


def missing() -> str:
    """What this machine lacks for a lab, in words; empty when nothing."""
    if os.geteuid() != 0:
        return "making namespaces needs root"
    absent = [tool for tool in NEEDED if shutil.which(tool) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (Debian: iproute2, openssh-server, rsync, util-linux)"
    name = f"swlab-try-{os.getpid()}"
    for words in (
        ["unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--mount-proc", "true"],
        ["ip", "netns", "add", name],
        ["ip", "-n", name, "link", "add", "br0", "type", "bridge"],
        ["ip", "link", "add", "e0", "netns", name, "type", "veth", "peer", "name", "e1", "netns", name],
        ["ip", "netns", "del", name],
    ):
        tried = subprocess.run(words, check=False, capture_output=True, text=True)
        if tried.returncode:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
            return f"namespaces can't be made here: {' '.join(words)}: {tried.stderr.strip()}"
    return ""


def wait_for(look, what, seconds=180):
    """What `look` finds, as soon as it is anything; `what` it is says why the test fails when it never comes."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, what
        time.sleep(0.5)
    return found


class Host:
    """One of them.

    Attributes:
        name: of its place.
        address: where it is reached; "" as long as it has none.
    """

    def __init__(self, lab: Path, name: str) -> None:
        self.name, self.address = name, ""
        self.lab, self.folder = lab, lab / name
        self.netns = f"{lab.name}-{name}"
        self.process: subprocess.Popen | None = None

    @property
    def up(self) -> bool:
        """Whether any process of it is there."""
        return self.process is not None and self.process.poll() is None

    def connect(self, *addresses: str) -> None:
        """Give it addresses, the first of which is its own; what isn't on its network is asked for there too."""
        self.address = addresses[0].partition("/")[0]
        _ip("-n", self.netns, "addr", "flush", "dev", "eth0")
        for address in addresses:
            _ip("-n", self.netns, "addr", "add", address, "dev", "eth0")
        _ip("-n", self.netns, "route", "add", "default", "dev", "eth0", "src", self.address)

    def boot(self, *, hostname: str = "", key: str = "") -> None:
        """Start it; returns when its sshd answers.

        Args:
            hostname: another than its place's.
            key: the only one that may come in, where it isn't the lab's own.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        places = {sys.base_prefix, sys.prefix, str(ROOT)}
        kept = sorted(place for place in places if place.startswith(("/root/", "/tmp/")))
        keys = GIVEN_KEY.format(key=key) if key else OWN_KEY.format(lab=self.lab)
        script = INIT.format(
            name=hostname or self.name, folder=self.folder, lab=self.lab, kept=" ".join(kept), keys=keys
        )
        words = ["unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--mount-proc", "--kill-child"]
        with (self.folder / "init.log").open("w") as log:
            self.process = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.netns}", *words, "bash", "-c", script],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + BOOT_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{self.name} doesn't boot: {(self.folder / 'init.log').read_text()}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        knock = f"exec 3<>/dev/tcp/{self.address}/22"
        words = ["nsenter", f"--net=/run/netns/{self.netns}", "bash", "-c", knock]
        return subprocess.run(words, check=False, capture_output=True).returncode == 0

    def kill(self) -> None:
        """Pull the plug: every process of it is gone."""
        if self.up:
            for child in self._init():
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            self.process.kill()
            self.process.wait()

    def run(self, command: str, *, timeout: float = 120, check: bool = True) -> subprocess.CompletedProcess:
        """A command line in a login shell's environment there."""
        (init,) = self._init()
        path = f"{sys.prefix}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        words = ["nsenter", "-t", str(init), "-n", "-m", "-p", "-u", "-i", "--wd=/root", "env", "-i", "HOME=/root"]
        words += ["USER=root", "TERM=xterm", "LANG=C.UTF-8", f"PATH={path}"]
        done = subprocess.run(
            [*words, "bash", "-c", f". ~/.bashrc; {command}"],
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check and done.returncode:
            raise AssertionError(f"{self.name}: {command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def _init(self) -> list[int]:
        assert self.process is not None
        # unshare is nsenter's own process; its only child is the host's init.
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(each) for each in found]


@contextmanager
def lab(*names: str, bare: Sequence[str] = (), environment: Mapping[str, str] | None = None):
    """Hosts, booted and connected; yields name to `Host`, and the folder that they share.

    Args:
        names: of hosts with an address and the lab's key.
        bare: of hosts that wait for `Host.connect` and `Host.boot`.
        environment: what each shell on each host finds there.
    """
    folder = Path(tempfile.mkdtemp(prefix="swlab", dir="/var/tmp"))
    switch = f"{folder.name}-switch"
    hosts = {name: Host(folder, name) for name in (*names, *bare)}
    addresses = {name: f"10.77.0.{10 + place}" for place, name in enumerate(names)}
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True)
    (folder / "sshd_config").write_text(SSHD)
    lines = [f"{address} {name}" for name, address in addresses.items()]
    (folder / "hosts").write_text("\n".join(["127.0.0.1 localhost", *lines, ""]))
    # A second name for root, for files that name the user of a cloud's machine images.
    (folder / "passwd").write_text(f"{USER}:x:0:0::/root:/bin/bash\n" + Path("/etc/passwd").read_text())
    (folder / "bin").mkdir()
    settings = {"RAY_AUTH_MODE": "token", **(environment or {})}
    if path := os.environ.get("PYTHONPATH"):
        settings["PYTHONPATH"] = path
    exports = " ".join(f"{name}={value}" for name, value in settings.items())
    (folder / "bashrc").write_text(f"export PATH={folder}/bin:{sys.prefix}/bin:$PATH {exports}\nulimit -c 0\n")
    try:
        _ip("netns", "add", switch)
        _ip("-n", switch, "link", "add", "br0", "type", "bridge")
        _ip("-n", switch, "addr", "add", f"{OUTSIDE}/24", "dev", "br0")
        _ip("-n", switch, "addr", "add", f"{METADATA}/32", "dev", "br0")
        _ip("-n", switch, "link", "set", "br0", "up")
        _ip("-n", switch, "link", "set", "lo", "up")
        _ip("-n", switch, "route", "add", "default", "dev", "br0")
        for name, host in hosts.items():
            _ip("netns", "add", host.netns)
            _ip("link", "add", "eth0", "netns", host.netns, "type", "veth", "peer", "name", name, "netns", switch)
            _ip("-n", switch, "link", "set", name, "master", "br0", "up")
            _ip("-n", host.netns, "link", "set", "eth0", "up")
            _ip("-n", host.netns, "link", "set", "lo", "up")
            if name in addresses:
                host.connect(f"{addresses[name]}/24")
                host.boot()
        yield hosts, folder
    finally:
        for host in hosts.values():
            host.kill()
        for netns in [switch, *(host.netns for host in hosts.values())]:
            subprocess.run(["ip", "netns", "del", netns], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
