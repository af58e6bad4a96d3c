"""The driver's promise: what happened is on the disk before anyone acts on it."""

import os

import pytest

from sweep.core.events import Rates
from sweep.core.protocols import Capacity
from sweep.core.space import NoConfigError
from sweep.core.spec import Budget, CheckpointPolicy, FloatRange, Metric, Price, Scheduler, Search, StudySpec
from sweep.core.study import StudyMachine
from sweep.driver import Driver
from sweep.errors import StorageError
from sweep.samplers.optuna_sampler import OptunaSampler
from sweep.store import checkpoints
from sweep.store.events import EventLog, read
from sweep.store.paths import study_paths
from sweep.store.trial_files import TrialFiles


@pytest.fixture
def study(tmp_path):
    """A driver at work on a study of two trials, its files, and its first placement, which has started."""
    spec = StudySpec(
        name="s",
        entrypoint="a:b",
        metric=Metric(name="loss", goal="minimize"),
        parameters={"x": FloatRange(min=0.0, max=1.0)},
        search=Search(algorithm="random"),
        scheduler=Scheduler(type="none", max_t=9),
        budget=Budget(trials=2),
        checkpoint=CheckpointPolicy(keep_last=1),
    )
    paths = study_paths(tmp_path, "s")
    paths.root.mkdir()
    log = EventLog(paths.events)
    driver = Driver(
        StudyMachine(spec),
        files=TrialFiles(paths, spec),
        log=log,
        sampler=OptunaSampler(spec),
        recorders=[],
        watchers=[],
        entrypoint="a:b",
        working_dir=tmp_path,
    )
    driver.begin("test", Capacity(slots=1))
    placement = driver.next_placement()
    driver.started(placement, node="here", device="cpu")
    yield driver, paths, placement
    log.close()


@pytest.fixture
def synced(monkeypatch):
    """What a function saw each time the disk was waited for."""

    def watch(look):
        seen, fsync = [], os.fsync

        def spy(number):
            seen.append(look())
            fsync(number)

        monkeypatch.setattr("sweep.store.events.os.fsync", spy)
        return seen

    return watch


def test_each_answer_is_on_the_disk_when_it_is_given(study, synced):
    driver, paths, placement = study
    waits = synced(lambda: paths.events.read_bytes().count(b'"decided"'))
    driver.reported(placement, {"epoch": 1, "loss": 1.0}, None)
    driver.reported(placement, {"epoch": 2, "loss": 0.5}, None)
    assert waits == [1, 2]


def test_batch_waits_for_the_disk_once_at_its_end(study, synced):
    driver, paths, placement = study
    waits = synced(lambda: [event.type for event in read(paths.events)][-6:])
    with driver.batch():
        for epoch in (1, 2):
            driver.reported(placement, {"epoch": epoch, "loss": 1.0 / epoch}, None)
        driver.ended(placement, "returned")
        assert waits == []
    assert waits == [["reported", "decided", "reported", "decided", "attempt_ended", "trial_created"]]
    assert driver.next_placement().trial == 1


def test_checkpoint_goes_only_when_its_successor_is_on_the_disk(study, synced):
    driver, paths, placement = study
    folders = [paths.trial(0).checkpoint("epoch", epoch) for epoch in (1, 2)]
    for folder in folders:
        checkpoints.write(folder, lambda target: (target / "weights").write_text("w"), {"t": 1})
    waits = synced(lambda: [folder.is_dir() for folder in folders])
    with driver.batch():
        for epoch, folder in enumerate(folders, start=1):
            driver.reported(placement, {"epoch": epoch, "loss": 1.0 / epoch}, str(folder))
    assert waits == [[True, True]]
    assert [folder.is_dir() for folder in folders] == [False, True]


def test_study_ends_with_the_samplers_reason_when_no_config_is_allowed(study, monkeypatch):
    driver, paths, placement = study

    def none(_):
        raise NoConfigError("none of 20000 configs drawn is allowed")

    monkeypatch.setattr(driver._proposer._sampler, "ask", none)
    driver.reported(placement, {"epoch": 1, "loss": 1.0}, None)
    driver.ended(placement, "returned")
    assert driver.finished
    ended = list(read(paths.events))[-1]
    assert (ended.complete, ended.reason) == (True, "the space is exhausted: none of 20000 configs drawn is allowed")


def test_run_says_what_its_machines_cost_and_an_attempt_with_whom_it_shares(study, tmp_path):
    driver, paths, placement = study
    driver.ended(placement, "lost", "gone")
    driver.study.spec.resources.__dict__["price"] = Price(gpu_hour=2.0, node_hour=0.5)
    driver.begin("test", Capacity(slots=1, machines=3))
    driver.started(driver.next_placement(), node="here", device="cpu", batch=4)
    *_, run, attempt = [event for event in read(paths.events) if event.type in ("run_started", "attempt_started")]
    assert run.rates == Rates(gpu=2.0, core=0.0, machines=1.5)
    assert attempt.batch == 4


def test_log_of_a_lost_attempt_that_cannot_be_written_is_the_studys_trouble_told_in_words(study):
    driver, paths, placement = study
    paths.trial(0).attempt_log(1).mkdir(parents=True)
    with pytest.raises(StorageError, match=r"can't be written .* sweep resume s"):
        driver.ended(placement, "lost", "its node died")
