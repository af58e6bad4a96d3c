"""Head, workers and the submitting machine fit each other, or it is said who doesn't."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.core.agreement import agreement, minor, refused
from sweep.core.findings import Examined, Finding, Report, Versions, read_report, worst

PARTS = st.tuples(st.integers(2, 4), st.integers(0, 99), st.integers(0, 9))
VERSION = PARTS.map(lambda parts: ".".join(map(str, parts)))


def places(*pairs):
    names = ["head", "w1", "w2", "this machine"]
    return [Versions(name, python, ray) for name, (python, ray) in zip(names, pairs, strict=False)]


@given(st.lists(st.tuples(VERSION, VERSION), min_size=1, max_size=4))
def test_a_failure_is_a_minor_version_that_differs_from_the_heads(pairs):
    for finding, versions in zip(agreement(places(*pairs)), zip(*pairs, strict=True), strict=True):
        far = any(minor(version) != minor(versions[0]) for version in versions)
        near = any(version != versions[0] for version in versions)
        assert finding.verdict == ("fail" if far else "warn" if near else "ok")


def test_the_ones_that_differ_are_named_with_what_they_run():
    python, ray = agreement(places(("3.12.3", "2.60.0"), ("3.11.2", "2.60.0"), ("3.12.3", "2.60.0")))
    assert (python.verdict, python.value) == ("fail", "3.12.3 on head; 3.11.2 on w1")
    assert "Python 3.12" in python.advice
    assert (ray.verdict, ray.value) == ("ok", "2.60.0 on 3 of 3")


def test_another_patch_release_is_a_warning_that_says_what_still_works():
    python, _ = agreement(places(("3.12.3", "2.60.0"), ("3.12.4", "2.60.0")))
    assert python.verdict == "warn"
    assert "Jobs can be submitted" in python.advice


@pytest.mark.parametrize("version", ["", "3", "three.twelve", "3.x"])
def test_a_version_that_cannot_be_read_is_no_agreement(version):
    with pytest.raises(ValueError, match=r"expected numbers with points between, as 3\.12\.3"):
        agreement(places((version, "2.60.0"), (version, "2.60.0")))


def test_no_place_is_no_agreement():
    with pytest.raises(ValueError, match="at least one place"):
        agreement([])


def test_rays_refusal_tells_what_the_head_runs():
    said = "Version mismatch: The cluster was started with:\n    Ray: 2.59.0\n    Python: 3.12.3\nThis process on node"
    assert refused(said) == Versions("head", python="3.12.3", ray="2.59.0")
    assert refused("Maybe you called ray.init twice by accident?") is None


@pytest.mark.parametrize("verdict", ["warn", "fail"])
def test_what_is_not_fine_says_what_to_do(verdict):
    with pytest.raises(ValueError, match="doesn't say what to do"):
        Finding("disk", verdict, "full")


def test_the_gravest_verdict_counts():
    fine, odd, bad = Finding("a", "ok", ""), Finding("b", "warn", "", "x"), Finding("c", "fail", "", "x")
    assert [worst([]), worst([fine, odd]), worst([bad, odd, fine])] == ["ok", "warn", "fail"]


def test_a_report_survives_json():
    report = Report((Examined("here", (Finding("disk", "warn", "full", "make room"),)),), (Versions("here", "3", "2"),))
    assert read_report(report.plain()) == report
    with pytest.raises(ValueError, match="not a report of this version"):
        read_report({"places": [{"place": "here"}], "versions": []})
