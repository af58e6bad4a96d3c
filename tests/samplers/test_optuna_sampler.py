"""Ask and tell by Optuna: what is proposed, and what Optuna learns."""

import math

import optuna
import pytest
from optuna.trial import TrialState

from sweep.core import events as ev
from sweep.core.objectives import Result
from sweep.core.space import contains
from sweep.core.spec import Budget, Choice, Constant, FloatRange, IntRange, Metric, Scheduler, Search, StudySpec
from sweep.core.study import StudyMachine
from sweep.core.warm_start import Lesson, Shown
from sweep.samplers.optuna_journal import OptunaJournal, is_current
from sweep.samplers.optuna_sampler import OptunaSampler
from sweep.samplers.teaching import teach

PARAMETERS = {
    "lr": FloatRange(min=1e-5, max=1e-1, log=True),
    "width": IntRange(min=8, max=66, step=8),
    "dropout": FloatRange(min=0.0, max=0.5, step=0.2),
    "act": Choice(values=["relu", "gelu", None, 3]),
    "size": Choice(values=["small", "medium", "large"], ordered=True),
    "data": Constant(value="digits"),
}


def spec(algorithm="tpe", seed=0, goal="minimize", **search):
    return StudySpec(
        name="s",
        entrypoint="m:f",
        metric=Metric(name="loss", goal=goal),
        parameters=PARAMETERS,
        search=Search(algorithm=algorithm, seed=seed, **search),
        scheduler=Scheduler(max_t=9),
        budget=Budget(trials=20),
    )


def loss(config):
    return (math.log10(config["lr"]) + 3) ** 2 + config["width"] / 64


def play(sampler, numbers):
    configs = []
    for number in numbers:
        config = sampler.ask(number)
        configs.append(config)
        sampler.report(number, 1, Result((loss(config) + 1,)))
        if number % 3 == 2:
            sampler.tell(number, "stopped", Result((loss(config) + 1,)))
        else:
            sampler.tell(number, "complete", Result((loss(config),)))
    return configs


@pytest.mark.parametrize("algorithm", ["tpe", "random", "auto"])
def test_proposals_lie_in_the_space_with_constants_filled_in(algorithm):
    for config in play(OptunaSampler(spec(algorithm)), range(25)):
        assert contains(PARAMETERS, config) == []
        assert list(config) == list(PARAMETERS)
        assert config["data"] == "digits"


@pytest.mark.parametrize("algorithm", ["tpe", "random"])
def test_same_seed_gives_the_same_trials_and_another_seed_others(algorithm):
    assert play(OptunaSampler(spec(algorithm)), range(15)) == play(OptunaSampler(spec(algorithm)), range(15))
    assert play(OptunaSampler(spec(algorithm)), range(15)) != play(OptunaSampler(spec(algorithm, seed=1)), range(15))


@pytest.mark.parametrize("algorithm", ["tpe", "random"])
def test_no_two_trials_are_the_same(algorithm):
    assert len({config["lr"] for config in play(OptunaSampler(spec(algorithm)), range(15))}) == 15


@pytest.mark.parametrize("algorithm", ["tpe", "random"])
def test_resumed_study_proposes_what_it_would_have_without_the_break(algorithm):
    whole = play(OptunaSampler(spec(algorithm)), range(20))
    resumed = OptunaSampler(spec(algorithm))
    for number, config in enumerate(whole[:13]):
        resumed.add(number, config)
        resumed.report(number, 1, Result((loss(config) + 1,)))
        resumed.tell(number, "stopped" if number % 3 == 2 else "complete", Result((loss(config),)))
    assert play(resumed, range(13, 20)) == whole[13:]


def test_stopped_is_pruned_with_its_values_failed_is_fail_and_the_others_run():
    sampler = OptunaSampler(spec())
    for number in range(4):
        sampler.ask(number)
    sampler.report(0, 1, Result((0.5,)))
    sampler.report(0, 3, Result((0.4,)))
    sampler.tell(0, "stopped", Result((0.4,)))
    sampler.tell(1, "failed", None)
    sampler.report(2, 9, Result((0.1,)))
    sampler.tell(2, "complete", Result((0.1,)))
    states = [trial.state for trial in sampler.study.trials]
    assert states == [TrialState.PRUNED, TrialState.FAIL, TrialState.COMPLETE, TrialState.RUNNING]
    assert sampler.study.trials[0].intermediate_values == {1: 0.5, 3: 0.4}


def test_points_to_evaluate_come_first_and_gaps_are_proposed():
    points = [{"lr": 0.01, "width": 16, "dropout": 0.2, "act": None, "size": "medium"}, {"lr": 0.02}]
    sampler = OptunaSampler(spec(points_to_evaluate=points))
    first, second = sampler.ask(0), sampler.ask(1)
    assert first == {**points[0], "data": "digits"}
    assert second["lr"] == 0.02
    assert contains(PARAMETERS, second) == []


def test_tpe_learns():
    """Its late proposals are better than its early, random ones; a random search's aren't by as much."""
    configs = play(OptunaSampler(spec()), range(60))
    early = sorted(map(loss, configs[:10]))[5]
    late = sorted(map(loss, configs[40:]))[10]
    assert late < early / 2


def test_running_trials_count_for_tpe():
    """Without a liar eight proposals at once, from the same knowledge, would crowd around one point."""
    sampler = OptunaSampler(spec())
    play(sampler, range(20))
    proposals = [sampler.ask(20 + number) for number in range(8)]
    assert len({config["lr"] for config in proposals}) == 8


def journal_trials(path):
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    return optuna.load_study(study_name="s", storage=storage)


