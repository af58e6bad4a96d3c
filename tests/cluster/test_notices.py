"""A cloud's notice that it takes a machine back: understood, and told to Ray."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from sweep.cli.main import app
from sweep.cluster import notices
from sweep.cluster.notices import Notice, look

ACTION = {"action": "terminate", "time": "2026-11-27T08:22:00Z"}


@contextmanager
def metadata(pages, token="secret"):
    """A cloud's metadata service: pages by path; AWS's, with its token."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self):
            assert self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
            self.answer(200, token)

        def do_GET(self):
            known = self.headers.get("X-aws-ec2-metadata-token") == token or self.headers.get("Metadata-Flavor")
            page = pages.get(self.path)
            self.answer(401 if not known else 404 if page is None else 200, page or "")

        def answer(self, status, text):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_aws_says_nothing_until_it_takes_the_instance_back_and_then_when():
    pages = {}
    with metadata(pages) as url:
        assert look("aws", url) is None
        pages["/latest/meta-data/spot/instance-action"] = json.dumps(ACTION)
        notice = look("aws", url)
    assert notice == Notice(
        1795767720.0, "AWS takes the spot instance back (terminate at 2026-11-27T08:22:00Z)"
    )  # 08:22 UTC


def test_google_cloud_gives_half_a_minute():
    pages = {"/computeMetadata/v1/instance/preempted": "FALSE"}
    with metadata(pages) as url:
        assert look("gcp", url) is None
        pages["/computeMetadata/v1/instance/preempted"] = "TRUE\n"
        assert look("gcp", url, now=lambda: 1000.0) == Notice(1030.0, "Google Cloud takes the spot machine back")


@pytest.mark.parametrize("page", ["<html>try again</html>", "{}", '{"action": "stop", "time": "soon"}', "[]", "\xff"])
def test_what_cannot_be_read_is_no_notice_and_the_next_look_may_tell(page):
    pages = {"/latest/meta-data/spot/instance-action": page}
    with metadata(pages) as url:
        assert look("aws", url) is None
        pages["/latest/meta-data/spot/instance-action"] = json.dumps(ACTION)
        assert look("aws", url) is not None


def test_nobody_there_is_no_notice_and_is_said():
    said = []
    assert look("aws", "http://127.0.0.1:9", unanswered=said.append) is None
    assert said == ["http://127.0.0.1:9 gives no answer that can be read ([Errno 111] Connection refused)"]


def test_watch_says_once_that_nobody_answers(monkeypatch):
    looks = iter(range(3))

    def sleep(_):
        if next(looks) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    words = ["cluster", "watch", "gcp", "--address", "head:6379", "--endpoint", "http://127.0.0.1:9"]
    said = CliRunner().invoke(app, words).output
    assert said.startswith("Asking http://127.0.0.1:9 every 5 s")
    assert said.count("is this a machine of gcp?") == 1


def test_watch_tells_the_cluster_and_ends(monkeypatch):
    told = []
    monkeypatch.setattr(notices, "drain", lambda address, notice: told.append((address, notice.at)) or ["a" * 56])
    with metadata({"/latest/meta-data/spot/instance-action": json.dumps(ACTION)}) as url:
        done = CliRunner().invoke(app, ["cluster", "watch", "aws", "--address", "head:6379", "--endpoint", url])
    assert done.exit_code == 0, done.output
    assert told == [("head:6379", 1795767720.0)]
    assert "AWS takes the spot instance back" in done.output
    assert "1 of its nodes drain" in done.output


def test_watch_asks_again_when_the_cluster_does_not_answer(monkeypatch):
    answers = iter([ConnectionError("no control store"), None])

    def drain(address, notice):
        if (error := next(answers)) is not None:
            raise error
        return []

    monkeypatch.setattr(notices, "drain", drain)
    with metadata({"/latest/meta-data/spot/instance-action": json.dumps(ACTION)}) as url:
        words = ["cluster", "watch", "aws", "--address", "head:6379", "--endpoint", url, "--every", "0.1"]
        done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "isn't told: no control store" in done.output


def test_unknown_cloud_is_refused():
    done = CliRunner().invoke(app, ["cluster", "watch", "azure", "--address", "head:6379"])
    assert done.exit_code != 0
    assert "expected one of aws, gcp, got 'azure'" in str(done.exception)


@pytest.mark.ray
@pytest.mark.xdist_group("ray")
def test_nodes_of_the_machine_drain_and_of_no_other(ray_cluster):
    gcs = ray_cluster.get_runtime_context().gcs_address
    assert notices.drain(gcs, Notice(2e9, "a test"), here="192.0.2.1") == []
