"""Population based training: who takes up whose work, and with which config."""

from small_spec import small_spec
from study_runs import Run, told

from sweep.core import commands as core
from sweep.core import events as ev
from sweep.core.spec import Budget, FloatRange, IntRange, Scheduler, Search
from sweep.core.study import replay
from sweep.core.trial import TrialState


def population(trials=4, slots=4, seed=0, **rules):
    rules = {"type": "pbt", "max_t": 9, "grace_period": 2, "reduction_factor": 2, **rules}
    run = Run(
        small_spec(
            scheduler=Scheduler(**rules), budget=Budget(trials=trials), search=Search(algorithm="random", seed=seed)
        ),
        slots,
    )
    run.begin()
    return run


def step(run, number, loss):
    trial = run.machine.trials[number]
    t = max(trial.t, trial.checkpoint_t) + 1
    decision = run.report(number, len(trial.attempts), t, loss=loss)
    if decision.action != "advance":
        run.end(number, len(trial.attempts), decision.outcome)
    return decision


def grown(seed=0):
    """Four trials that have come to epoch 2 with losses 0 to 3; the last is among the worst."""
    run = population(seed=seed)
    for _ in range(4):
        run.start()
    for number in range(4):
        step(run, number, float(number))
        decision = step(run, number, float(number))
    return run, decision


def test_one_of_the_worst_takes_the_checkpoint_and_a_variation_of_the_config_of_one_of_the_best():
    run, decision = grown()
    assert decision.action == "pause"
    assert decision.reason == "4 of 4 at epoch 2: among the worst 2: it is to go on as a variant of a better one"
    (copied,) = [c for c in run.commands if isinstance(c, core.CopyCheckpoint) and c.trial == 3]
    assert copied.copy.source in (0, 1)
    assert copied.copy.checkpoint == f"trials/{copied.copy.source}/epoch-2"
    trial = run.machine.trials[3]
    assert trial.config == dict(copied.copy.config) != {"x": 0.03}
    start = next(s for s in run.starts if s.trial == 3)
    assert (start.attempt, start.checkpoint) == (2, "trials/3/epoch-2")
    (origin,) = trial.lineage
    assert (origin.source, origin.t, origin.before) == (copied.copy.source, 2, {"x": 0.03})
    assert trial.config_in(1) == {"x": 0.03}
    assert trial.config_in(2) == trial.config


def test_source_is_drawn_by_the_seed_from_the_best_alone():
    sources = [grown(seed)[0].machine.trials[3].lineage[0].source for seed in range(12)]
    assert set(sources) == {0, 1}


def test_one_of_the_better_half_goes_on_as_it_was():
    run, _ = grown()
    assert run.machine.trials[0].state is TrialState.RUNNING
    assert not run.machine.trials[0].lineage


def test_what_was_given_up_counts_no_more():
    run, _ = grown()
    assert [report.t for report in run.machine.trials[3].reports] == [1]
    while run.starts:
        run.start()
    assert step(run, 3, 0.5).action == "advance"
    assert [report.t for report in run.machine.trials[3].reports] == [1, 3]


def test_a_variant_that_is_paused_anew_never_goes_back():
    run, _ = grown()
    while run.starts:
        run.start()
    ts = {number: trial.checkpoint_t for number, trial in run.machine.trials.items()}
    for _ in range(6):
        for number in [n for n, trial in run.machine.trials.items() if trial.state is TrialState.RUNNING]:
            step(run, number, float(number))
            assert run.machine.trials[number].checkpoint_t >= ts[number]
            ts[number] = run.machine.trials[number].checkpoint_t
        while run.starts:
            run.start()


def test_without_room_for_all_they_are_trained_in_rounds():
    run = population(trials=3, slots=1)
    order = []
    while run.starts:
        number, _ = run.start()
        decision = step(run, number, float(number))
        while decision.action == "advance":
            decision = step(run, number, float(number))
        order.append((number, run.machine.trials[number].checkpoint_t, decision.action))
    assert [number for number, *_ in order[:3]] == [0, 1, 2]
    assert {t for _, t, action in order[:3]} == {2}
    assert all(trial.state is TrialState.COMPLETE for trial in run.machine.trials.values())
    assert run.ended()[-1].complete


def test_one_that_shows_no_number_goes_on_as_a_variant():
    run = population(trials=2, slots=2)
    run.start()
    run.start()
    for loss in (0.5, 0.5):
        step(run, 0, loss)
    step(run, 1, float("nan"))
    assert step(run, 1, float("nan")).action == "pause"
    assert run.machine.trials[1].lineage[0].source == 0


def test_checkpoint_that_is_gone_leaves_the_trial_as_it_was():
    class Gone(Run):
        def copy(self, command):
            trial = self.machine.trials[command.trial]
            self.handle(
                ev.Exploited(
                    time=self.tick(), trial=trial.number, source=command.copy.source, t=command.copy.t,
                    before=trial.config, after=dict(command.copy.config), reason=command.reason,
                )
            )  # fmt: skip

    run = Gone(
        small_spec(
            scheduler=Scheduler(type="pbt", max_t=9, grace_period=2, reduction_factor=2), budget=Budget(trials=2)
        ),
        2,
    )
    run.begin()
    run.start()
    run.start()
    for number in (0, 0, 1, 1):
        step(run, number, float(number))
    assert run.machine.trials[1].config == {"x": 0.01}
    assert not run.machine.trials[1].lineage
    assert [start.trial for start in run.starts] == [1]


def test_driver_that_dies_between_the_decision_and_the_copy_decides_anew():
    run, _ = grown()
    (place,) = [i for i, event in enumerate(run.history) if isinstance(event, ev.Exploited) and event.trial == 3]
    again = Run(run.machine.spec, 4)
    again.machine = replay(run.machine.spec, run.history[:place])
    assert again.machine.trials[3].state is TrialState.PAUSED
    again.now = run.now
    again.begin()
    assert again.machine.trials[3].config == run.machine.trials[3].config


def test_result_of_a_variant_is_not_told_as_that_of_the_proposed_config():
    run = population(trials=2, slots=2, max_t=3)
    run.start()
    run.start()
    for number in (0, 0, 1, 1):
        step(run, number, float(number))
    run.start()
    step(run, 0, 0.0)
    step(run, 1, 0.0)
    assert told(run) == {0: ("complete", 0.0), 1: ("stopped", None)}
    assert {(c.trial, c.t) for c in run.commands if isinstance(c, core.ReportToSampler)} == {
        (0, 1), (0, 2), (0, 3), (1, 1), (1, 2),
    }  # fmt: skip


def test_only_what_may_change_does():
    run = Run(
        small_spec(
            parameters={"x": FloatRange(min=0, max=1), "width": IntRange(min=1, max=100)},
            scheduler=Scheduler(type="pbt", max_t=9, grace_period=1, reduction_factor=2),
            budget=Budget(trials=2),
        ),
        2,
    )
    # Configs of this play have x alone; the space's default is to vary real ranges.
    assert run.machine.scheduler._explored == ["x"]
