"""Pages to ask things of: a server beside the test, and a browser's manners without a browser."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sweep.watch.ui.app import Parts
from sweep.watch.ui.serving import Serving

NO_MODELS = {"registry": "registry", "problem": "", "models": []}


class Caller:
    """Asks a server, with its token unless told otherwise."""

    def __init__(self, served: Serving) -> None:
        self.port = served.port
        address = urlsplit(served.address)
        self.token = address.query.removeprefix("token=")
        self.host = address.netloc
        self.cookie = f"sweep_ui_{self.port}={self.token}"

    def __call__(
        self, path: str, *, method: str = "GET", body: Any = None, **headers: str | None
    ) -> tuple[int, dict[str, str], str]:
        """Status, headers and text; a header that is None isn't sent."""
        sent: dict[str, str | None] = {"Cookie": self.cookie, "Host": self.host}
        if method == "POST":
            sent |= {"Origin": f"http://{self.host}", "Content-Type": "application/json"}
        sent |= {name.replace("_", "-").title(): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            data = None if body is None else json.dumps(body).encode()
            for name, value in sent.items():
                if value is not None:
                    connection.putheader(name, value)
            if data is not None:
                connection.putheader("Content-Length", str(len(data)))
            connection.endheaders(data)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, answer.read().decode(errors="replace")

    def json(self, path: str, **more: Any) -> Any:
        """The answer's values."""
        status, _, text = self(path, **more)
        assert status == 200, text
        return json.loads(text)

    @contextlib.contextmanager
    def stream(self, path: str) -> Iterator[Iterator[tuple[str, Any]]]:
        """(event, data) as they come."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Cookie": self.cookie, "Host": self.host})
            answer = connection.getresponse()
            assert answer.status == 200
            assert answer.getheader("content-type", "").startswith("text/event-stream")
            with contextlib.closing(answer):
                yield _events(answer)


def _events(answer: http.client.HTTPResponse) -> Iterator[tuple[str, Any]]:
    event, data = "message", ""
    for line in answer:
        text = line.decode().rstrip("\n")
        if text.startswith("event: "):
            event = text[7:]
        elif text.startswith("data: "):
            data = text[6:]
        elif not text and data:
            yield event, json.loads(data)
            event, data = "message", ""


@contextlib.contextmanager
def serving(storage: Path, ask: Any = None, models: Any = None) -> Iterator[Serving]:
    """Pages of a storage folder, on a free port."""

    def refused(*asked: Any) -> dict[str, Any]:
        raise AssertionError(asked)

    parts = Parts(storage, ask or refused, models or (lambda: NO_MODELS))
    with Serving(parts, 0).in_thread() as served:
        yield served