def test_every_step_of_a_range_is_proposed_its_last_too():
    """In binary 3 * 0.3 is 0.8999..., by which the last value would be lost."""
    stepped = spec("random").model_copy(update={"parameters": {"x": FloatRange(min=0.0, max=1.0, step=0.3)}})
    sampler = OptunaSampler(stepped)
    assert {round(sampler.ask(number)["x"], 6) for number in range(4)} == {0.0, 0.3, 0.6, 0.9}
    assert sampler.ask(4) is None


def test_journal_that_lags_behind_its_study_is_known(tmp_path):
    machine = StudyMachine(spec())
    path = tmp_path / "optuna.log"
    assert not is_current(path, machine)
    config = OptunaSampler(spec()).ask(0)
    machine.handle(ev.TrialCreated(time=1, trial=0, config=config))
    journal = OptunaJournal(path, spec())
    journal.close()
    assert not is_current(path, machine)
    journal = OptunaJournal(path, spec())
    teach(machine, [journal])
    journal.close()
    assert is_current(path, machine)


def test_journal_opens_in_optuna_with_the_same_numbers_states_and_values(tmp_path):
    path = tmp_path / "optuna.log"
    sampler, journal = OptunaSampler(spec(goal="maximize")), OptunaJournal(path, spec(goal="maximize"))
    for number in range(3):
        journal.add(number, sampler.ask(number))
    journal.report(1, 1, Result((0.5,)))
    journal.tell(1, "stopped", Result((0.5,)))
    journal.report(0, 9, Result((0.9,)))
    journal.tell(0, "complete", Result((0.9,)))
    journal.close()
    study = journal_trials(path)
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING]
    assert study.trials[1].intermediate_values == {1: 0.5}
    assert study.best_value == 0.9
    assert study.trials[0].params == sampler.study.trials[0].params


def test_journal_is_written_anew_without_waiting_for_a_dead_writers_lock(tmp_path, monkeypatch):
    def never(_):
        raise AssertionError("waited for a writer that is dead")

    monkeypatch.setattr("optuna.storages.journal._file.time.sleep", never)
    path = tmp_path / "optuna.log"
    path.write_text("torn")
    (tmp_path / "optuna.log.lock").symlink_to(path)
    journal = OptunaJournal(path, spec())
    journal.add(0, {"lr": 0.1, "width": 8, "dropout": 0.0, "act": "relu", "size": "large", "data": "digits"})
    journal.close()
    assert len(journal_trials(path).trials) == 1


def test_resume_teaches_all_that_is_known(tmp_path):
    machine = StudyMachine(spec())
    sampler = OptunaSampler(spec())
    config = sampler.ask(0)
    for event in [
        ev.RunStarted(time=1, executor="x", slots=1),
        ev.TrialCreated(time=2, trial=0, config=config),
        ev.AttemptStarted(time=3, trial=0, attempt=1),
        ev.Reported(time=4, trial=0, attempt=1, metrics={"epoch": 1, "loss": 0.5}),
        ev.Reported(time=5, trial=0, attempt=1, metrics={"epoch": 2, "loss": math.nan}),
        ev.Reported(time=6, trial=0, attempt=1, metrics={"epoch": 9, "loss": 0.3}),
        ev.AttemptEnded(time=7, trial=0, attempt=1, outcome="returned"),
        ev.TrialCreated(time=8, trial=1, config=config),
    ]:
        machine.handle(event)
    again = OptunaSampler(spec())
    teach(machine, [again])
    assert [trial.state for trial in again.study.trials] == [TrialState.COMPLETE, TrialState.RUNNING]
    assert again.study.trials[0].intermediate_values == {1: 0.5, 9: 0.3}
    assert again.study.trials[0].value == 0.3


CONFIG = {"lr": 1e-3, "width": 16, "dropout": 0.2, "act": "gelu", "size": "small", "data": "digits"}


def lesson(best, *shown):
    state = "complete" if best else "stopped"
    return Lesson(study="old", trial=3, config=CONFIG, state=state, best=best, shown=list(shown) or [best])


def with_metrics(*metrics):
    return spec().model_copy(update={"metric": list(metrics)})


def test_lessons_within_bounds_are_told_as_our_own_trials_are():
    bounded = with_metrics(
        Metric(name="loss", goal="minimize"), Metric(name="latency", max=5.0), Metric(name="size", max=1.0)
    )
    broken = Shown(t=9, values=(0.1,), excess={"latency": 2.0})
    missing = Shown(t=3, values=(0.2,), excess={"latency": math.inf})
    sampler = OptunaSampler(bounded, [lesson(broken), lesson(None, Shown(t=1, values=(0.3,), excess={}), missing)])
    first, second = sampler.study.trials
    assert (first.state, first.values, first.intermediate_values) == (TrialState.COMPLETE, [0.1], {9: 0.1})
    assert first.constraints == {"latency": 2.0, "size": 0.0}
    assert (second.state, second.intermediate_values) == (TrialState.PRUNED, {1: 0.3, 3: 0.2})
    assert second.constraints["latency"] > 1e9
    assert sampler.ask(0) is not None


@pytest.mark.parametrize("algorithm", ["tpe", "nsga2", "random"])
def test_lessons_of_several_objectives_are_known_from_the_start(algorithm):
    two = with_metrics(Metric(name="loss", goal="minimize"), Metric(name="acc", goal="maximize"))
    two = two.model_copy(update={"search": Search(algorithm=algorithm, startup_trials=1)})
    sampler = OptunaSampler(two, [lesson(Shown(t=9, values=(0.1, 0.9))), lesson(None, Shown(t=3, values=(0.2, 0.8)))])
    assert [trial.number for trial in sampler.study.best_trials] == [0]
    assert sampler.study.trials[1].state is TrialState.PRUNED
    assert contains(PARAMETERS, sampler.ask(0)) == []
