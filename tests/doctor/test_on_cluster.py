"""A cluster is examined on each of its nodes; its report comes whole through a job's log."""

import json
import os
import platform

import pytest

from sweep.core.findings import Examined, Finding, Report, Versions
from sweep.doctor import by_job, on_cluster
from sweep.errors import InputError, WorkError
from sweep.executors import cluster
from sweep.remote import jobs

HEAD = {"node:__internal_head__": 1.0}


def node(number, host, alive=True, **resources):
    return {"NodeID": f"{number}" * 56, "NodeManagerHostname": host, "Alive": alive, "Resources": resources}


def test_the_head_comes_first_and_the_dead_not_at_all():
    known = [node(1, "w1"), node(2, "w2", alive=False), {**node(3, "h"), "Resources": HEAD}]
    assert list(on_cluster.nodes(known).values()) == ["h", "w1"]


def test_two_nodes_on_one_host_have_two_names():
    assert set(on_cluster.nodes([node(1, "vm"), node(2, "vm")]).values()) == {"vm/11111111", "vm/22222222"}


def test_a_folder_that_a_node_does_not_see_is_a_failure(tmp_path):
    assert on_cluster.shared(tmp_path, [("h", True), ("w1", True)]).verdict == "ok"
    found = on_cluster.shared(tmp_path, [("h", True), ("w1", False), ("w2", False)])
    assert found.verdict == "fail"
    assert "w1, w2" in found.value


@pytest.mark.parametrize(("its", "verdict"), [(100.5, "ok"), (101.5, "ok"), (98.0, "warn"), (108.0, "warn")])
def test_a_clock_that_is_off_by_more_than_the_question_took_is_a_warning(its, verdict):
    assert on_cluster.clocks({"w1": (100.0, its, 101.0)}).verdict == verdict


@pytest.fixture
def report():
    versions = (Versions("h", "3.12.3", "2.60.0"), Versions("this machine", "3.12.3", "2.60.0"))
    together = (Finding("Python everywhere", "ok", ""), Finding("clocks", "ok", "within 1 s"))
    return Report((Examined("h", (Finding("CPU", "ok", "4"),)), Examined(on_cluster.ALL, together)), versions)


def test_a_report_is_found_among_a_jobs_other_lines(report):
    log = "Running entrypoint\n" + json.dumps(report.plain(), indent=2) + "\n(pid=1) noise\n"
    assert by_job.parsed(log, "http://h:8265") == report


@pytest.mark.parametrize("log", ["", "sweep: No such command 'doctor'.\n", "{\n}\n"])
def test_a_head_without_a_report_is_a_failure_that_shows_its_words(log):
    with pytest.raises(WorkError, match=r"gave no report.*same|gave no report") as caught:
        by_job.parsed(log, "http://h:8265")
    assert not log.startswith("sweep") or "No such command" in str(caught.value)


def test_the_submitters_versions_count_and_not_those_of_the_jobs_driver(report):
    compared = by_job.with_submitter(report)
    assert [place.place for place in compared.places] == ["h", on_cluster.ALL]
    assert [finding.name for finding in compared.places[-1].findings] == [
        "Python everywhere", "Ray everywhere", "clocks",
    ]  # fmt: skip
    assert compared.versions[-1].python == platform.python_version()
    assert compared.versions[0] == report.versions[0]


def test_the_job_is_given_the_folders_that_were_named(tmp_path):
    words = by_job.command(tmp_path / "a b", None)
    assert words.startswith("python -m sweep doctor --address auto --json --storage '")
    assert "--registry" not in words


@pytest.mark.parametrize("setting", ["RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"])
def test_nobody_at_an_http_address_is_a_wrong_input_whatever_the_environment_names(monkeypatch, setting):
    monkeypatch.setenv(setting, "http://127.0.0.1:2")
    with pytest.raises(InputError, match=r"address: no Ray cluster takes a job at 'http://127.0.0.1:1'"):
        by_job.examine_by_job("http://127.0.0.1:1", None, None)
    assert os.environ[setting] == "http://127.0.0.1:2"


def test_a_head_whose_agent_is_not_there_yet_is_asked_again(monkeypatch):
    class Client:
        def __init__(self, *answers):
            self.answers = list(answers)

        def submit_job(self, **_):
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    monkeypatch.setattr(jobs, "_AGENT_POLL_S", 0)
    early = RuntimeError("500: No available agent to submit job, please try again later..")
    assert jobs.send(Client(early, early, "job-1"), entrypoint="true") == "job-1"
    with pytest.raises(InputError, match="took no job: 403"):
        jobs.send(Client(RuntimeError("403: no")), entrypoint="true")


def test_another_ray_on_the_head_is_a_finding_and_not_a_defect(monkeypatch, tmp_path):
    def refuse(**_):
        raise RuntimeError(
            "Version mismatch: The cluster was started with:\n    Ray: 2.59.0\n    Python: 3.12.3\n"
            "This process on node 10.0.0.1 was started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"
        )

    monkeypatch.setattr(cluster.ray, "init", refuse)
    report = on_cluster.examine_cluster("auto", tmp_path, tmp_path)
    assert {finding.verdict for finding in report.findings} == {"fail"}
    assert "2.59.0 on head" in report.findings[1].value
    with pytest.raises(InputError, match=r"runs Ray 2\.59\.0 and Python 3\.12\.3, this machine Ray"):
        cluster.connect({"address": "auto"})


@pytest.mark.ray
def test_a_real_node_is_examined_by_a_task_on_it(ray_cluster, tmp_path):
    report = on_cluster.examine_cluster("auto", tmp_path / "studies", tmp_path / "registry")
    node, together = report.places
    named = {finding.name: finding for finding in node.findings}
    assert {"PyTorch", "all-reduce", "storage", "Ray"} <= named.keys()
    assert [finding.verdict for finding in together.findings] == ["ok"] * 4
    assert report.versions[0].python == report.versions[1].python == platform.python_version()
    assert list(tmp_path.iterdir()) == []
