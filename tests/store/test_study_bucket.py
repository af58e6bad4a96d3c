"""A study's log in a bucket: what was sent is read by all, two writers are told apart, and a copy never lies."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from small_spec import small_spec

from sweep.core.events import Controlled, Request, StopRequested, Ticked
from sweep.errors import StorageError, StudyError
from sweep.store import events, holding, sender, study_bucket, study_folder
from sweep.store.buckets import Bucket, BucketError
from sweep.store.control import Inbox
from sweep.store.following import Follower, ReplacedError
from sweep.store.lease import Lease
from sweep.store.paths import place, study_paths


@pytest.fixture
def paths(bucket, tmp_path):
    return study_folder.create(place(bucket), small_spec(), base_dir=tmp_path, now=1.0, version="0")


def line(time):
    return events.encode(Ticked(time=time))


def urgent(time):
    return events.encode(Controlled(time=time, request=request(f"r{time}"), accepted=True, answer="yes"))


def request(name):
    return Request(id=name, time=1.0, verb="pause")


def elsewhere(paths, monkeypatch, tmp_path, name="elsewhere"):
    """The study as another machine sees it."""
    monkeypatch.setenv("SWEEP_BUCKET_CACHE", str(tmp_path / name))
    there = study_paths(paths.storage, paths.root.name)
    holding.up_to_date(there)
    return there


def sending(paths, *, lease=None, every_s=1e9):
    with study_bucket.copying(paths):
        copied = study_bucket.refresh(paths)
    return sender.Sender(paths, copied, lease or Lease(Bucket(paths.url) / "driver", "m"), every_s=every_s)


def write(paths, way, *lines):
    log = sender.SentLog(paths.events, way)
    try:
        log.append(*lines)
        log.sync()
    finally:
        log.close()


def test_urgent_events_are_in_the_bucket_when_sync_returns_and_others_later(paths, monkeypatch, tmp_path):
    way = sending(paths)
    write(paths, way, line(2.0))
    there = elsewhere(paths, monkeypatch, tmp_path)
    assert there.events.read_bytes().count(b"\n") == 1
    write(paths, way, line(3.0), urgent(4.0))
    holding.up_to_date(there)
    assert there.events.read_bytes() == paths.events.read_bytes()
    way.close()


def test_others_come_within_the_interval(paths, monkeypatch, tmp_path):
    way = sending(paths, every_s=0.01)
    way.start()
    write(paths, way, line(2.0))
    there = elsewhere(paths, monkeypatch, tmp_path)
    while there.events.read_bytes() != paths.events.read_bytes():
        holding.up_to_date(there)
    way.close()


def test_many_parts_become_one_and_every_copy_reads_on(paths, monkeypatch, tmp_path):
    way = sending(paths)
    for time in range(2, 5):
        write(paths, way, urgent(float(time)))
    there = elsewhere(paths, monkeypatch, tmp_path)
    for time in range(5, 9):
        write(paths, way, urgent(float(time)))
    way._put_together(2)
    write(paths, way, urgent(9.0))
    assert len(study_bucket.segments(Bucket(paths.url))) == 2
    for copy in (there, elsewhere(paths, monkeypatch, tmp_path, "third")):
        holding.up_to_date(copy)
        assert copy.events.read_bytes() == paths.events.read_bytes()
    way.close()


def test_parts_that_were_put_together_and_not_yet_removed_do_not_count_twice(paths, monkeypatch, tmp_path):
    monkeypatch.setattr(Bucket, "delete", lambda *_: None)
    way = sending(paths)
    for time in range(2, 6):
        write(paths, way, urgent(float(time)))
    way._put_together(2)
    assert elsewhere(paths, monkeypatch, tmp_path).events.read_bytes() == paths.events.read_bytes()
    way.close()


def test_of_two_drivers_the_second_to_write_hears_of_the_first(paths, monkeypatch, tmp_path):
    """As when one was stopped for so long that it was taken for dead."""
    way = sending(paths)
    there = elsewhere(paths, monkeypatch, tmp_path)
    other = sending(there)
    write(there, other, urgent(2.0))
    with pytest.raises(StorageError, match="another driver works on the study, which took this one for dead"):
        write(paths, way, urgent(3.0))
    holding.up_to_date(there)
    assert there.events.read_bytes().count(b"\n") == 2


def test_one_that_comes_back_finds_the_other_whose_parts_were_put_together(paths, monkeypatch, tmp_path):
    """Where the first part of the other was the sleeper would write; its own, put together, must change nothing."""
    way = sending(paths)
    for time in (2.0, 3.0, 4.0):
        write(paths, way, urgent(time))
    there = elsewhere(paths, monkeypatch, tmp_path)
    other = sending(there)
    other.start()
    for time in (5.0, 6.0, 7.0):
        write(there, other, urgent(time))
    other._put_together(2)
    other.close()
    way._put_together(2)
    with pytest.raises(StorageError, match="another driver works on the study"):
        write(paths, way, urgent(8.0))
    third = elsewhere(paths, monkeypatch, tmp_path, "third")
    assert third.events.read_bytes() == there.events.read_bytes()


def test_a_store_that_refuses_one_of_two_requests_before_it_has_the_other_is_asked_again(paths, monkeypatch):
    """S3 answers 409 to a request that is repeated while its first is still under way."""
    way = sending(paths)
    create, refused = Bucket.create, []

    def once(self, key, data):
        refused.append(key)
        return len(refused) > 1 and create(self, key, data)

    monkeypatch.setattr(Bucket, "create", once)
    write(paths, way, urgent(2.0))
    assert len(refused) == 2
    way.close()


def test_at_a_runs_end_its_parts_are_few(paths):
    way = sending(paths)
    for time in range(2, 40):
        write(paths, way, urgent(float(time)))
    way.close()
    assert len(study_bucket.segments(way.bucket)) == 1


def test_a_driver_whose_study_is_removed_is_told_and_does_not_bring_it_back(paths):
    lease = Lease(Bucket(paths.url) / "driver", "m", beat_s=1e9)
    lease.acquire()
    way = sending(paths, lease=lease)
    way.bucket.delete(entry.key for entry in way.bucket.entries())
    lease.beat_s = 0.0
    lease._beat()
    with pytest.raises(StorageError, match="the study was removed while this driver worked on it"):
        write(paths, way, urgent(2.0))
    lease._ended.set()
    assert way.bucket.entries() == []


def test_a_study_is_not_made_over_the_log_of_one_that_was_removed_in_part(paths, bucket, tmp_path):
    write(paths, sending(paths), urgent(2.0))
    Bucket(paths.url).delete(["study.json"])
    with pytest.raises(StudyError, match=r"the log of a study that was removed otherwise. Remove that too"):
        study_folder.create(place(bucket), small_spec(), base_dir=tmp_path, now=7.0, version="0")


def test_the_sender_outlives_a_disk_that_refuses_and_the_request_is_taken_up_later(paths, monkeypatch):
    way = sending(paths, every_s=0.01)
    way.start()
    append, tried = sender.control.append, []

    def full(path, one):
        tried.append(one)
        if len(tried) == 1:
            raise StorageError("the disk is full")
        append(path, one)

    monkeypatch.setattr(sender.control, "append", full)
    sender.ask(way.bucket, request("r2.0"))
    inbox = Inbox(paths.control, every_s=0)
    while not (found := inbox()):
        assert way._thread.is_alive()
    assert [each.id for each in found] == ["r2.0"]
    way.close()


def test_whoever_follows_a_copy_sees_that_its_end_became_another(paths, monkeypatch, tmp_path):
    """A driver died here with an end that it hadn't sent, and somebody went on elsewhere."""
    way = sending(paths)
    write(paths, way, line(2.0))
    follower = Follower(paths)
    follower.look()
    there = elsewhere(paths, monkeypatch, tmp_path)
    other = sending(there)
    write(there, other, *(urgent(time + 0.123) for time in range(3, 9)))
    other.close()
    holding.up_to_date(paths)
    assert paths.events.read_bytes() == there.events.read_bytes()
    with pytest.raises(ReplacedError):
        follower.look()


