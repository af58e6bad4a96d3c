"""Who may ask the live page anything, and what its answers allow a browser."""

import re

import pytest
from plays import Play, new_spec
from uis import Caller, serving
from written import written

from sweep.watch.ui.guard import policy

ROUTES = [
    "/", "/studies/toy", "/studies/toy/trials/0", "/models", "/static/v/common.js", "/static/v/plotly.js",
    "/api/studies", "/api/studies/toy", "/api/studies/toy/figures/quick", "/api/models", "/api/studies.stream",
    "/api/studies/toy/stream", "/api/studies/toy/trials/0/stream", "/nowhere",
]  # fmt: skip


@pytest.fixture(scope="module")
def asked():
    return []


@pytest.fixture(scope="module")
def call(tmp_path_factory, asked):
    storage = tmp_path_factory.mktemp("studies")
    written(Play(new_spec()).to_the_end(), storage)

    def ask(paths, verb, trial):
        asked.append((paths.root.name, verb, trial))
        return {"accepted": True, "answer": "done", "live": False}

    with serving(storage, ask) as served:
        yield Caller(served)


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("cookie", [None, "sweep_ui_{port}=", "sweep_ui_{port}={token}x", "sweep_ui_1={token}"])
def test_every_route_is_refused_without_the_token(call, path, cookie):
    given = cookie and cookie.format(port=call.port, token=call.token)
    status, headers, text = call(path, cookie=given)
    assert status == 401
    assert "sweep ui" in text
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", [path for path in ROUTES if "stream" not in path and path != "/nowhere"])
def test_every_route_answers_with_it(call, path):
    assert call(path)[0] == 200


def test_the_address_s_token_becomes_a_cookie_that_scripts_and_other_sites_cannot_use(call):
    status, headers, text = call(f"/studies/toy?token={call.token}", cookie=None)
    assert status == 200
    assert headers["set-cookie"] == f"{call.cookie}; Path=/; HttpOnly; SameSite=Strict"
    assert 'content="0;url=/studies/toy"' in text
    assert call.token not in text


@pytest.mark.parametrize("token", ["x", "{token}x", "ü"])
def test_a_wrong_token_in_the_address_is_refused_whatever_the_cookie_says(call, token):
    status, headers, _ = call(f"/?token={token.format(token=call.token)}".replace("ü", "%C3%BC"))
    assert status == 401
    assert "set-cookie" not in headers


def test_the_page_that_takes_the_token_holds_nothing_of_the_address_but_a_plain_path(call):
    _, _, text = call(f'/%22%3E%3Cscript%3E//evil.example?token={call.token}"')
    assert "<script" not in text
    # A second slash at its start would be another machine's name.
    _, _, text = call(f"//evil.example/x?token={call.token}")
    assert 'url=/evil.example/x"' in text


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "", "[::1", "0.0.0.0"]
)
def test_other_names_of_this_machine_are_refused(call, host):
    assert call("/", host=host.format(port=call.port))[0] == 421


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1:{port}", "[::1]:{port}"])
def test_its_own_names_are_not(call, host):
    assert call("/models", host=host.format(port=call.port))[0] == 200


def test_it_is_reached_through_a_tunnel_under_the_tunnel_s_port(call):
    there = {"host": "localhost:9000", "cookie": f"sweep_ui_9000={call.token}"}
    assert call("/", **there)[0] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": None}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "https://{host}"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"cookie": None}, 401),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": None}, 415),
    ],
)
def test_a_change_is_asked_for_by_our_own_pages_alone(call, asked, headers, status):
    asked.clear()
    given = {name: value and value.format(host=call.host) for name, value in headers.items()}
    assert call("/api/studies/toy/control", method="POST", body={"verb": "stop"}, **given)[0] == status
    assert asked == []


def test_a_change_is_not_asked_for_by_reading(call, asked):
    asked.clear()
    assert call("/api/studies/toy/control?verb=stop")[0] == 405
    assert asked == []


@pytest.mark.parametrize("path", ["/", "/studies/toy", "/api/studies", "/static/v/common.js", "/nowhere"])
def test_every_answer_forbids_the_browser_what_pages_don_t_need(call, path):
    _, headers, _ = call(path)
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    rules = headers["content-security-policy"]
    assert "unsafe-inline" not in rules
    assert rules.startswith("default-src 'none'; script-src 'self'")
    # WebGL's functions are made of texts; nothing else needs that.
    assert ("unsafe-eval" in rules) == (path == "/studies/toy")


def test_each_page_s_nonce_is_its_own(call):
    nonces = {re.search("nonce-([^']+)'", call("/")[1]["content-security-policy"])[1] for _ in range(3)}
    assert len(nonces) == 3
    _, headers, text = call("/")
    assert headers["content-security-policy"] == policy(re.search('nonce="([^"]+)"', text)[1])


def test_only_files_that_never_change_are_kept(call):
    assert "immutable" in call("/static/v/plotly.js")[1]["cache-control"]
    assert call("/studies/toy")[1]["cache-control"] == "no-store"


def test_plotly_comes_compressed_where_that_is_understood(call):
    _, headers, _ = call("/static/v/plotly.js", accept_encoding="gzip, br")
    assert headers["content-encoding"] == "gzip"
    assert int(headers["content-length"]) < 2_000_000
    _, headers, text = call("/static/v/plotly.js")
    assert "content-encoding" not in headers
    assert "plotly.js v" in text[:200]
