"""What people ask of a study at work or left alone, and of one trial: granted or refused in words, and done."""

import pytest
from study_runs import begun, told

from sweep.core import commands as core
from sweep.core import events as ev
from sweep.core.spec import Budget
from sweep.core.trial import TrialState


def test_stop_creates_no_more_trials_and_lets_those_at_work_come_to_their_ends():
    run = begun()
    run.start(), run.start()
    assert run.ask("stop") == (True, "no new trials; 2 trials at work go to the end")
    assert run.report(0, 1, 1, loss=0.5).action == "advance"
    assert run.report(0, 1, 9, loss=0.5).action == "finish"
    run.end(0, 1, "returned")
    assert len(run.machine.trials) == 2
    assert not run.ended()
    run.report(1, 1, 9, loss=0.4)
    run.end(1, 1, "returned")
    assert run.ended() == [core.EndRun("stopped by a person", complete=True)]
    assert run.states() == ["complete", "complete"]


def test_stopped_study_retries_a_trial_that_is_lost():
    run = begun(slots=1)
    run.start()
    run.ask("stop")
    run.end(0, 1, "lost")
    assert [(start.trial, start.attempt) for start in run.starts] == [(0, 2)]


def test_trial_that_is_stopped_once_more_after_its_driver_died_is_stopped_once():
    run = begun(slots=1)
    run.start()
    run.ask("stop", trial=0)
    run.die()
    assert run.ask("stop", trial=0)[0]
    assert run.states() == ["stopped"]


def test_cancel_ends_every_attempt_now_and_the_study_with_them():
    run = begun()
    run.start(), run.start()
    run.report(0, 1, 1, loss=0.5)
    accepted, answer = run.ask("cancel")
    assert (accepted, answer) == (True, "the study is cancelled: 2 trials end now")
    assert [(end.trial, end.attempt) for end in run.ends] == [(0, 1), (1, 1)]
    assert run.states() == ["stopped", "stopped"]
    assert run.machine.trials[1].reason == "cancelled by a person"
    assert told(run) == {0: ("stopped", 0.5), 1: ("stopped", None)}
    assert run.machine.ended.complete


def test_cancel_ends_attempts_that_a_halted_study_waits_for():
    run = begun(budget=Budget(time=60.0))
    run.start(), run.start()
    run.tick(100)
    run.handle(ev.Ticked(time=run.tick()))
    assert not run.ended()
    assert run.ask("cancel") == (True, "2 trials at work end now")
    assert run.machine.ended.complete


def test_trial_that_reached_its_end_is_overthough_the_study_is_cancelled_before_its_process_is_gone():
    run = begun(slots=1)
    run.start()
    run.report(0, 1, 9, loss=0.5)
    run.ask("cancel")
    assert run.states() == ["complete"]


def test_pause_starts_nothing_until_resumed_and_trials_at_work_go_on():
    run = begun(slots=2)
    run.start()
    assert run.ask("pause") == (True, "no trial is started; 1 trial at work goes on; sweep resume s goes on")
    before = len(run.machine.trials)
    run.report(0, 1, 9, loss=0.5)
    run.end(0, 1, "returned")
    assert len(run.machine.trials) == before
    assert not run.ended()
    run.ask("resume")
    assert len(run.machine.trials) == before + 1
    assert not run.machine.paused


def test_paused_study_whose_trials_have_all_ended_ends():
    run = begun(slots=1, budget=Budget(trials=1))
    run.start()
    run.ask("pause")
    run.report(0, 1, 9, loss=0.5)
    run.end(0, 1, "returned")
    assert run.ended()[0].complete


def test_paused_study_keeps_a_trial_that_waits_to_go_on():
    run = begun(slots=1, budget=Budget(trials=1))
    run.start()
    run.ask("pause")
    run.end(0, 1, "lost")
    assert not run.ended()
    assert not run.starts
    run.ask("resume")
    assert [start.attempt for start in run.starts] == [2]


def test_paused_study_is_interrupted_like_any_other():
    run = begun(slots=1)
    run.ask("pause")
    run.handle(ev.StopRequested(time=run.tick(), reason="Ctrl-C"))
    run.finish()
    assert not run.machine.ended.complete
    run.begin()
    assert [start.trial for start in run.starts] == [0]


def test_time_stands_still_while_a_paused_study_has_nothing_at_work():
    run = begun(slots=1, budget=Budget(time=1000.0, trials=9))
    run.start()
    run.ask("pause")
    run.tick(100)
    run.report(0, 1, 9, loss=0.5)
    run.end(0, 1, "returned")
    spent = run.machine.elapsed_s
    assert spent > 100, "a trial at work takes time"
    run.tick(5000)
    assert not run.machine.overdue(run.now)
    run.ask("resume")
    assert run.machine.elapsed_s == pytest.approx(spent, abs=5)
    assert run.machine.ending is None


