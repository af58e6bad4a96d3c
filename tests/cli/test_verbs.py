"""The verbs, on a real study."""

import json

import optuna
import pytest


@pytest.fixture
def study(launch):
    result = launch()
    assert result.code == 0, result
    return result


def test_launch_ends_with_a_promoted_checkpoint_and_says_what_to_do_next(folder, study):
    assert "toy v1, alias champion" in study.out
    assert "sweep best toy" in study.out
    assert (folder / "registry/toy/v1/manifest.json").is_file()


def test_launch_shows_the_plan_before_it_starts(study):
    assert study.out.index("trials expected") < study.out.index("trial 0 started")


def test_same_launch_again_does_nothing_more(folder, study, launch):
    again = launch()
    assert again.code == 0
    assert "toy is complete" in again.out
    assert [path.name for path in (folder / "registry/toy").glob("v*")] == ["v1"]


def test_another_name_is_another_study(folder, study, launch):
    assert launch("toy.yaml", "--name", "toy-2", "--trials", "2").code == 0
    assert sorted(path.name for path in (folder / "studies").iterdir()) == ["toy", "toy-2"]


def test_override_counts_and_a_wrong_one_is_named(launch, sweep):
    assert launch("toy.yaml", "--set", "budget.trials=2").code == 0
    assert len(json.loads(sweep("trials", "toy", "--json").out)) == 2
    result = launch("toy.yaml", "--name", "b", "--set", "budget.trails=2")
    assert result.code == 2
    assert "Did you mean trials?" in result.err


def test_ls_status_trials_best_are_json_for_programs(study, sweep):
    (row,) = json.loads(sweep("ls", "--json").out)
    assert (row["name"], row["state"]) == ("toy", "complete")
    status = json.loads(sweep("status", "toy", "--json").out)
    assert status["state"] == "complete"
    trials = json.loads(sweep("trials", "toy", "--json").out)
    assert [trial["trial"] for trial in trials] == [0, 1, 2, 3]
    best = json.loads(sweep("best", "toy", "--json").out)
    lowest = min(trials, key=lambda trial: trial["value"])
    assert (best["trial"], best["value"]) == (lowest["trial"], lowest["value"])


@pytest.mark.parametrize(
    "command",
    [["ls"], ["status", "toy"], ["trials", "toy"], ["trials", "toy", "0"], ["best", "toy"], ["models", "ls"]],
)
def test_reading_verbs_show_people_the_same(study, sweep, command):
    result = sweep(*command)
    assert result.code == 0, result
    assert "toy" in result.out or "loss" in result.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--csv", "--json"], "--csv and --json: each is another form of the same table. Choose one."),
        (["0", "--sort", "lr", "--csv"], "--csv, --sort: for the table of all trials, not for the story of trial 0."),
    ],
)
def test_options_of_which_one_would_win_are_refused(sweep, arguments, words):
    result = sweep("trials", "toy", *arguments)
    assert result.code == 2
    assert words in result.err


def test_trials_are_sorted_filtered_and_written_as_csv(study, sweep):
    out = sweep("trials", "toy", "--csv", "--columns", "trial,x,state", "--sort", "-x", "--filter", "trial<3").out
    head, *rows = out.splitlines()
    assert head == "trial,x,state"
    values = [float(row.split(",")[1]) for row in rows]
    assert len(rows) == 3
    assert values == sorted(values, reverse=True)


def test_events_are_lines_of_json_for_programs(launch):
    result = launch("toy.yaml", "--json")
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert lines[0]["type"] == "run_started"
    assert {"trial_created", "reported", "decided", "run_ended"} <= {line["type"] for line in lines}


def test_promote_by_hand_makes_the_next_version_and_moves_the_alias(folder, study, sweep):
    best = json.loads(sweep("best", "toy", "--json").out)["trial"]
    result = sweep("promote", "toy", str(best), "--model", "other", "--alias", "candidate")
    assert result.code == 0, result
    (row,) = json.loads(sweep("models", "ls", "other", "--json").out)
    assert (row["version"], row["aliases"], row["trial"]) == ("v1", ["candidate"], best)


def test_models_show_alias_and_verify(folder, study, sweep):
    assert json.loads(sweep("models", "show", "toy@champion", "--json").out)["version"] == 1
    assert "toy" in sweep("models", "show", "toy").out
    assert sweep("models", "alias", "toy@v1", "production").code == 0
    moves = json.loads(sweep("models", "alias", "toy", "--json").out)
    assert [move["alias"] for move in moves] == ["champion", "production"]
    assert "every byte is as it was written" in sweep("models", "verify").out
    manifest = folder / "registry/toy/v1/card.md"
    manifest.chmod(0o644)
    manifest.write_text("forged")
    result = sweep("models", "verify", "toy@v1")
    assert result.code == 1
    assert "card.md" in result.err


def test_study_opens_in_optuna(folder, study):
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(folder / "studies/toy/optuna.log"))
    )
    assert len(optuna.load_study(study_name="toy", storage=storage).trials) == 4


def test_every_trial_has_tensorboard_files(folder, study):
    for trial in range(4):
        assert list((folder / f"studies/toy/trials/{trial:04d}/tensorboard").glob("events.out.tfevents*"))


def test_only_the_best_trials_keep_checkpoints(folder, launch):
    assert launch("toy.yaml", "--set", "checkpoint.keep_best_in_study=1", "--set", "budget.trials=8").code == 0
    kept = list((folder / "studies/toy/trials").glob("*/checkpoints/*"))
    assert len(kept) == 1, kept


def test_not_better_is_not_promoted(folder, study, launch):
    result = launch("toy.yaml", "--name", "again")
    assert result.code == 0
    assert "was not promoted to toy" in result.out
    assert "not better than" in result.out


def test_python_api_runs_loads_and_reads(folder):
    import sweep

    study = sweep.launch("toy.yaml", executor="inline")
    frame = sweep.load("toy").trials()
    assert list(frame.index) == [0, 1, 2, 3]
    assert study.best.value == frame["loss"].min()
    assert study.best.checkpoint.is_dir()
    assert study.status["state"] == "complete"
    assert "toy" in repr(study)


def test_json_lines_stay_json_when_the_training_function_prints(folder, launch):
    source = (folder / "train.py").read_text()
    (folder / "train.py").write_text(
        source.replace("def train(config, ctx):", "def train(config, ctx):\n    print('hi')")
    )
    result = launch("toy.yaml", "--json")
    assert all(json.loads(line) for line in result.out.splitlines())
    assert "hi" in result.err


def test_log_tells_how_training_went(study, sweep):
    assert "epoch 1: loss" in sweep("logs", "toy", "0").out


def test_folders_come_from_the_environment_when_the_file_names_none(folder, launch, sweep, monkeypatch):
    monkeypatch.setenv("SWEEP_STORAGE", str(folder / "a"))
    monkeypatch.setenv("SWEEP_REGISTRY", str(folder / "b"))
    assert launch().code == 0
    assert (folder / "a/toy/events.jsonl").is_file()
    assert (folder / "b/toy/v1/manifest.json").is_file()
    assert json.loads(sweep("ls", "--json").out)[0]["name"] == "toy"
    assert json.loads(sweep("models", "ls", "--json").out)[0]["model"] == "toy"


def test_plan_of_an_inline_launch_has_one_trial_at_once(study):
    assert "1 on this machine" in study.out
