"""An attempt of a study in a bucket: it begins where the last one ended, on whichever machine, and leaves nothing."""

import pickle

import pytest

from sweep.core.protocols import Decision, Placement
from sweep.errors import CheckpointError
from sweep.store import holding, parcels, study_bucket
from sweep.store.buckets import Bucket, BucketError
from sweep.store.paths import place, study_paths
from sweep.training.attempt import run_attempt
from sweep.training.carrying import carrying

TRAIN = """
def train(config, ctx):
    state = ctx.restore() or {"epoch": 0}
    (ctx.log_dir / "mine").write_text("curves")
    for epoch in range(state["epoch"] + 1, 4):
        print(f"this is epoch {epoch}")
        ctx.report({"epoch": epoch, "loss": 1.0}, checkpoint={"epoch": epoch})
"""


class Reports:
    """A channel that notes what of a report is in the bucket when it is delivered."""

    def __init__(self, url, until=99):
        self.bucket, self.until, self.seen = Bucket(url), until, []

    def report(self, metrics, checkpoint):
        there = {entry.key.rpartition("/")[2] for entry in self.bucket.entries("trials/0007/checkpoints")}
        self.seen.append((int(metrics["epoch"]), checkpoint, "manifest.json" in there))
        return Decision("pause" if metrics["epoch"] >= self.until else "advance", "test")


@pytest.fixture
def url(bucket):
    paths = study_paths(place(f"{bucket}/studies"), "s")
    study_bucket.create(paths, study_bucket.Origin(id="1", created="{}\n", spec="name: s\n"))
    return paths.url


@pytest.fixture
def placement(tmp_path):
    (tmp_path / "train.py").write_text(TRAIN)
    return Placement(
        "s",
        7,
        1,
        {},
        f"{tmp_path}/train.py:train",
        0,
        "epoch",
        3,
        "/on/the/driver/trials/0007",
        working_dir=str(tmp_path),
    )


def copies(tmp_path):
    return {path.name for path in (tmp_path / "copies").rglob("epoch-*")}


def test_a_report_comes_after_its_checkpoint_and_names_it_as_the_driver_does(url, placement, tmp_path):
    reports = Reports(url)
    assert carrying(run_attempt, url)(placement, reports) == "returned"
    assert reports.seen == [(t, f"/on/the/driver/trials/0007/checkpoints/epoch-{t}", True) for t in (1, 2, 3)]
    assert copies(tmp_path) == set(), "a trial that is over leaves no checkpoint on the machine"


def test_log_and_curves_are_there_at_the_end_also_of_a_failure(url, placement, tmp_path):
    (tmp_path / "train.py").write_text(TRAIN + "    raise ValueError('told to fail')\n")
    with pytest.raises(ValueError, match="told to fail"):
        carrying(run_attempt, url)(placement, Reports(url))
    log = Bucket(url).get("trials/0007/attempt-1.log").decode()
    assert "this is epoch 3" in log
    assert "ValueError: told to fail" in log
    assert Bucket(url).get("trials/0007/tensorboard/mine") == b"curves"
    assert copies(tmp_path) == {"epoch-3"}, "a further attempt may come"


def test_others_on_the_machine_leave_the_files_of_an_attempt_alone(url, placement, tmp_path):
    """A reader, who would clear away an earlier study's copy; and an attempt that ends and forgets old checkpoints."""
    here = study_paths(place(url.rpartition("/")[0]), "s")

    class Watched(Reports):
        def report(self, metrics, checkpoint):
            holding.up_to_date(here)
            parcels.forget(here.trials, keep=0)
            holding.bring(here, here.trial(7).attempt_log(1))
            assert (here.trials / "0007/checkpoints" / f"epoch-{int(metrics['epoch'])}" / "manifest.json").is_file()
            assert "this is epoch" in here.trial(7).attempt_log(1).read_text()
            return super().report(metrics, checkpoint)

    Bucket(url).put("trials/0007/attempt-1.log", b"what was sent a while ago")
    assert carrying(run_attempt, url)(placement, Watched(url)) == "returned"
    assert "this is epoch 3" in Bucket(url).get("trials/0007/attempt-1.log").decode()
    Bucket(url).put("trials/0007/attempt-1.log", b"another machine's")
    holding.bring(here, here.trial(7).attempt_log(1))
    assert here.trial(7).attempt_log(1).read_bytes() == b"another machine's"


def test_the_copy_of_an_earlier_study_of_this_name_is_cleared_away(url, placement, tmp_path):
    here = study_paths(place(url.rpartition("/")[0]), "s")
    carrying(run_attempt, url)(placement, Reports(url))
    Bucket(url).delete(["study.json"])
    study_bucket.create(here, study_bucket.Origin(id="2", created="{}\n", spec="name: s\n"))
    carrying(run_attempt, url)(placement, Reports(url))
    assert Bucket(url).get("trials/0007/attempt-1.log").decode().count("this is epoch 3") == 1


def test_another_machine_goes_on(url, placement, tmp_path, monkeypatch):
    run = pickle.loads(pickle.dumps(carrying(run_attempt, url)))
    first = Reports(url, until=2)
    assert run(placement, first) == "interrupted"
    assert copies(tmp_path) == {"epoch-2"}
    monkeypatch.setenv("SWEEP_BUCKET_CACHE", str(tmp_path / "copies" / "another"))
    second = Reports(url)
    later = Placement(**{**vars(placement), "attempt": 2, "checkpoint": first.seen[-1][1]})
    assert run(later, second) == "returned"
    assert [seen[0] for seen in second.seen] == [3]


def test_a_damaged_checkpoint_is_not_gone_on_from(url, placement):
    first = Reports(url, until=2)
    carrying(run_attempt, url)(placement, first)
    Bucket(url).put("trials/0007/checkpoints/epoch-2/manifest.json", b"{}")
    later = Placement(**{**vars(placement), "attempt": 2, "checkpoint": first.seen[-1][1]})
    with pytest.raises(CheckpointError, match="not the manifest of a checkpoint"):
        carrying(run_attempt, url)(later, Reports(url))


def test_a_checkpoint_that_the_bucket_refuses_fails_the_attempt_before_its_report(url, placement, monkeypatch):
    put = Bucket.put

    def full(self, key, data):
        if "epoch-2" in key:
            raise BucketError("the bucket is full")
        put(self, key, data)

    monkeypatch.setattr(Bucket, "put", full)
    reports = Reports(url)
    with pytest.raises(BucketError, match="full"):
        carrying(run_attempt, url)(placement, reports)
    assert [seen[0] for seen in reports.seen] == [1]


def test_word_that_the_node_goes_comes_through_and_the_checkpoint_is_in_the_bucket_first(url, placement):
    class Leaving(Reports):
        leaving = True

    reports = Leaving(url, until=1)
    seldom = Placement(**{**vars(placement), "checkpoint_every": 3})
    assert carrying(run_attempt, url)(seldom, reports) == "interrupted"
    assert reports.seen == [(1, "/on/the/driver/trials/0007/checkpoints/epoch-1", True)]
