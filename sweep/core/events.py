"""What happens to a study: the lines of `events.jsonl`, and the only input of `StudyMachine`.

Times are seconds since 1970 (UTC), given by whoever observed the event. Replaying the lines of a study gives its state.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from sweep.core.pool import Node

Outcome = Literal["returned", "stopped", "failed", "lost", "interrupted", "moved"]
"""How an attempt ended.

returned: the training function came to its end (or was ended at max_t); stopped: the scheduler's decision;
failed: it raised; lost: its process, node or driver died; interrupted: the user asked the study to stop;
moved: its node was about to go, and the trial goes on elsewhere.
"""

Cause = Literal["gpu_memory", "host_memory"]
"""Of a failed attempt, where it matters for the next one: which memory ran out."""


Verb = Literal["stop", "cancel", "pause", "resume", "retry", "extend"]
"""What a person can ask of a study.

stop: no new trials, those at work go to their ends; cancel: those at work end now; pause: nothing is started; resume:
things are started again; retry: failed trials get new attempts; extend: a larger budget.
"""


class Request(BaseModel):
    """What a person asks of a study, from whatever process: a line of `control.jsonl`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    """Unlike any other's."""
    time: float
    verb: Verb
    trial: int | None = None
    """For stop and cancel: this trial alone."""
    which: Literal["failed", "oom"] | None = None
    """For retry: all failed trials, or those that ran out of memory."""
    trials: int | None = Field(default=None, ge=1)
    """For extend: so many more."""
    time_s: float | None = Field(default=None, gt=0)
    """For extend: so many more seconds."""
    gpu_hours: float | None = Field(default=None, gt=0)
    """For extend: so many more."""
    cost: float | None = Field(default=None, gt=0)
    """For extend: so much more money."""


class Event(BaseModel):
    """Something that happened, at a time."""

    # NaN and infinity are no JSON; as strings every reader of JSON Lines can take the file.
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    time: float


class StudyCreated(Event):
    """The first line of every log."""

    type: Literal["study_created"] = "study_created"
    study: str
    spec_sha256: str
    sweep_version: str
    base_dir: str
    """Absolute; what relative paths of the file are from."""


class Rates(BaseModel):
    """What a run costs an hour, in the currency of `resources.price`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gpu: float = Field(default=0.0, ge=0)
    """For each GPU that attempts hold."""
    core: float = Field(default=0.0, ge=0)
    """For each core that they hold."""
    machines: float = Field(default=0.0, ge=0)
    """For all its machines together, whatever runs there."""


class RunStarted(Event):
    """A driver began to work on the study: its launch or a resume."""

    type: Literal["run_started"] = "run_started"
    executor: str
    slots: int = Field(ge=1)
    """How many trials of the share fit at once."""
    gpu: float = Field(default=0.0, ge=0)
    """The share of a GPU that a trial gets here, as long as nothing else is said."""
    cpu: float = Field(default=1.0, gt=0)
    """Its cores."""
    nodes: list[Node] = []
    """What there is to share out; empty where only `slots` counts."""
    rates: Rates | None = None
    """What it costs, where the file names prices."""
    notes: list[str] = []
    dashboard: str | None = None


class NodeChanged(Event):
    """The cluster is another than it was when the run started.

    joined: attempts may be placed there too; barred: it joined, and isn't used; draining: the node was announced to go,
    so nothing is started there any more, and what runs there moves; left: it is gone.
    """

    type: Literal["node_changed"] = "node_changed"
    change: Literal["joined", "barred", "draining", "left"]
    node: Node
    slots: int = Field(ge=0)
    """How many trials of the run's share fit at once from now on."""
    reason: str = ""
    """Why it goes, has gone or isn't used, where that is known."""
    rates: Rates | None = None
    """What the run costs from now on, where the file names prices."""


class Delayed(Event):
    """Attempts were given to workers a while ago and can't begin; told once, until all have begun."""

    type: Literal["delayed"] = "delayed"
    attempts: int = Field(ge=1)
    reason: str


class TrialCreated(Event):
    """The sampler proposed a config."""

    type: Literal["trial_created"] = "trial_created"
    trial: int = Field(ge=0)
    config: dict[str, Any]
    repeat_of: int | None = None
    """The finalist that it trains once more, with another seed; the sampler didn't propose it."""
    until: int | None = None
    """The rung where it pauses first, where the sampler says so."""


