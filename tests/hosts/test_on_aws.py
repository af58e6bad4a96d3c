"""`ray up cluster/gpu.yaml` on a cloud whose machines come, go and are taken back, and a study that outlives it all."""

import itertools
import json
import os
import shlex
import time

import pytest
import yaml
from cloud import ENVIRONMENT, cloud
from cloud import missing as missing_packages
from lab import ROOT, lab, missing, wait_for

from sweep.core.events import AttemptEnded, AttemptStarted, NodeChanged, Reported, RunStarted
from sweep.store import study_folder
from sweep.store.events import read
from sweep.store.paths import study_paths

ABSENT = missing() or missing_packages()
pytestmark = [
    # Not `ray`: it is on hosts with a network of their own that Ray runs.
    pytest.mark.slow,
    pytest.mark.skipif(bool(ABSENT), reason=ABSENT or "a cloud can be made"),
    pytest.mark.timeout(900),
    pytest.mark.skipif("SWEEP_TEST_CLOUD" not in os.environ, reason="seven minutes: SWEEP_TEST_CLOUD=1 runs it"),
]

EPOCHS, TRIALS = 100, 4
SPEC = f"""
entrypoint: train.py:train
metric: {{name: loss, goal: minimize}}
parameters: {{x: {{min: 0.0, max: 1.0}}}}
search: {{algorithm: random, seed: 0}}
scheduler: {{type: none, max_t: {EPOCHS}}}
budget: {{trials: {TRIALS}}}
resources: {{gpu: 1, cpu: 1, max_concurrent: 2, price: {{node_hour: cluster}}}}
checkpoint: {{every: 5}}
retries: {{max: 0}}
"""
TRAIN = """
import pathlib, time

def train(config, ctx):
    ctx.restore()
    for epoch in range(ctx.t + 1, ctx.max_t + 1):
        # Slow as long as there is something to happen to it.
        time.sleep(0.01 if pathlib.Path("HURRY").exists() else 1)
        ctx.report({"loss": config["x"] / epoch}, checkpoint=lambda: {"x": config["x"]})
"""
HALL = ("m0", "m1", "m2", "m3")
STUDY = "studies/spot"


class Operator:
    """Somebody at a laptop with an account at the cloud; knows what a person can know of machines and study.

    Attributes:
        aws: the cloud.
        told: what happened when.
    """

    def __init__(self, host, aws, folder):
        self.aws = aws
        self._host, self._project, self._hurry = host, folder / "project", folder / "hurry"
        self._project.mkdir()
        (self._project / "train.py").write_text(TRAIN.replace("HURRY", str(self._hurry)))
        (self._project / "spot.yaml").write_text(SPEC)
        (self._project / "gpu.yaml").write_text(filled_in(aws.account))
        self.url = f"s3://{aws.account['bucket']}/{STUDY}"
        # What the bucket has of the study, as a folder.
        self._paths = study_paths(folder / "seen", "spot")
        self._paths.root.mkdir(parents=True)
        self._began = time.monotonic()
        self._host.run("ray get-auth-token --generate >/dev/null; chmod 600 ~/.ray/auth_token")

    def note(self, what):
        print(f"{time.monotonic() - self._began:6.1f} s  {what}")

    def run(self, command, **options):
        return self._host.run(f"cd {self._project}; {command}", timeout=300, **options)

    def launch(self, *options, **more):
        return self.run(f"sweep launch spot.yaml --address gpu.yaml {' '.join(options)}", **more)

    def head(self):
        (head,) = (one for one in self.aws.instances() if not one["spot"])
        return head

    def workers(self):
        """Id to Ray's name of those that cost money."""
        return {one["id"]: f"ip-{one['private'].replace('.', '-')}" for one in self.aws.instances() if one["spot"]}

    def alive(self):
        """How many nodes the cluster has."""
        seen = self.aws.host(self.head()["id"]).run("ray list nodes --format json", check=False, timeout=60).stdout
        return sum(node["state"] == "ALIVE" for node in json.loads(seen or "[]"))

    def events(self, kind):
        if not self._look():
            return []
        return [event for event in read(self._paths.events) if isinstance(event, kind)]

    def _look(self):
        """Whether the study is there."""
        origin = self.aws.objects(f"{STUDY}/study.json")
        if not origin:
            return False
        parts = self.aws.objects(f"{STUDY}/events/")
        self._paths.spec.write_text(json.loads(*origin.values())["spec"])
        self._paths.events.write_text("".join(parts[key] for key in sorted(parts)))
        return bool(parts)

    def far_on(self, node):
        """Trials at work on a node for a while."""
        there = {event.trial for event in self.events(AttemptStarted) if event.node == node}
        far = {event.trial for event in self.events(Reported) if event.metrics["epoch"] >= 3}
        return (there & far) - {event.trial for event in self.events(AttemptEnded)}

    def hurry(self):
        self._hurry.touch()

    def ended(self):
        if not self._look():
            return None
        machine = study_folder.read(self._paths).machine
        return machine if machine.ended is not None else None


