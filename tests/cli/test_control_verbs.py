"""The verbs of study control: what they refuse, in which words, and with which exit code."""

import json

import pytest

import sweep as api
from sweep.errors import StudyError


def kill_at_the_end(folder):
    """Leave the log as if the driver had died before its last word."""
    events = folder / "studies/toy/events.jsonl"
    lines = events.read_text().splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["type"] not in ("run_ended", "promoted", "promotions_done")]
    events.write_text("".join(kept))


@pytest.mark.parametrize("verb", ["stop", "cancel", "pause"])
def test_unknown_study_is_refused_with_the_nearest_name(sweep, launch, verb):
    assert launch().code == 0
    done = sweep(verb, "toi")
    assert done.code == 2
    assert "no study 'toi'" in done.err
    assert "Did you mean toy?" in done.err


@pytest.mark.parametrize("verb", ["stop", "cancel", "pause"])
def test_study_that_has_ended_refuses_and_stays_as_it_is(sweep, launch, folder, verb):
    launch()
    done = sweep(verb, "toy")
    assert (done.code, done.out) == (2, "")
    assert (
        done.err
        == f"sweep: study 'toy' has ended: budget.trials is used up: 4 trials. There is nothing left to {verb}.\n"
    )
    assert json.loads(sweep("status", "toy", "--json").out)["state"] == "complete"


def test_one_trial_of_an_ended_study_has_ended_too(sweep, launch):
    launch()
    done = sweep("cancel", "toy", "1")
    assert done.code == 2
    assert "trial 1 has ended: it is " in done.err
    assert "has no trial 99. It has 0 to 3." in sweep("stop", "toy", "99").err


@pytest.mark.parametrize("flags", [[], ["--failed", "--oom"]])
def test_retry_must_say_which(sweep, launch, flags):
    launch()
    done = sweep("retry", "toy", *flags)
    assert done.code == 2
    assert "say which trials: --failed, or --oom" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "say by what: --trials +50, --time +1h, --gpu-hours +8 or --cost +20"),
        (["--cost", "20"], "--cost: expected + and a number above 0, got '20'. Write --cost +20: so many more."),
        (["--cost", "+20"], "has no limit in budget.cost that could be extended"),
        (["--trials", "50"], "expected + and a whole number above 0, got '50'. Write --trials +50: so many more."),
        (["--trials", "+0"], "--trials: expected + and a whole number above 0, got '+0'."),
        (["--trials", "+1.5"], "--trials: expected + and a whole number above 0, got '+1.5'."),
        (["--gpu-hours", "+inf"], "--gpu-hours: expected + and a number above 0, got '+inf'."),
        (["--gpu-hours", "+nan"], "--gpu-hours: expected + and a number above 0, got '+nan'."),
        (["--time", "1h"], "--time: expected + and a duration, got '1h'. Write --time +1h: so much more."),
        (["--time", "+soon"], "--time: expected a duration such as 10m"),
        (["--time", "+1h"], "has no limit in budget.time that could be extended"),
    ],
)  # fmt: skip
def test_extension_that_cant_be_read_or_granted_is_told_in_words(sweep, launch, arguments, words):
    launch()
    done = sweep("extend", "toy", *arguments, "--executor", "inline")
    assert done.code == 2
    assert words in done.err


def test_extended_study_goes_on_here_and_is_promoted_anew(sweep, launch):
    launch()
    done = sweep("extend", "toy", "--trials", "+3", "--executor", "inline")
    assert done.code == 0, done.err
    assert "toy: the study may take 7 trials in all" in done.out
    assert len(json.loads(sweep("trials", "toy", "--json").out)) == 7
    assert json.loads(sweep("ls", "--json").out)[0]["budget_trials"] == 7


def test_retried_trials_go_on_here(sweep, launch, folder):
    working = (folder / "train.py").read_text()
    (folder / "train.py").write_text(working.replace("range(1, 4):", "range(1, 4):\n        assert ctx.trial != 2"))
    launch()
    states = lambda: [row["state"] for row in json.loads(sweep("trials", "toy", "--json").out)]
    assert states()[2] == "failed"
    (folder / "train.py").write_text(working)
    done = sweep("retry", "toy", "--failed", "--executor", "inline")
    assert done.code == 0, done.err
    assert "1 trial gets a further attempt: 2" in done.out
    assert "failed" not in states()


def test_json_says_what_was_answered(sweep, launch, folder):
    launch()
    kill_at_the_end(folder)
    done = sweep("cancel", "toy", "--json")
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    assert (answer["study"], answer["verb"], answer["accepted"], answer["live"]) == ("toy", "cancel", True, False)
    assert answer["answer"] == "the study is cancelled: 0 trials end now"


def test_cancelled_study_promotes_nothing_unasked(sweep, launch, folder):
    launch()
    kill_at_the_end(folder)
    sweep("cancel", "toy")
    done = sweep("resume", "toy", "--executor", "inline")
    assert "cancelled: nothing is promoted unasked. By hand: sweep promote toy" in done.out


def test_preview_shows_what_repeats_cost(sweep):
    done = sweep("preview", "toy.yaml", "--set", "search.repeats=4", "--set", "search.finalists=2")
    assert "2 finalists, 4 more seeds each, 24 epochs" in done.out
    data = json.loads(sweep("preview", "toy.yaml", "--set", "search.repeats=4", "--json").out)
    assert (data["repeats"], data["at_most_steps"]) == (12, 4 * 3 + 12 * 3)


def test_end_of_a_study_says_what_more_would_buy(launch):
    done = launch("toy.yaml", "--set", "budget.trials=25", "--set", "scheduler.type=none")
    assert done.code == 0, done.err
    (line,) = [line for line in done.out.splitlines() if line.startswith("outlook")]
    assert "25 more trials would likely improve loss by" in line
    assert "(90 %: " in line


def test_reading_verbs_take_a_log_at_any_moment_of_its_writing(sweep, launch, folder):
    """A reader may come between any two writes, and in the middle of one."""
    launch("toy.yaml", "--set", "search.repeats=1")
    events = folder / "studies/toy/events.jsonl"
    whole = events.read_bytes()
    first = whole.index(b"\n") + 1
    for size in range(first, len(whole), 997):
        events.write_bytes(whole[:size])
        rows = json.loads(sweep("trials", "toy", "--json", "--sort", "value", "--filter", "state!=failed").out)
        best = json.loads(sweep("best", "toy", "--json").out)
        lines = whole[:size].count(b'"type":"trial_created"')
        assert lines - 1 <= len(rows) <= lines
        valued = [row for row in rows if row["value"] is not None and row["repeat_of"] is None]
        assert (best["trial"] is None) == (not valued)
        if valued and not (best["repeats"] or {}).get("settled"):
            assert best["value"] == min(row["value"] for row in valued)
        assert sweep("trials", "toy", "--csv", "--columns", "trial,loss,x").code == 0
        assert sweep("status", "toy", "--json").code == 0


def test_python_has_the_same_verbs(launch, folder):
    launch()
    study = api.load("toy")
    with pytest.raises(StudyError, match="has ended"):
        study.stop()
    with pytest.raises(StudyError, match="nothing left to cancel"):
        study.cancel()
    with pytest.raises(StudyError, match="nothing left to pause"):
        study.pause()
    with pytest.raises(StudyError, match="no trial of study 'toy' has failed"):
        study.retry(executor="inline")
    assert len(study.extend(trials=2, executor="inline").trials()) == 6
    assert study.resume(executor="inline").status["state"] == "complete"