def test_a_request_whose_answer_never_came_is_no_other_driver(paths, monkeypatch):
    way = sending(paths)
    create = Bucket.create
    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "create", lambda self, key, data: create(self, key, data) and False)
        write(paths, way, urgent(2.0))
    write(paths, way, urgent(3.0))
    assert sum(end - start for start, end in study_bucket.segments(way.bucket)) == paths.events.stat().st_size
    way.close()


def test_what_a_driver_that_died_here_had_not_sent_goes_with_the_next_one_here(paths, monkeypatch, tmp_path):
    way = sending(paths)
    write(paths, way, urgent(2.0))
    write(paths, way, line(3.0))
    whole = paths.events.read_bytes()
    holding.up_to_date(paths)
    assert paths.events.read_bytes() == whole
    with holding.held(paths):
        pass
    assert elsewhere(paths, monkeypatch, tmp_path).events.read_bytes() == whole


def test_but_not_when_somebody_went_on_elsewhere(paths, monkeypatch, tmp_path):
    way = sending(paths)
    write(paths, way, urgent(2.0))
    write(paths, way, line(3.0))
    there = elsewhere(paths, monkeypatch, tmp_path)
    write(there, sending(there), urgent(4.0), urgent(5.0))
    holding.up_to_date(paths)
    assert paths.events.read_bytes() == there.events.read_bytes()