class WentOn(Event):
    """The sampler chose a paused trial to go on."""

    type: Literal["went_on"] = "went_on"
    trial: int
    until: int = Field(ge=1)
    """The rung where it pauses again; max_t for its end."""
    reason: str


class NoneWentOn(Event):
    """The sampler was asked which paused trial goes on, and found none that is worth it."""

    type: Literal["none_went_on"] = "none_went_on"


class SpaceExhausted(Event):
    """The sampler has no further config to propose."""

    type: Literal["space_exhausted"] = "space_exhausted"
    reason: str = "every config was tried"


class AttemptStarted(Event):
    """A placement of a trial began to run."""

    type: Literal["attempt_started"] = "attempt_started"
    trial: int
    attempt: int = Field(ge=1)
    node: str = ""
    device: str = ""
    gpu: float | None = None
    """Its share of a GPU, or its number of GPUs."""
    batch_split: int = Field(default=1, ge=1)
    """Into how many parts it computes each batch."""
    batch: int | None = None
    """Attempts of the same number in this run train as one batch of models, and hold one share together."""


class Reported(Event):
    """The training function reported its metrics, `time_attr` among them."""

    type: Literal["reported"] = "reported"
    trial: int
    attempt: int
    metrics: dict[str, float]
    checkpoint: str | None = None


class Decided(Event):
    """What the study answered to a report; derived, kept so that people can read why."""

    type: Literal["decided"] = "decided"
    trial: int
    t: int
    action: Literal["advance", "stop", "finish", "pause", "move"]
    reason: str
    rung: int | None = None


class Exploited(Event):
    """A trial takes up another's work (population based training): its checkpoint, and a variation of its config.

    Without a checkpoint there was none left to copy, and the trial goes on as it was.
    """

    type: Literal["exploited"] = "exploited"
    trial: int
    source: int
    t: int
    """The fidelity of the source's checkpoint."""
    checkpoint: str | None = None
    """The copy, in the trial's own folder."""
    before: dict[str, Any]
    after: dict[str, Any]
    """Its config from now on."""
    reason: str


class AttemptEnded(Event):
    """A placement of a trial ended."""

    type: Literal["attempt_ended"] = "attempt_ended"
    trial: int
    attempt: int
    outcome: Outcome
    error: str | None = None
    cause: Cause | None = None
    peak_memory: int | None = None
    """The most bytes of its GPU that it held, where that was measured."""
    gpu_memory: int | None = None
    """The bytes that the GPU has."""


class ShareChosen(Event):
    """What share trials get from now on (`resources.gpu: auto`); derived, kept so that people can read why."""

    type: Literal["share_chosen"] = "share_chosen"
    gpu: float
    slots: int
    """How many trials of it fit at once."""
    reason: str


class StopRequested(Event):
    """A person asked the study to stop; running trials end at their next report."""

    type: Literal["stop_requested"] = "stop_requested"
    reason: str


class Controlled(Event):
    """A person's request was taken up, and this is the answer; one that isn't accepted changes nothing."""

    type: Literal["controlled"] = "controlled"
    request: Request
    accepted: bool
    answer: str


class Ticked(Event):
    """Time passed without anything else happening; written only when it ends the study."""

    type: Literal["ticked"] = "ticked"


class RunEnded(Event):
    """The driver's work is over; `complete` when nothing is left to resume."""

    type: Literal["run_ended"] = "run_ended"
    reason: str
    complete: bool


class Promoted(Event):
    """A trial's checkpoint became a registry version."""

    type: Literal["promoted"] = "promoted"
    trial: int
    model: str
    version: int
    alias: str | None = None
    path: str


class PromotionsDone(Event):
    """What the file's `promote:` section asks for was done, or refused with its reasons; it isn't done again."""

    type: Literal["promotions_done"] = "promotions_done"
    lines: list[str]


AnyEvent = Annotated[
    StudyCreated
    | RunStarted
    | NodeChanged
    | Delayed
    | TrialCreated
    | WentOn
    | NoneWentOn
    | SpaceExhausted
    | AttemptStarted
    | Reported
    | Decided
    | Exploited
    | AttemptEnded
    | ShareChosen
    | StopRequested
    | Controlled
    | Ticked
    | RunEnded
    | Promoted
    | PromotionsDone,
    Field(discriminator="type"),
]
ANY_EVENT: TypeAdapter[AnyEvent] = TypeAdapter(AnyEvent)
