"""The files of a study's trials in a bucket: the same are kept as in a folder, whichever machine wrote them."""

import pytest
from small_spec import small_spec

from sweep.core.events import AttemptEnded, AttemptStarted, Reported, RunStarted, TrialCreated
from sweep.store import checkpoints, parcels, study_folder
from sweep.store.buckets import Bucket
from sweep.store.holding import held
from sweep.store.kept import Kept
from sweep.store.paths import place


@pytest.fixture(params=["folder", "bucket"])
def paths(request, tmp_path):
    storage = place(request.getfixturevalue("bucket")) if request.param == "bucket" else tmp_path / "studies"
    (tmp_path / "studies").mkdir()
    return study_folder.create(storage, small_spec(), base_dir=tmp_path, now=1.0, version="0")


def written(paths, trial, t, loss):
    """A worker writes a checkpoint, on another machine where the study is in a bucket; the folder that it reports."""
    folder = paths.trial(trial).checkpoint("epoch", t)
    meta = {"t": t, "metrics": {"loss": loss}}
    checkpoints.write(folder, lambda target: (target / "state.pt").write_text(f"{trial} {t}"), meta)
    if paths.url is not None:
        parcels.upload(Bucket(paths.url), folder.relative_to(paths.root).as_posix(), folder)
        checkpoints.remove(folder)
    return str(folder)


def train(files, machine, paths, trial, losses, *, outcome="returned"):
    machine.handle(TrialCreated(time=2.0, trial=trial, config={"x": 0.5}))
    attempt = {"trial": trial, "attempt": 1}
    machine.handle(AttemptStarted(time=3.0, node="n", device="cpu", gpu=0, **attempt))
    for t, loss in enumerate(losses, start=1):
        place = files.place(written(paths, trial, t, loss))
        machine.handle(Reported(time=3.0 + t, metrics={"epoch": t, "loss": loss}, checkpoint=place, **attempt))
        files.tidy(machine.trials[trial])
    machine.handle(AttemptEnded(time=9.0, outcome=outcome, **attempt))
    files.tidy(machine.trials[trial])


def kept(paths, trials, ts):
    reader = Kept(paths)
    places = [(n, t, f"trials/{n:04d}/checkpoints/epoch-{t}") for n in range(trials) for t in range(1, ts + 1)]
    return {(n, t) for n, t, name in places if reader.has(name)}


def begun(stored):
    stored.machine.handle(RunStarted(time=1.5, executor="inline", slots=4, gpu=0, cpu=1))
    return stored.machine


def test_the_last_and_the_best_of_those_at_work_and_the_best_of_the_best(paths):
    stored = study_folder.read(paths)
    machine = begun(stored)
    with held(paths) as hold:
        files = hold.files(stored.spec)
        files.take_stock({})
        most = stored.spec.checkpoint.keep_best_in_study
        for trial in range(most + 1):
            train(files, machine, paths, trial, [0.1 * (trial + 1), 1.0, 1.0, 1.0])
    assert kept(paths, most + 1, 4) == {(trial, 1) for trial in range(most)}


def test_a_checkpoint_is_usable_as_long_as_it_is_there_and_can_be_copied(paths):
    stored = study_folder.read(paths)
    machine = begun(stored)
    with held(paths) as hold:
        files = hold.files(stored.spec)
        files.take_stock({})
        train(files, machine, paths, 0, [0.5], outcome="lost")
        name = "trials/0000/checkpoints/epoch-1"
        assert files.usable(name) == str(paths.root / name)
        assert files.usable("trials/0000/checkpoints/epoch-2") is None
        assert files.copy(name, 1) == "trials/0001/checkpoints/epoch-1"
        assert files.copy("trials/0000/checkpoints/epoch-2", 1) is None
    assert kept(paths, 2, 1) == {(0, 1), (1, 1)}
    assert (Kept(paths).folder("trials/0001/checkpoints/epoch-1") / "state.pt").read_text() == "0 1"


def test_the_next_driver_knows_what_is_there_and_removes_what_killed_writers_left(paths):
    whole, torn = "trials/0000/checkpoints/epoch-1", "trials/0000/checkpoints/epoch-2"
    written(paths, 0, 1, 0.5)
    if paths.url is not None:
        Bucket(paths.url).put(f"{torn}/state.pt", b"half")
    with held(paths) as hold:
        files = hold.files(small_spec())
        files.take_stock({})
        assert files.usable(whole)
        assert not files.usable(torn)
    if paths.url is not None:
        assert Bucket(paths.url).entries(torn) == []


def test_the_log_of_a_lost_attempt_says_how_it_ended(paths):
    log = paths.trial(0).attempt_log(1)
    if paths.url is not None:
        Bucket(paths.url).put("trials/0000/attempt-1.log", b"epoch 1\n")
    else:
        log.parent.mkdir(parents=True)
        log.write_text("epoch 1\n")
    with held(paths) as hold:
        hold.files(small_spec()).ended(0, 1, "lost", "its node died")
    if paths.url is not None:
        Bucket(paths.url).fetch("trials/0000/attempt-1.log", log)
    first, second = log.read_text().splitlines()
    assert first == "epoch 1"
    assert second.endswith("lost: its node died")