def test_new_driver_lifts_a_pause():
    run = begun()
    run.ask("pause")
    run.die()
    run.begin()
    assert not run.machine.paused
    assert run.starts


@pytest.mark.parametrize("verb", ["stop", "cancel", "pause"])
def test_study_that_has_ended_refuses(verb):
    run = begun(slots=1, budget=Budget(trials=1))
    run.complete()
    before = run.machine.ended
    accepted, answer = run.ask(verb)
    assert not accepted
    assert answer == f"study 's' has ended: budget.trials is used up: 1 trial. There is nothing left to {verb}."
    assert run.machine.ended is before


def test_study_that_is_at_work_and_not_paused_refuses_to_resume():
    assert begun().ask("resume") == (False, "study 's' isn't paused.")


def test_paused_study_refuses_another_pause():
    run = begun()
    run.ask("pause")
    assert run.ask("pause") == (False, "study 's' is paused already.")


# One trial


def test_stopped_trial_ends_at_its_next_report_and_the_study_goes_on():
    run = begun()
    run.start(), run.start()
    assert run.ask("stop", trial=1) == (True, "trial 1 ends at its next report")
    assert run.ends == []
    assert run.report(0, 1, 1, loss=0.5).action == "advance"
    decision = run.report(1, 1, 1, loss=0.1)
    assert (decision.action, decision.reason) == ("stop", "stopped by a person")
    run.end(1, 1, "stopped")
    assert run.machine.trials[1].state is TrialState.STOPPED
    assert run.machine.ending is None


def test_cancelled_trial_ends_now_and_is_no_failure_though_it_never_reported():
    run = begun()
    run.start(), run.start()
    run.ask("cancel", trial=0)
    assert [(end.trial, end.attempt) for end in run.ends] == [(0, 1)]
    assert run.states()[0] == "stopped"
    assert told(run)[0] == ("stopped", None)
    assert run.machine.ending is None


def test_waiting_trial_is_stopped_without_an_attempt():
    run = begun(slots=1, budget=Budget(trials=3))
    run.start()
    run.die()
    run.ask("stop", trial=0)
    assert run.states() == ["stopped"]
    run.begin()
    assert [start.trial for start in run.starts] == [1]


def test_trial_whose_attempt_is_on_its_way_is_ended_when_it_begins():
    run = begun(slots=1)
    run.ask("cancel", trial=0)
    assert run.states() == ["waiting"]
    run.start()
    assert core.EndAttempt(0, 1) in run.commands
    run.end(0, 1, "stopped")
    assert run.states()[0] == "stopped"


def test_trial_that_is_unknown_or_has_ended_is_refused():
    run = begun(slots=1)
    run.complete()
    assert run.ask("cancel", trial=7) == (False, "study 's' has no trial 7. It has 0 to 1.")
    assert run.ask("stop", trial=0) == (False, "trial 0 has ended: it is complete (reached max_t (epoch 9)).")


# Without a driver


def test_interrupted_study_whose_trials_had_begun_is_stopped_and_left_to_a_resume():
    run = begun(slots=2)
    run.start()
    run.die()
    accepted, answer = run.ask("stop")
    assert accepted
    assert answer == "no new trials; 1 trial had begun: sweep resume s takes them to their ends"
    assert run.states() == ["waiting", "stopped"]
    assert not run.machine.idle
    run.begin()
    assert [start.trial for start in run.starts] == [0]
    run.complete()
    assert len(run.machine.trials) == 2


def test_interrupted_study_is_cancelled_without_a_driver():
    run = begun(slots=2)
    run.start()
    run.report(0, 1, 1, loss=0.5)
    run.die()
    assert run.ask("cancel")[0]
    assert run.states() == ["stopped", "stopped"]
    assert run.machine.idle


def test_pause_without_a_driver_says_that_nothing_is_started_anyway():
    run = begun()
    run.die()
    assert run.ask("pause") == (False, "nobody is at work on study 's', so nothing is started until sweep resume s.")


def test_end_of_the_search_outlives_an_interrupt():
    run = begun(slots=1, budget=Budget(trials=50, patience=1))
    run.complete(loss=0.1)
    run.start()
    run.report(1, 1, 9, loss=0.2)
    run.ask("stop")
    run.handle(ev.StopRequested(time=run.tick(), reason="Ctrl-C"))
    run.end(1, 1, "interrupted")
    run.finish()
    run.begin()
    assert run.machine.ending.cause == "stop"
    assert not run.starts