def test_a_copy_of_a_deleted_study_is_not_taken_for_its_successor(paths, bucket, tmp_path):
    write(paths, sending(paths), urgent(2.0))
    (paths.trials / "0000").mkdir(parents=True)
    Bucket(bucket).delete(entry.key for entry in Bucket(bucket).entries())
    study_folder.create(place(bucket), small_spec(), base_dir=tmp_path, now=7.0, version="0")
    assert study_folder.read(paths).created.time == 7.0
    assert not paths.trials.exists()


def test_a_copy_can_be_deleted(paths):
    write(paths, sending(paths), urgent(2.0))
    before = paths.events.read_bytes()
    shutil.rmtree(paths.root.parent)
    study_folder.read(paths)
    assert paths.events.read_bytes() == before


def test_a_log_with_a_gap_is_damaged(paths):
    way = sending(paths)
    for time in (2.0, 3.0, 4.0):
        write(paths, way, urgent(time))
    starts = [start for start, _ in study_bucket.segments(way.bucket)]
    way.bucket.delete([study_bucket.segment(starts[1])])
    shutil.rmtree(paths.root)
    with pytest.raises(StudyError, match=rf"the log has a gap at byte {starts[1]}. The study is damaged"):
        study_folder.read(paths)


def test_a_request_from_elsewhere_comes_to_the_driver_and_goes_when_it_is_answered(paths):
    way = sending(paths)
    sender.ask(way.bucket, request("r2.0"))
    way.look_for_requests()
    way.look_for_requests()
    assert [each.id for each in Inbox(paths.control)()] == ["r2.0"]
    write(paths, way, urgent(2.0))
    way.close()
    assert way.bucket.entries("control") == []


def test_the_events_come_before_what_they_allow_to_be_removed(paths):
    way = sending(paths)
    for name in ("state.pt", "manifest.json"):
        way.bucket.put(f"trials/0000/checkpoints/epoch-1/{name}", b"{}")
    write(paths, way, line(2.0))
    way.remove("trials/0000/checkpoints/epoch-1")
    way._work()
    assert len(way.bucket.entries("trials")) == 2, "the report that made it needless isn't sent yet"
    way.close()
    assert way.bucket.entries("trials") == []


def test_a_study_that_never_began_is_read(paths, monkeypatch, tmp_path):
    there = elsewhere(paths, monkeypatch, tmp_path)
    assert study_folder.read(there).machine.trials == {}
    with holding.held(there) as hold:
        log = hold.log()
        log.append(events.encode(StopRequested(time=2.0, reason="test")))
        log.sync()
        log.close()
    study_folder.read(paths)
    assert paths.events.read_bytes() == there.events.read_bytes()


def test_curves_are_brought_once_and_again_when_they_grew(paths):
    there = Bucket(paths.url)
    for key in ("0000/tensorboard/events.1", "0001/tensorboard/deep/events.2", "0001/params.json"):
        there.put(f"trials/{key}", b"1")
    holding.bring_curves(paths)
    found = {path.relative_to(paths.trials).as_posix() for path in paths.trials.rglob("*") if path.is_file()}
    assert found == {"0000/tensorboard/events.1", "0001/tensorboard/deep/events.2"}
    there.put("trials/0000/tensorboard/events.1", b"12")
    holding.bring_curves(paths)
    assert (paths.trial(0).tensorboard / "events.1").read_bytes() == b"12"


def test_a_bucket_that_cannot_be_reached_is_waited_for_once_and_the_resume_is_named(paths, monkeypatch, tmp_path):
    """The driver waits while the sender tries by itself; then it hears of that, and at its end nobody tries again."""
    way = sending(paths)
    tried, trying, let = [], threading.Event(), threading.Event()

    def cut(self, key, data):
        tried.append(key)
        trying.set()
        assert let.wait(60)
        raise BucketError("the line is cut.")

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "create", cut)
        log = sender.SentLog(paths.events, way)
        log.append(urgent(2.0))
        with ThreadPoolExecutor(2) as pool:
            by_itself = pool.submit(way.send)
            assert trying.wait(60)
            driver = pool.submit(log.sync)
            # Until the driver has come to wait for the sender.
            while not driver.running():
                pass
            let.set()
            with pytest.raises(BucketError, match="cut"):
                by_itself.result()
            with pytest.raises(BucketError, match=rf"cut. Mend that, then go on: sweep resume {paths.url}"):
                driver.result()
        log.close()
        before = len(tried)
        with pytest.raises(BucketError, match="cut"):
            way.close()
        assert len(tried) == before
    with holding.held(paths):
        pass
    assert elsewhere(paths, monkeypatch, tmp_path).events.read_bytes() == paths.events.read_bytes()
