"""The control file: what was asked is read once, whole lines only, whatever happened to the writers."""

import threading

import pytest

from sweep.core.events import Request
from sweep.errors import StorageError
from sweep.store.control import Inbox, append


def request(number, **arguments):
    return Request(id=f"r{number}", time=float(number), verb="stop", **arguments)


def ids(inbox):
    return [each.id for each in inbox()]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "control.jsonl"


def test_each_request_is_read_once_in_order(path):
    inbox = Inbox(path, every_s=0)
    assert inbox() == []
    append(path, request(1, trial=3))
    append(path, request(2))
    assert inbox() == [request(1, trial=3), request(2)]
    assert inbox() == []
    append(path, request(3))
    assert ids(inbox) == ["r3"]


def test_line_that_is_being_written_is_read_when_it_is_complete(path):
    append(path, request(1))
    line = request(2).model_dump_json()
    inbox = Inbox(path, every_s=0)
    with path.open("a") as file:
        file.write(line[:10])
    assert ids(inbox) == ["r1"]
    with path.open("a") as file:
        file.write(line[10:] + "\n")
    assert ids(inbox) == ["r2"]


def test_torn_line_of_a_writer_that_died_swallows_no_other(path, caplog):
    path.write_text('{"id": "torn", "verb')
    append(path, request(1))
    assert ids(Inbox(path, every_s=0)) == ["r1"]
    assert f"{path}:1: no request" in caplog.text


def test_writers_at_once_lose_nothing(path):
    writers = [threading.Thread(target=append, args=(path, request(number))) for number in range(20)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(ids(Inbox(path, every_s=0))) == sorted(f"r{number}" for number in range(20))


def test_file_is_looked_into_no_oftener_than_was_said(path):
    now = [0.0]
    inbox = Inbox(path, every_s=0.5, clock=lambda: now[0])
    assert inbox() == []
    append(path, request(1))
    now[0] = 0.4
    assert inbox() == []
    now[0] = 0.6
    assert ids(inbox) == ["r1"]


def test_folder_that_is_gone_is_told_in_words(tmp_path):
    with pytest.raises(StorageError, match=r"can't be written \(No such file or directory\)\. Nothing was asked"):
        append(tmp_path / "gone" / "control.jsonl", request(1))
