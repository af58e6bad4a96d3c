"""Following a job on a cluster elsewhere whose connection breaks: by all that Ray's client then raises."""

from types import SimpleNamespace

import aiohttp
import pytest
import requests
from ray.job_submission import JobStatus

from sweep.errors import WorkError
from sweep.remote import jobs

HEAD = "Running entrypoint for job 1: sweep launch\n"
REFUSED = aiohttp.ClientConnectorError(
    SimpleNamespace(host="head", port=8265, ssl=True, is_ssl=True), OSError(111, "Connection refused")
)
BREAKS = [
    RuntimeError("WebSocket connection closed unexpectedly with close code 1006"),
    REFUSED,
    aiohttp.ServerDisconnectedError(),
    requests.exceptions.ConnectionError("Connection refused"),
]


class Client:
    """A job's server, as Ray's client shows it: each connection hands out its texts and breaks; the last one ends.

    Args:
        connections: for each what it hands out, and an error at its end.
        asked: an error for each question after the job's state, before it is answered.
    """

    def __init__(self, connections, asked=()):
        self.connections, self.asked = list(connections), list(asked)

    async def tail_job_logs(self, job):
        for part in self.connections.pop(0) if len(self.connections) > 1 else self.connections[0]:
            if isinstance(part, Exception):
                raise part
            yield part

    def get_job_info(self, job):
        if self.asked:
            raise self.asked.pop(0)
        over = len(self.connections) == 1
        return SimpleNamespace(
            status=JobStatus.FAILED if over else JobStatus.RUNNING, driver_exit_code=1 if over else None, message=""
        )


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(jobs.time, "sleep", lambda seconds: None)


def followed(client):
    written = []
    return jobs.follow(client, "1", written.append), "".join(written)


@pytest.mark.parametrize("error", BREAKS, ids=lambda error: type(error).__name__)
def test_broken_connection_is_made_anew_and_nothing_is_printed_twice(error):
    client = Client([[HEAD, "one\n", error], [error], [HEAD + "one\n", "two\n"]])
    assert followed(client) == (1, "one\ntwo\n")


@pytest.mark.parametrize("error", BREAKS[1:], ids=lambda error: type(error).__name__)
def test_connection_that_breaks_at_the_jobs_very_end_costs_no_exit_code(error):
    assert followed(Client([[HEAD, "one\n"]], asked=[error])) == (1, "one\n")


def test_job_that_says_nothing_for_long_is_followed_however_often_the_connection_breaks():
    quiet = [[HEAD, "one\n", BREAKS[0]]] * 200
    assert followed(Client([*quiet, [HEAD, "one\n", "two\n"]])) == (1, "one\ntwo\n")


def test_cluster_that_stays_away_is_told_in_words():
    with pytest.raises(WorkError, match=r"out of reach: Cannot connect to host head:8265.* Job 1 goes on there"):
        followed(Client([[HEAD, "one\n"], *[[REFUSED]] * 100]))
