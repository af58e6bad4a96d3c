"""A token is there and kept; a dashboard lets nobody in who shouldn't."""

import http.server
import threading

import pytest

from sweep.doctor import ray_check


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home directory without a token, and no setting of Ray."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def give(home, mode=0o600):
    path = home / ".ray" / "auth_token"
    path.parent.mkdir(exist_ok=True)
    path.write_text("hidden")
    path.chmod(mode)
    return path


def test_no_token_is_fine_until_one_is_asked_for(home, monkeypatch):
    assert ray_check.token().verdict == "ok"
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    found = ray_check.token()
    assert found.verdict == "warn"
    assert "ray get-auth-token --generate" in found.advice


def test_a_token_is_never_shown(home, monkeypatch):
    give(home)
    assert "hidden" not in repr(ray_check.token())
    monkeypatch.setenv("RAY_AUTH_TOKEN", "hidden")
    assert ray_check.token().verdict == "ok"
    assert "hidden" not in repr(ray_check.token())


def test_a_token_that_others_can_read_is_a_warning(home):
    give(home, 0o644)
    assert "chmod 600" in ray_check.token().advice
    give(home, 0o600)
    assert ray_check.token().verdict == "ok"


def test_switching_tokens_off_is_a_warning(home, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert ray_check.token().verdict == "warn"


@pytest.fixture
def serve():
    """Starts something that answers as a dashboard; returns its port."""
    servers = []

    def start(status, address="127.0.0.1"):
        class Dashboard(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.end_headers()

            def log_message(self, *args):
                pass

        server = http.server.ThreadingHTTPServer((address, 0), Dashboard)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server.server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_no_dashboard_is_fine(serve):
    assert ray_check.dashboard(port=1).value == "none at port 1"


def test_a_dashboard_that_asks_for_a_token_is_fine_on_loopback(serve):
    assert ray_check.dashboard(serve(401)).verdict == "ok"
    assert ray_check.dashboard(serve(200)).verdict == "warn"


def test_a_dashboard_in_the_networks_reach_fails_without_a_token(serve, monkeypatch):
    monkeypatch.setattr(ray_check, "open_outside", lambda _: "0.0.0.0")
    assert ray_check.dashboard(serve(200)).verdict == "fail"
    assert ray_check.dashboard(serve(401)).verdict == "warn"


HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("0: 0100007F:2049 00000000:0000 0A x\n", None),  # 127.0.0.1:8265
        ("0: 00000000:2049 00000000:0000 0A x\n", "0.0.0.0"),
        ("0: 0501A8C0:2049 00000000:0000 0A x\n", "192.168.1.5"),
        ("0: 0501A8C0:2049 0601A8C0:1F90 01 x\n", None),  # a connection, not a listener
        ("0: 00000000:2048 00000000:0000 0A x\n", None),  # another port
        ("0: 00000000000000000000000000000000:2049 0:0 0A x\n", "::"),
        ("0: 00000000000000000000000001000000:2049 0:0 0A x\n", None),  # ::1
    ],
)
def test_the_kernels_table_says_who_listens_where(tmp_path, line, found):
    table = tmp_path / "tcp"
    table.write_text(HEAD + line)
    assert ray_check.open_outside(8265, [table, tmp_path / "none"]) == found


def test_a_real_listener_on_loopback_is_not_outside(serve):
    assert ray_check.open_outside(serve(200)) is None
