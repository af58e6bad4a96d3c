"""`sweep doctor` says what is fine and what to do, and its exit code says whether something will not work."""

import json

import pytest

from sweep.core.findings import Examined, Finding, Report, Versions

HERE = Versions("this machine", "3.12.3", "2.60.0")
FINE = Finding("Ray", "ok", "2.60.0")
ODD = Finding("shared memory", "warn", "64 MiB", "Start the container with --shm-size=8g.")
BAD = Finding("storage", "fail", "/studies: Permission denied", "User 1000 must be able to write there.")


@pytest.fixture
def found(monkeypatch):
    """Says what is found, and returns what was asked."""
    asked = []

    def set_up(*findings, places=1):
        places = tuple(Examined(f"place {number}", findings) for number in range(places))

        def diagnose(*arguments):
            asked.append(arguments)
            return Report(places, (HERE,))

        monkeypatch.setattr("sweep.doctor.diagnose", diagnose)
        return asked

    return set_up


def test_a_machine_without_faults_ends_with_0(sweep, found):
    found(FINE)
    result = sweep("doctor")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[-1] == "Everything is fine."


def test_a_warning_says_what_to_do_and_is_no_failure(sweep, found):
    found(FINE, ODD)
    result = sweep("doctor")
    assert result.code == 0
    assert "--shm-size=8g" in result.out
    assert "Nothing failed, 1 warning" in result.out


def test_a_failure_is_exit_code_1(sweep, found):
    found(FINE, ODD, BAD)
    result = sweep("doctor")
    assert result.code == 1
    assert "User 1000" in result.out
    assert "1 failure, 1 warning" in result.out
    assert sweep("doctor", "--json").code == 1


def test_json_has_every_finding_and_the_gravest_verdict(sweep, found):
    found(FINE, BAD)
    data = json.loads(sweep("doctor", "--json").out)
    assert data["verdict"] == "fail"
    assert [finding["verdict"] for finding in data["places"][0]["findings"]] == ["ok", "fail"]
    assert data["versions"] == [{"place": "this machine", "python": "3.12.3", "ray": "2.60.0"}]


def test_each_node_of_a_cluster_has_its_own_table(sweep, found):
    asked = found(FINE, places=2)
    result = sweep("doctor", "--address", "auto", "--storage", "/shared")
    assert "place 0" in result.out
    assert "place 1" in result.out
    assert str(asked[0][0]) == "auto"
    assert str(asked[0][1]) == "/shared"


def test_a_cluster_that_does_not_answer_is_a_wrong_input(sweep, monkeypatch):
    # Other tests of this session may have left this process in a Ray of their own.
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    result = sweep("doctor", "--address", "127.0.0.1:1")
    assert result.code == 2
    assert "no Ray cluster lets us in" in result.err
    assert result.out == ""


@pytest.mark.slow
def test_this_machine_is_really_examined(sweep):
    data = json.loads(sweep("doctor", "--json").out)
    names = [finding["name"] for finding in data["places"][0]["findings"]]
    assert {"machine", "Python", "PyTorch", "all-reduce", "Ray", "storage", "data cache", "clock"} <= set(names)
