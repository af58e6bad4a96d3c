"""An attempt's log: what is kept of a stream, and that the stream itself outlives the attempt."""

import gc
import io
import subprocess
import sys
import threading

import pytest

from sweep.training import logs
from sweep.training.logs import LINE_LIMIT, tee


@pytest.fixture
def path(tmp_path):
    return tmp_path / "attempt-1.log"


@pytest.fixture
def own_stdout(monkeypatch):
    """Gives the test a stdout of its own, bytes in memory; called inside it, for pytest swaps stdout just before."""

    def swap():
        stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        monkeypatch.setattr(sys, "stdout", stream)
        return stream

    return swap


def lines(path):
    """The log's lines without their times."""
    return [line.partition(" ")[2] for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("writes", "kept"),
    [
        (["a\r\n", "b\r\n"], ["a", "b"]),
        (["a\r", "\n"], ["a"]),
        (["a\r\r", "\n"], ["a"]),
        (["1 %", "\r2 %", "\r3 %", "\n"], ["3 %"]),
        (["1 %\r", "2 %\r", "3 %\r", "\n"], ["3 %"]),
        (["1 %\r2 %\r", "3", " %", "\n"], ["3 %"]),
        (["\r100 %", "\r     ", "\r", "done\n"], ["done"]),
        (["a\rb\nc\rd\n"], ["b", "d"]),
        (["\n", "\r\n", "", "a"], ["", "", "a"]),
        (["1 %\r2 %\r"], ["2 %"]),
    ],
)
def test_a_line_is_what_was_drawn_last(path, own_stdout, writes, kept):
    stdout = own_stdout()
    with tee(path):
        for each in writes:
            sys.stdout.write(each)
    assert lines(path) == kept
    assert stdout.buffer.getvalue().decode() == "".join(writes)


@pytest.mark.parametrize("bar", ["\r" + 80 * "#", 80 * "#" + "\r", 80 * "#"], ids=["before", "after", "none"])
def test_a_bar_that_never_ends_its_line_is_not_piled_up(path, own_stdout, bar):
    own_stdout()
    most = 0
    with tee(path):
        line = sys.stdout._line
        for _ in range(200_000):
            sys.stdout.write(bar)
            most = max(most, line.size)
            assert len(line._parts) <= max(line.size, 1)
    assert most <= (LINE_LIMIT if "\r" not in bar else 80)
    assert sum(map(len, lines(path))) == (80 if "\r" in bar else 200_000 * 80)


def test_a_long_line_is_cut(path, own_stdout):
    own_stdout()
    with tee(path):
        sys.stdout.write("x" * (3 * LINE_LIMIT + 5))
        sys.stdout.write("y\n" + "z" * LINE_LIMIT + "\n")
    assert [len(line) for line in lines(path)] == [LINE_LIMIT, LINE_LIMIT, LINE_LIMIT, 6, LINE_LIMIT]


def test_threads_lose_nothing_of_each_other(path, own_stdout):
    own_stdout()

    def work(name):
        for _ in range(500):
            sys.stdout.write(f"{name}\n")

    with tee(path):
        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert sorted(lines(path)) == sorted(500 * "abcd")


def test_closing_stdout_leaves_the_processs_own_open(path, own_stdout):
    stdout = own_stdout()
    with tee(path):
        print("before")
        sys.stdout.close()
        print("after", flush=True)
        with sys.stdout as out:
            out.writelines(["one\n", "two\n"])
        sys.stdout.detach().close()
    assert sys.stdout is stdout
    print("still open")
    assert stdout.buffer.getvalue().decode().split() == ["before", "after", "one", "two", "still", "open"]
    assert lines(path) == ["before", "after", "one", "two"]


def test_a_stream_that_is_closed_for_good_hurts_nobody(path, own_stdout):
    stdout = own_stdout()
    with tee(path):
        stdout.close()
        print("kept", flush=True)
        sys.stdout.write("no end")
    assert lines(path) == ["kept", "no end"]


def test_a_stream_that_was_wrapped_anew_stays_open_and_is_copied(path, own_stdout):
    stdout = own_stdout()
    with tee(path):
        sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
        print("caf\u00e9")
        sys.stdout.flush()
    gc.collect()
    print("still open")
    assert stdout.buffer.getvalue().decode() == "caf\u00e9\nstill open\n"
    assert lines(path) == ["caf\u00e9"]


def test_a_stream_on_the_same_file_does_not_close_it(path):
    code = f"""
import gc, os, sys, pathlib
from sweep.training.logs import tee
with tee(pathlib.Path({str(path)!r})):
    sys.stdout = os.fdopen(1, "w")
    print("inside")
gc.collect()
print("still open", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.split("\n"), done.returncode) == (["inside", "still open", ""], 0)


def test_what_is_in_memory_is_not_kept(path, own_stdout):
    own_stdout()
    before = len(logs._replacements)
    with tee(path):
        sys.stdout = io.StringIO()
    assert len(logs._replacements) == before
