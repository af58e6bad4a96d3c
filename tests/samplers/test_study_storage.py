"""Of very many trials a sampler sees some: the good ones always."""

from itertools import pairwise

import optuna
from optuna.trial import TrialState

from sweep.samplers.optuna_space import asked_trial
from sweep.samplers.study_storage import MOST_SHOWN, StudyStorage


def study_of(count, running=()):
    storage = StudyStorage()
    study = optuna.create_study(storage=storage, study_name="s")
    study_id = storage.get_study_id_from_name("s")
    for number in range(count):
        identity = storage.create_new_trial(study_id, asked_trial())
        if number not in running:
            storage.set_trial_state_values(identity, TrialState.COMPLETE, [float(number)])
    return study, storage, study_id


def test_few_trials_are_all_shown():
    study, storage, study_id = study_of(MOST_SHOWN)
    with storage.bounded(study_id, set()):
        assert len(study.get_trials(deepcopy=False)) == MOST_SHOWN


def test_of_many_the_best_the_latest_those_at_work_and_some_of_the_rest_are_shown_in_order():
    running = {3, 700, 1999}
    study, storage, study_id = study_of(2000, running)
    best = set(range(100, 200))
    with storage.bounded(study_id, best):
        numbers = [trial.number for trial in study.get_trials(deepcopy=False)]
    assert len(numbers) == MOST_SHOWN + len(running)
    assert numbers == sorted(set(numbers))
    assert best | running | set(range(1850, 2000)) <= set(numbers)
    others = [number for number in numbers if number not in best and number < 1700]
    assert max(b - a for a, b in pairwise(others)) < 120
    assert len(study.get_trials(deepcopy=False)) == 2000


def test_copies_of_a_trial_are_its_own():
    study, _, _ = study_of(1)
    study.trials[0].params["x"] = 1
    assert study.trials[0].params == {}