def filled_in(account):
    """cluster/gpu.yaml as an operator fills it in; without containers, which the lab's machines don't have."""
    text = (ROOT / "cluster" / "gpu.yaml").read_text()
    for old, new in (
        ("ami-00000000000000000", account["image"]),
        ("sg-00000000000000000", account["group"]),
        ("my-bucket", account["bucket"]),
    ):
        assert old in text
        text = text.replace(old, new)
    cluster = yaml.safe_load(text)
    # What a container would find: its variables, and its folder for data where that is mounted from.
    options = shlex.split(" ".join(cluster.pop("docker")["run_options"]))
    variables = [value for name, value in itertools.pairwise(options) if name == "--env"]
    exports = " ".join(variables).replace("/data/", "~/sweep/data/")
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        cluster[key] = [f"export {exports}; {command}" for command in cluster[key]]
    # For the test's sake alone: it can't wait so long.
    cluster["idle_timeout_minutes"] = 0.5
    return yaml.safe_dump(cluster)


@pytest.fixture
def operator():
    with (
        lab("op", bare=HALL, environment=ENVIRONMENT) as (hosts, folder),
        cloud(folder, [hosts[name] for name in HALL]) as aws,
    ):
        yield Operator(hosts["op"], aws, folder)
        # Also of a test that has failed.
        print("\n".join(aws.told))


def test_a_study_on_spot_machines_that_come_and_go(operator):
    note = operator.note
    operator.run("ray up -y gpu.yaml")
    note("ray up is through")
    assert operator.head()["type"] == "m6i.xlarge"
    wait_for(lambda: operator.alive() == 2, "the worker that stays")
    ((first, stays),) = operator.workers().items()
    note("the worker that stays is there")

    apart = operator.launch("--set storage=/root/apart", check=False)
    assert apart.returncode == 2, apart.stdout + apart.stderr
    assert f"storage: /root/apart on {stays} isn't the folder of that name here" in apart.stdout
    note("a folder that isn't shared was refused")

    operator.launch("--detach")

    def brought():
        """A worker that the study's trials have brought, and which of them is far on there."""
        others = [each for each in operator.workers().items() if each[0] != first]
        return next(((*each, hit) for each in others if (hit := operator.far_on(each[1]))), None)

    victim, gone, hit = wait_for(brought, "a second worker, for the trial that has no room on the first")
    note("the study has brought a worker of its own")
    operator.aws.announce(victim, 120)

    def moved():
        return hit <= {event.trial for event in operator.events(AttemptEnded) if event.outcome == "moved"}

    wait_for(moved, "a checkpoint of what runs there, to go on elsewhere", 60)
    note("what ran there has left, for the cloud has announced that it takes the machine back")
    operator.aws.take_back(victim)

    def replaced():
        new = set(operator.workers().values()) - {gone, stays}
        return new & {event.node for event in operator.events(AttemptStarted)}

    wait_for(replaced, "a trial on the machine that came instead of the one that was taken back")
    note("another one has come, and is used")
    operator.hurry()
    machine = wait_for(operator.ended, "the end of the study", 300)
    note("the study has ended")
    assert [trial.state.value for trial in machine.trials.values()] == ["complete"] * TRIALS
    for trial in machine.trials.values():
        for report in trial.reports:
            assert report.metrics["loss"] == pytest.approx(trial.config["x"] / report.t)
    assert {event.outcome for event in operator.events(AttemptEnded)} == {"returned", "moved"}
    for trial in hit:
        epochs = [event.metrics["epoch"] for event in operator.events(Reported) if event.trial == trial]
        assert epochs == list(range(1, EPOCHS + 1)), "nothing was trained twice"
    # What the file says of head and gpu-1; each worker as long as it is there.
    hours = [event.rates.machines for event in [*operator.events(RunStarted), *operator.events(NodeChanged)]]
    assert hours[0] == pytest.approx(0.192 + 0.805)
    assert max(hours) == pytest.approx(0.192 + 2 * 0.805)
    assert machine.limits.paid > 0

    # Of two that idle, whichever the autoscaler likes.
    wait_for(lambda: len(operator.workers()) == 1, "the end of the worker that nobody needs")
    note("the worker that nobody needs has gone")
    operator.run("ray down -y gpu.yaml")
    assert operator.aws.instances() == []
    told = json.loads(operator.run(f"sweep status {operator.url} --json").stdout)
    assert told["state"] == "complete", "which has outlived the cluster"
    wait_for(lambda: not operator.aws.machines, "machines without power", 10)
    note("nothing is left")
