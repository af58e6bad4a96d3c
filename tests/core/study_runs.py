"""Plays the driver for a study: for tests of the pure core."""

from __future__ import annotations

import itertools

from small_spec import small_spec

from sweep.core import commands as core
from sweep.core import control, limits
from sweep.core import events as ev
from sweep.core.study import StudyMachine

_ids = (f"request-{number}" for number in itertools.count())


class Run:
    """Plays the driver: answers AskConfig, remembers what was to start, keeps the history."""

    def __init__(self, study_spec, slots=2, nodes=(), gpu=0.0):
        self.machine = StudyMachine(study_spec)
        self.history, self.commands, self.starts, self.copies = [], [], [], []
        self.now = 1000.0
        self.advice = []
        self.asked = None
        self.resting = set()
        self.slots, self.nodes, self.gpu = slots, list(nodes), gpu
        self.rates = limits.rates(study_spec, 2)

    def handle(self, event):
        self.history.append(event)
        commands = self.machine.handle(event)
        self.commands += commands
        for command in commands:
            if isinstance(command, core.AskConfig):
                assert self.asked is None, "asked twice without an answer"
                self.asked = command.trial
            if isinstance(command, core.AskAdvice):
                assert not self.advice, "asked twice without an answer"
                self.advice.append(command.trial)
            if isinstance(command, core.PauseInSampler):
                (self.resting.add if command.paused else self.resting.discard)(command.trial)
            if isinstance(command, core.TellSampler):
                self.resting.discard(command.trial)
            if isinstance(command, core.StartAttempt):
                self.starts.append(command)
            if isinstance(command, core.CopyCheckpoint):
                self.copies.append(command)
        if self.asked is not None:
            number, self.asked = self.asked, None
            self.handle(ev.TrialCreated(time=self.tick(), trial=number, config={"x": number / 100}))
        while self.advice:
            self.handle(self.advised(self.advice.pop()))
        while self.copies:
            self.copy(self.copies.pop(0))
        return commands

    def advised(self, number):
        """Every third time the best of the paused trials that a sampler was told goes on a rung, else a new one comes.

        In the end the best goes on.
        """
        machine, rungs = self.machine, (1, 3, 9, self.machine.spec.scheduler.max_t)
        resting = [machine.trials[trial] for trial in sorted(self.resting)]
        paused = sorted(resting, key=lambda trial: (-trial.t, trial.value(machine.metric)))
        done = number is None and any(trial.t >= rungs[-1] for trial in machine.trials.values())
        if paused and not done and (number is None or len(self.history) % 3 == 0):
            until = next(rung for rung in rungs if rung > paused[0].t)
            return ev.WentOn(time=self.tick(), trial=paused[0].number, until=until, reason="it promises most")
        if number is None:
            return ev.NoneWentOn(time=self.tick())
        return ev.TrialCreated(time=self.tick(), trial=number, config={"x": number / 100}, until=rungs[number % 2])

    def copy(self, command):
        trial, copy = self.machine.trials[command.trial], command.copy
        self.handle(
            ev.Exploited(
                time=self.tick(),
                trial=trial.number,
                source=copy.source,
                t=copy.t,
                checkpoint=f"trials/{trial.number}/epoch-{copy.t}",
                before=trial.config,
                after=copy.config,
                reason=command.reason,
            )
        )

    def tick(self, seconds=1.0):
        self.now += seconds
        return self.now

    def begin(self):
        # A new driver has a new sampler, which is told what was before.
        self.resting = set(self.machine.books.resting)
        self.starts.clear()
        self.copies.clear()
        self.advice = []
        self.asked = None
        return self.handle(
            ev.RunStarted(
                time=self.tick(),
                executor="test",
                slots=self.slots,
                nodes=self.nodes,
                gpu=self.gpu,
                cpu=self.machine.spec.resources.cpu,
                rates=self.rates,
            )
        )

    def start(self, batch=None):
        command = self.starts.pop(0)
        gpu = command.demand.gpu
        began = ev.AttemptStarted(time=self.tick(), trial=command.trial, attempt=command.attempt, gpu=gpu, batch=batch)
        self.handle(began)
        return command.trial, command.attempt

    def report(self, trial, attempt, t, *, saved=True, **metrics):
        checkpoint = f"trials/{trial}/epoch-{t}" if saved else None
        event = ev.Reported(
            time=self.tick(), trial=trial, attempt=attempt, metrics={"epoch": t, **metrics}, checkpoint=checkpoint
        )
        before = len(self.commands)
        self.handle(event)
        (answer,) = [command for command in self.commands[before:] if isinstance(command, core.Answer)]
        return answer.decision

    def end(self, trial, attempt, outcome, error=None, cause=None):
        return self.handle(
            ev.AttemptEnded(time=self.tick(), trial=trial, attempt=attempt, outcome=outcome, error=error, cause=cause)
        )

    def ended(self):
        return [command for command in self.commands if isinstance(command, core.EndRun)]


class Asked(Run):
    """A run of which things are asked, as the driver does it; attempts that are to end now do."""

    def ask(self, verb, **arguments):
        request = ev.Request(id=next(_ids), time=self.tick(), verb=verb, **arguments)
        accepted, answer = control.consider(self.machine, request)
        event = ev.Controlled(time=self.tick(), request=request, accepted=accepted, answer=answer)
        self.ends = [c for c in self.handle(event) if isinstance(c, core.EndAttempt)]
        for each in self.ends:
            self.end(each.trial, each.attempt, "stopped")
        self.finish()
        return accepted, answer

    def handle(self, event):
        commands = super().handle(event)
        for command in commands:
            if isinstance(command, core.CreateRepeat):
                config = self.machine.trials[command.of].config
                self.handle(ev.TrialCreated(time=self.tick(), trial=command.trial, config=config, repeat_of=command.of))
        return commands

    def finish(self):
        """What the driver writes when there is nothing left to do."""
        if self.commands and isinstance(self.commands[-1], core.EndRun) and self.machine.run:
            end = self.commands[-1]
            self.handle(ev.RunEnded(time=self.tick(), reason=end.reason, complete=end.complete))

    def die(self):
        """The driver is gone, and whoever asks next has noticed."""
        self.starts.clear()
        self.handle(ev.RunEnded(time=self.tick(), reason="its driver ended without a word", complete=False))

    def complete(self, loss=0.5, **metrics):
        """Start what is next and take it to max_t."""
        trial, attempt = self.start()
        self.report(trial, attempt, 9, loss=loss, **metrics)
        self.end(trial, attempt, "returned")
        self.finish()
        return trial

    def states(self):
        return [trial.state.value for trial in self.machine.trials.values()]


def begun(slots=2, **changes):
    run = Asked(small_spec(**changes), slots)
    run.begin()
    return run


def told(run):
    return {c.trial: (c.state, c.result and c.result.value) for c in run.commands if isinstance(c, core.TellSampler)}
