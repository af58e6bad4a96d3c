"""A study learns from earlier ones of its storage, and keeps what it has learned when they are gone."""

import json
import shutil

import pytest

from sweep.samplers.optuna_sampler import OptunaSampler
from sweep.store import lessons, study_folder
from sweep.store.paths import study_paths


@pytest.fixture
def earlier(folder, launch):
    """A finished study of 12 trials, x from -1 to 1."""
    assert launch("toy.yaml", "--name", "toy-1", "--trials", "12", "--set", "promote=").code == 0


LEARNING = ["--set", "search.warm_start=[toy-1]", "--set", "search.algorithm=tpe", "--set", "promote="]


def test_launch_says_what_fits_and_the_sampler_knows_it(folder, earlier, launch):
    result = launch("toy.yaml", "--set", "parameters.x={min: 0.0, max: 1.0}", *LEARNING)
    assert result.code == 0
    kept = json.loads((folder / "studies/toy/warm_start.json").read_text())
    assert 0 < len(kept) < 12
    assert (
        f"warm_start: {len(kept)} of 12 trials of toy-1 fit this space; {12 - len(kept)} have x outside" in result.out
    )
    stored = study_folder.read(study_paths(folder / "studies", "toy"))
    sampler = OptunaSampler(stored.spec, lessons.read(stored.paths, stored.spec))
    assert [trial.user_attrs["trial"] for trial in sampler.study.trials] == [lesson["trial"] for lesson in kept]


def test_a_resume_proposes_the_same_with_the_earlier_study_gone(folder, earlier, launch, sweep):
    assert launch("toy.yaml", "--trials", "24", *LEARNING).code == 0
    events = folder / "studies/toy/events.jsonl"
    whole = events.read_text().splitlines()
    configs = [json.loads(line)["config"] for line in whole if '"trial_created"' in line]
    cut = next(place for place, line in enumerate(whole) if '"trial_created"' in line and '"trial":15,' in line)
    events.write_text("\n".join(whole[:cut]) + "\n")
    shutil.rmtree(folder / "studies/toy-1")
    assert sweep("resume", "toy", "--executor", "inline").code == 0
    again = [json.loads(line)["config"] for line in events.read_text().splitlines() if '"trial_created"' in line]
    assert again == configs


def test_a_study_whose_lessons_are_gone_does_not_go_on_without(folder, earlier, launch, sweep):
    assert launch("toy.yaml", *LEARNING).code == 0
    events = folder / "studies/toy/events.jsonl"
    events.write_text("\n".join(events.read_text().splitlines()[:3]) + "\n")
    (folder / "studies/toy/warm_start.json").unlink()
    result = sweep("resume", "toy", "--executor", "inline")
    assert result.code == 2
    assert "warm_start.json: can't be read" in result.err


@pytest.mark.parametrize("verb", ["preview", "launch"])
def test_a_study_that_is_not_there_or_cannot_be_compared_is_refused_with_its_line(folder, earlier, sweep, verb):
    text = (folder / "toy.yaml").read_text().replace("{algorithm: random}", "{warm_start: [toy-0, toy-1]}")
    (folder / "toy.yaml").write_text(text.replace("minimize", "maximize"))
    result = sweep(verb, "toy.yaml")
    assert result.code == 2
    assert "toy.yaml:6:23: search.warm_start[0]: no study 'toy-0' in" in result.err
    assert "Did you mean toy-1?" in result.err
    assert "toy.yaml:6:30: search.warm_start[1]: toy-1 has the goal minimize, and this file maximize." in result.err
    assert not (folder / "studies/toy").exists()
