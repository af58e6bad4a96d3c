"""A cloud of a lab's bare hosts: its API is moto's, and the machines behind it are real enough to run Ray.

An instance that EC2 calls running gets a host with its addresses and its key pair; one that is terminated loses its
power. So what `ray up`, the autoscaler and the cloud itself do to instances happens to machines.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

from lab import METADATA, OUTSIDE, Host

PORT = 5555
REGION = "us-west-2"
NEEDED = ("moto", "boto3", "flask_cors")
POLL_S = 0.3

ENVIRONMENT = {
    "AWS_ENDPOINT_URL": f"http://{OUTSIDE}:{PORT}",
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""What makes a shell on a host talk to this cloud rather than to Amazon's."""


def missing() -> str:
    """The packages that this environment lacks for it, in words; empty when none."""
    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    return f"not installed: {', '.join(absent)} (pip install -e '.[dev]')" if absent else ""


class Cloud:
    """The API, and the hall with the machines.

    Attributes:
        account: ids that an operator writes into a cluster's file: `group`, `image`, `bucket`.
        told: a line for each machine that was started or ended.
    """

    def __init__(self, switch: str, hall: Sequence[Host], hosts_file: Path) -> None:
        self._hall, self._hosts_file = list(hall), hosts_file
        self._process = subprocess.Popen(
            ["ip", "netns", "exec", switch, sys.executable, str(Path(__file__).with_name("ec2.py")),
             OUTSIDE, str(PORT), REGION, METADATA],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"},
        )  # fmt: skip
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._failure: BaseException | None = None
        self._machines: dict[str, Host] = {}
        self.told: list[str] = []
        self.account = self._ask("account")
        self._keeper = threading.Thread(target=self._keep, name="machine hall")
        self._keeper.start()

    def _ask(self, *question):
        with self._lock:
            print(json.dumps(question), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
        assert answer, f"the cloud is gone: {self._process.wait()}"
        return json.loads(answer)

    def instances(self, *, running: bool = True) -> list[dict]:
        """Those that cost money; or all that there ever were."""
        if self._failure is not None:
            raise self._failure
        return [one for one in self._ask("instances") if not running or one["state"] in ("pending", "running")]

    def objects(self, prefix: str) -> dict[str, str]:
        """What is in the account's bucket below it: key to text."""
        return self._ask("objects", prefix)

    def host(self, instance: str) -> Host | None:
        """The machine of an instance, while it is on."""
        return self._machines.get(instance)

    @property
    def machines(self) -> list[Host]:
        """Those that are on."""
        return list(self._machines.values())

    def announce(self, instance: str, seconds: float) -> None:
        """Tell a spot instance, when it asks, that it is taken back so much later."""
        self._ask("announce", instance, seconds)

    def take_back(self, instance: str) -> None:
        """What becomes of a spot instance when somebody pays more; returns when its machine is off."""
        self._ask("terminate", instance)
        while instance in self._machines and self._failure is None:
            self._over.wait(POLL_S)

    def close(self) -> None:
        """Nothing answers any more; machines that are on stay so."""
        self._over.set()
        self._keeper.join()
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.terminate()
        self._process.wait()

    def _keep(self) -> None:
        try:
            while not self._over.wait(POLL_S):
                self._settle()
        except BaseException as error:  # noqa: BLE001 - it is the test's to raise
            self._failure = error

    def _settle(self) -> None:
        for one in self._ask("instances"):
            if one["state"] in ("pending", "running"):
                if one["id"] not in self._machines:
                    self._start(one)
            elif host := self._machines.get(one["id"]):
                host.kill()
                del self._machines[one["id"]]
                self.told.append(f"{one['id']} off")

    def _start(self, one: dict) -> None:
        host = next((each for each in self._hall if not each.up), None)
        if host is None:
            # As when a zone has no such machine left: EC2 would have refused. The instance waits for one.
            return
        name = f"ip-{one['private'].replace('.', '-')}"
        with self._hosts_file.open("a") as file:
            file.write(f"{one['private']} {name}\n")
        host.connect(f"{one['private']}/16", f"{one['public']}/32")
        host.boot(hostname=name, key=one["key"])
        self._machines[one["id"]] = host
        self.told.append(f"{one['id']} {one['type']} on as {name}")


@contextmanager
def cloud(folder: Path, hall: Sequence[Host]):
    """A cloud with these machines, for hosts whose shells have `ENVIRONMENT`.

    Args:
        folder: the lab's.
        hall: its bare hosts.
    """
    made = Cloud(f"{folder.name}-switch", hall, folder / "hosts")
    try:
        yield made
    finally:
        made.close()
