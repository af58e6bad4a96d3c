"""`ray up cluster/onprem.yaml` on machines that one can pull the plug of, and a study across them."""

import json
import re
import time

import pytest
import yaml
from lab import ROOT, lab, missing, wait_for

from sweep.core.events import AttemptEnded, AttemptStarted, Reported
from sweep.store import study_folder
from sweep.store.events import read
from sweep.store.paths import study_paths

pytestmark = [
    # Not `ray`: it is on hosts with a network of their own that Ray runs.
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=missing() or "a lab can be made"),
    pytest.mark.timeout(900),
]

EPOCHS, TRIALS = 12, 10
SPEC = f"""
entrypoint: train.py:train
metric: {{name: loss, goal: minimize}}
parameters: {{x: {{min: 0.0, max: 1.0}}}}
search: {{algorithm: random, seed: 0}}
scheduler: {{type: none, max_t: {EPOCHS}}}
budget: {{trials: {TRIALS}}}
resources: {{gpu: 1, cpu: 0.5}}
retries: {{max: 0}}
storage: STORAGE
"""
TRAIN = """
import os, socket, time

def train(config, ctx):
    print("on", socket.gethostname(), "with", os.environ.get("CUDA_VISIBLE_DEVICES"))
    ctx.restore()
    for epoch in range(ctx.t + 1, ctx.max_t + 1):
        time.sleep(0.7)
        ctx.report({"loss": config["x"] / epoch}, checkpoint=lambda: {"x": config["x"]})
"""
START = "--num-cpus=2 --num-gpus=2 --object-store-memory=100000000 --disable-usage-stats"


def filled_in(hosts):
    """cluster/onprem.yaml for these hosts; they have this checkout's environment, where theirs would be installed."""
    text = (ROOT / "cluster" / "onprem.yaml").read_text()
    for old, new in (("192.0.2.10", hosts["head"].address), ("192.0.2.11", hosts["w1"].address)):
        text = text.replace(old, new)
    text = text.replace("192.0.2.12", hosts["w2"].address).replace("ssh_user: me", "ssh_user: root")
    assert "192.0.2" not in text
    cluster = yaml.safe_load(text)
    del cluster["file_mounts"]["~/sweep-dist"]
    cluster["setup_commands"] = []
    for commands in (cluster["head_start_ray_commands"], cluster["worker_start_ray_commands"]):
        commands[-1] = commands[-1].replace("--disable-usage-stats", START)
        assert START in commands[-1]
    return yaml.safe_dump(cluster)


def test_a_study_across_three_hosts_outlives_one_of_them():
    # How long a worker waits for a head that is gone: a minute, if nothing is said.
    with lab("op", "head", "w1", "w2", environment={"RAY_gcs_rpc_server_reconnect_timeout_s": "5"}) as (hosts, shared):
        op, project = hosts["op"], shared / "project"
        project.mkdir()
        (project / "train.py").write_text(TRAIN)
        (project / "vast.yaml").write_text(SPEC.replace("STORAGE", str(shared / "studies")))
        (project / "onprem.yaml").write_text(filled_in(hosts))
        op.run("ray get-auth-token --generate >/dev/null; chmod 600 ~/.ray/auth_token")
        op.run(f"cd {project}; ray up -y onprem.yaml", timeout=300)

        def alive():
            seen = hosts["head"].run("ray list nodes --format json", check=False, timeout=60).stdout
            return sum(node["state"] == "ALIVE" for node in json.loads(seen or "[]")) == 3

        wait_for(alive, "three nodes")
        left = op.run(f"cd {project}; sweep launch vast.yaml --address onprem.yaml --detach", timeout=300)
        assert "It goes on without this machine" in left.stdout
        paths = study_paths(shared / "studies", "vast")

        def events(kind):
            if not paths.events.is_file():
                return []
            return [event for event in read(paths.events) if isinstance(event, kind)]

        def under_way():
            there = {event.trial for event in events(AttemptStarted) if event.node == "w2"}
            return {event.trial for event in events(Reported) if event.trial in there and event.metrics["epoch"] >= 3}

        hit = wait_for(under_way, "a trial at its third epoch on w2", 300)
        hosts["w2"].kill()
        killed = time.time()
        machine = wait_for(lambda: _ended(paths), "the end of the study", 400)
        assert [trial.state.value for trial in machine.trials.values()] == ["complete"] * TRIALS
        assert all(
            report.metrics["loss"] == pytest.approx(trial.config["x"] / report.t)
            for trial in machine.trials.values()
            for report in trial.reports
        )
        lost = [event for event in events(AttemptEnded) if event.outcome == "lost"]
        assert hit <= {event.trial for event in lost}
        # What was on its way to a host that is gone began nowhere.
        assert {event.node for event in events(AttemptStarted)} - {""} == {"head", "w1", "w2"}
        again = [event for event in events(AttemptStarted) if event.attempt > 1]
        assert {event.node for event in again} - {""} <= {"head", "w1"}
        known = min(event.time for event in lost)
        print(f"lost was known after {known - killed:.1f} s, gone on after {again[0].time - known:.1f} s more")
        for trial in hit:
            first = next(event for event in events(Reported) if event.trial == trial and event.attempt > 1)
            assert first.metrics["epoch"] > 1, "it went on from its checkpoint"
        logs = "".join(log.read_text() for log in paths.root.glob("trials/*/attempt-*.log"))
        masks = set(re.findall(r"on (\S+) with (\S+)", logs))
        assert {mask for _, mask in masks} == {"0", "1"}
        assert {host for host, _ in masks} == {"head", "w1", "w2"}
        status = op.run(
            f"cd {project}; sweep status vast --storage {shared}/studies --address onprem.yaml", timeout=200
        )
        assert re.search(r"state +complete", status.stdout)
        op.run(f"cd {project}; ray down -y onprem.yaml", timeout=200)
        wait_for(lambda: not any(rays(hosts[name]) for name in ("head", "w1")), "the end of every process of Ray's", 60)


def rays(host):
    """What of Ray runs on a host, or waits for it to end."""
    seen = host.run("ps -eo args", timeout=30).stdout.splitlines()
    return [line for line in seen if re.search(r"raylet|ray::|gcs_server|/ray/|ray start", line)]


def _ended(paths):
    machine = study_folder.read(paths).machine
    return machine if machine.ended is not None else None
