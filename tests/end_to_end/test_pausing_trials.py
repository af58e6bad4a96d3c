"""Schedulers that pause, on real attempts with real checkpoints: here and in warm processes."""

import math

import pytest

from sweep.core.spec import StudySpec
from sweep.core.trial import TrialState
from sweep.launching import Options, launch
from sweep.registry import ModelFolder
from sweep.store import checkpoints

TRAIN = '''
def train(config, ctx):
    """The loss sums up what each epoch's own x does: it depends on the whole way, as a model's weights do."""
    state = ctx.restore() or {"epoch": 0, "gone": 0.0, "by": []}
    for epoch in range(state["epoch"] + 1, 10):
        gone = state["gone"] + 1 - (config["x"] - 0.3) ** 2
        state = {"epoch": epoch, "gone": gone, "by": [*state["by"], config["x"]]}
        ctx.report({"epoch": epoch, "loss": 9 - gone}, checkpoint=state)
'''

EXECUTORS = [
    "inline",
    *(pytest.param(name, marks=[pytest.mark.ray, pytest.mark.xdist_group("ray")]) for name in ("ray", "tune")),
]


@pytest.fixture
def run(tmp_path, request):
    """Runs a study of the function above; returns it as its folder tells."""
    (tmp_path / "train.py").write_text(TRAIN.replace("\\\\n", "\\n"))

    def build(executor, name="s", **sections):
        if executor != "inline":
            request.getfixturevalue("ray_cluster")
        spec = StudySpec.model_validate({
            "name": name,
            "entrypoint": "train.py:train",
            "metric": [{"name": "loss", "goal": "minimize"}],
            "parameters": {"x": {"kind": "float", "min": 0.0, "max": 1.0}},
            "search": {"algorithm": "random", "seed": 5},
            "resources": {"cpu": 1, "max_concurrent": 2},
            "storage": str(tmp_path / "studies"),
            **sections,
        })  # fmt: skip
        return launch(spec, base_dir=tmp_path, options=Options(executor=executor))

    return build


def trained(stored, trial):
    """What the checkpoints of a trial were trained with: by epoch."""
    from sweep.training import states

    folders = checkpoints.complete_ones(stored.paths.trial(trial).checkpoints)
    return {state["epoch"]: state["by"] for state in (states.read(folder, lambda: "cpu") for folder in folders)}


@pytest.mark.parametrize("executor", EXECUTORS)
def test_paused_trials_go_on_from_their_rungs(run, executor):
    stored = run(
        executor,
        scheduler={"max_t": 9, "promote": True},
        budget={"trials": 9},
        # Far apart: but at a rung there is one.
        checkpoint={"every": 100},
        # Two at once could come to their rungs in an order in which each good one goes on there and then.
        resources={"cpu": 1, "max_concurrent": 1},
    )
    trials = stored.machine.trials
    states = {trial.state for trial in trials.values()}
    assert states == {TrialState.COMPLETE, TrialState.STOPPED}
    for trial in trials.values():
        assert [report.t for report in trial.reports] == list(range(1, trial.t + 1))
        if trial.state is TrialState.COMPLETE:
            assert trial.t == 9
        else:
            assert "its turn never came" in trial.reason
    best = stored.machine.best
    assert trained(stored, best.number)[9] == [best.config["x"]] * 9
    paused = [each for each in stored.machine.decisions if each.action == "pause"]
    assert paused
    # A step that was trained meanwhile has no rung.
    assert {1} <= {each.rung for each in paused} <= {1, 3, None}
    assert any(len(trial.attempts) > 1 for trial in trials.values())


# On Tune each of its some twenty attempts starts a process.
@pytest.mark.parametrize("executor", EXECUTORS[:2])
def test_pbt_trains_on_what_it_copied_with_the_config_that_it_varied(run, executor, tmp_path):
    stored = run(
        executor,
        scheduler={"type": "pbt", "max_t": 9, "grace_period": 2, "reduction_factor": 2},
        budget={"trials": 4},
        promote={"model": "pbt", "registry": str(tmp_path / "registry")},
    )
    trials = stored.machine.trials
    assert {trial.state for trial in trials.values()} == {TrialState.COMPLETE}
    exploited = [trial for trial in trials.values() if trial.lineage]
    assert exploited
    best = stored.machine.best
    by = trained(stored, best.number)[9]
    # The whole way in its checkpoint: epochs with the source's config, then with its own.
    assert math.isclose(best.value(stored.machine.metric), 9 - sum(1 - (x - 0.3) ** 2 for x in by))
    assert by[-1] == best.config["x"]
    if best.lineage:
        origin = best.lineage[-1]
        assert by[origin.t :] == [origin.after["x"]] * (9 - origin.t)
    (version,) = ModelFolder(tmp_path / "registry" / "pbt").versions()
    assert version.manifest.config == best.config
    assert [each.source for each in version.manifest.lineage.taken_up] == [each.source for each in best.lineage]
