"""The health check tells a live Ray node from a dead one, without Ray."""

from __future__ import annotations

import http.server
import importlib.util
import threading
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "images" / "healthcheck.py"


@pytest.fixture
def healthcheck() -> ModuleType:
    spec = importlib.util.spec_from_file_location("healthcheck", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def started(tmp_path) -> Path:
    """The file that `ray start` leaves."""
    path = tmp_path / "ray_current_cluster"
    path.write_text("127.0.0.1:6379")
    return path


@pytest.fixture
def agent():
    """A stand-in for Ray's agent; its answer is in `status`."""

    class Agent(http.server.BaseHTTPRequestHandler):
        status = 200

        def do_GET(self):
            self.send_response(self.status if self.path == "/api/healthz" else 404)
            self.end_headers()
            self.wfile.write(b"raylet: Local Raylet failed")

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Agent) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        Agent.port = server.server_port
        yield Agent
        server.shutdown()


def test_a_container_without_ray_is_healthy(healthcheck, tmp_path):
    """Nothing was started, so nothing can be ill."""
    assert healthcheck.problem(started=tmp_path / "none", port=1) is None


def test_a_ray_that_answers_is_healthy(healthcheck, started, agent):
    """The agent's 200 is enough."""
    assert healthcheck.problem(started=started, port=agent.port) is None


def test_a_ray_that_says_it_is_ill_is_unhealthy(healthcheck, started, agent):
    """The agent's 503 is passed on with its reason."""
    agent.status = 503
    assert "Ray says 503: raylet: Local Raylet failed" in healthcheck.problem(started=started, port=agent.port)


def test_a_ray_that_is_gone_is_unhealthy(healthcheck, started, agent, monkeypatch, capsys):
    """`ray start` ran here but nobody answers: exit code 1, and a line for `docker inspect`."""
    monkeypatch.setattr(healthcheck, "problem", lambda port: f"port {port} does not answer")
    monkeypatch.setenv("SWEEP_HEALTH_PORT", "1")
    assert healthcheck.main() == 1
    assert capsys.readouterr().out == "port 1 does not answer\n"
    monkeypatch.undo()
    assert "does not answer" in healthcheck.problem(started=started, port=1)
