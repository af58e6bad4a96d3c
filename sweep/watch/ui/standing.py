"""How a study stands, as JSON values: what the head of its page and the sections below it show."""

from __future__ import annotations

from typing import Any

from sweep.core.space import varying
from sweep.core.study import StudyMachine
from sweep.watch.tables import budget
from sweep.watch.tails import Tails
from sweep.watch.tally import Failure, Running, Tally
from sweep.watch.text import measured, plain, shown
from sweep.watch.words import state_word

FAILURES = 6


def standing(study: StudyMachine, tally: Tally, tails: Tails, *, live: bool, now: float) -> dict[str, Any]:
    """All of it.

    Args:
        study: its state.
        tally: what it amounts to.
        tails: of its logs.
        live: whether a driver is at work on it.
        now: seconds since 1970.
    """
    ending = study.ended.reason if study.ended else study.ending.reason if study.ending else ""
    left = tally.time_left(now) if live else None
    front = [trial.number for trial in study.front()] if study.metric.several else []
    found = {
        "study": study.spec.name,
        "state": state_word(study, live=live),
        "reason": ending,
        "live": live,
        "ending": study.ending.kind if live and study.ending else "",
        "metric": study.metric.name,
        "goal": study.metric.goal,
        "time_attr": study.spec.scheduler.time_attr,
        "max_t": study.spec.scheduler.max_t,
        "best": tally.best and {
            "value": tally.best.value,
            "others": measured(study.metric.names[1:], tally.best.metrics),
            "trial": tally.best.trial,
            "t": tally.best.t,
        },
        "front": front,
        "trials": {"proposed": tally.proposed, "limit": tally.trial_limit, "repeats": tally.created - tally.proposed},
        "counts": _counts(tally, live=live),
        "elapsed_s": tally.elapsed_s(now) if live else study.elapsed_s,
        "left": left and {"seconds": left.seconds, "guessed": left.guessed},
        "budget": budget(study),
        "slots": tally.slots if live else None,
        "starting": tally.starting if live else 0,
        "delay": tally.delay if live else "",
        "dashboard": tally.dashboard if live else None,
        "running": [_running(study, each, now) for each in _by_number(tally)] if live else [],
        "rungs": [{"t": rung.t, "reached": rung.reached, "best": rung.best} for rung in tally.rungs],
        "decisions": [
            {"time": each.time, "trial": each.trial, "t": each.t, "action": each.action, "reason": each.reason}
            for each in reversed(tally.decisions)
        ],
        "failures": [_failure(each, tails) for each in list(tally.failures)[: -FAILURES - 1 : -1]],
        "promotions": [
            {"trial": each.trial, "model": each.model, "version": each.version, "alias": each.alias}
            for each in study.promotions
        ],
    }  # fmt: skip
    values: dict[str, Any] = plain(found)
    return values


def _counts(tally: Tally, *, live: bool) -> dict[str, int]:
    """How many trials are in each state; what ran under a driver that is gone waits."""
    found = {state.value: count for state, count in tally.counts.items()}
    if not live:
        found["waiting"] += found["running"]
        found["running"] = 0
    return {name: count for name, count in found.items() if count}


def _by_number(tally: Tally) -> list[Running]:
    return sorted(tally.running.values(), key=lambda each: each.number)


def _running(study: StudyMachine, row: Running, now: float) -> dict[str, Any]:
    return {
        "trial": row.number,
        "attempt": row.attempt,
        "config": [[name, shown(row.config[name])] for name in varying(study.spec) if name in row.config],
        "t": row.t,
        "value": row.value,
        "curve": list(row.curve),
        "seconds": max(0.0, now - row.started),
        "device": row.device,
    }


def _failure(failure: Failure, tails: Tails) -> dict[str, Any]:
    log, lines = tails.of(failure.trial, failure.attempt)
    return {
        "trial": failure.trial,
        "attempt": failure.attempt,
        "reason": failure.reason,
        "final": failure.final,
        "log": log,
        "tail": lines,
    }
