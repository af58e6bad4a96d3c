"""The routes of `sweep ui`."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.types import ASGIApp

from sweep.errors import InputError, StudyError, SweepError
from sweep.store.paths import BucketFolder, Place, StudyPaths
from sweep.watch.report.page import gzipped_plotly
from sweep.watch.ui import assets, streams
from sweep.watch.ui.feed import Feed
from sweep.watch.ui.guard import Guard, policy
from sweep.watch.ui.painter import Painter
from sweep.watch.ui.painting import Kind
from sweep.watch.ui.shelf import Shelf
from sweep.watch.ui.watching import Watched

LOOK_EVERY_S = 0.5
LIST_EVERY_S = 2.0
LOOK_IN_BUCKET_S = 3.0
LIST_IN_BUCKET_S = 20.0
"""In a bucket each look is a question over the network."""

PATIENCE_S = 0.4
"""So long does a page wait for its data to come with it; after that they follow."""

FOR_EVER = "private, max-age=31536000, immutable"

Verb = Literal["stop", "cancel", "pause", "resume"]


class Wish(BaseModel):
    """What a button asks of a study."""

    model_config = ConfigDict(extra="forbid")

    verb: Verb
    trial: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _of_one_trial(self) -> Wish:
        if self.trial is not None and self.verb not in ("stop", "cancel"):
            raise ValueError("a single trial can be stopped or cancelled")
        return self


@dataclass(frozen=True)
class Parts:
    """What the pages show that isn't theirs to know.

    Attributes:
        storage: what holds the studies.
        ask: asks something of a study and waits for the answer: {"accepted": ..., "answer": ...}; may raise SweepError.
        models: the registry: {"registry": ..., "problem": ..., "models": [...]}.
    """

    storage: Place
    ask: Callable[[StudyPaths, Verb, int | None], dict[str, Any]]
    models: Callable[[], dict[str, Any]]


class Desk:
    """What is open, and who watches it."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.shelf = Shelf(parts.storage)
        self.painter = Painter()
        self.boot = secrets.token_hex(4)
        """Unlike that of a server before us: what that one has told a page is void."""
        every_s = LIST_IN_BUCKET_S if isinstance(parts.storage, BucketFolder) else LIST_EVERY_S
        self.list = Watched(self.shelf.look, lambda: self.shelf.revision, every_s)
        self._studies: dict[Feed, Watched] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    async def feed(self, name: str) -> Feed:
        """A study's.

        Raises:
            HTTPException: there is none of this name.
        """
        try:
            return await asyncio.to_thread(self.shelf.open, name)
        except StudyError as error:
            raise HTTPException(404, str(error)) from error
        except SweepError as error:
            raise HTTPException(503, str(error)) from error

    def watched(self, feed: Feed) -> Watched:
        """Who tells of its changes."""
        if feed not in self._studies:
            self._studies = {one: watched for one, watched in self._studies.items() if watched.watched}
            every_s = LOOK_EVERY_S if feed.paths.url is None else LOOK_IN_BUCKET_S
            self._studies[feed] = Watched(lambda _: feed.look(), lambda: feed.revision, every_s)
        return self._studies[feed]

    async def began(self) -> None:
        """Know the loop that all of this runs in."""
        self._loop = asyncio.get_running_loop()

    def end(self) -> None:
        """End all streams, for a server waits for its answers to end; safe in any thread, and in a signal handler."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                # The loop may be closed by now.
                self._loop.call_soon_threadsafe(self._close)

    def _close(self) -> None:
        for watched in (self.list, *self._studies.values()):
            watched.close()


def build(parts: Parts, token: str) -> tuple[ASGIApp, Desk]:
    """The application, guarded, and what it has open."""
    desk = Desk(parts)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await desk.began()
        # Compressing Plotly takes a moment that no page should wait for.
        await asyncio.to_thread(assets.shunned)
        yield
        await desk.painter.close()

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    _pages(app, desk)
    _answers(app, desk)
    _streams(app, desk)

    @app.exception_handler(HTTPException)
    async def told(request: Request, error: HTTPException) -> Response:
        if request.url.path.startswith("/api/"):
            return JSONResponse({"problem": error.detail}, error.status_code)
        return _page(request, "problem.html.j2", status=error.status_code, title="not here", text=error.detail)

    return Guard(app, token), desk


def _page(request: Request, template: str, *, status: int = 200, data: Any = None, **values: Any) -> HTMLResponse:
    return HTMLResponse(assets.render(template, request.state.nonce, data, **values), status)


def _pages(app: FastAPI, desk: Desk) -> None:
    @app.get("/")
    async def studies(request: Request) -> Response:
        await _in_time(desk.shelf.look)
        data = streams.listed(desk.shelf)
        return _page(request, "studies.html.j2", data=data, title="studies", storage=str(desk.parts.storage))

    @app.get("/studies/{name}")
    async def study(request: Request, name: str) -> Response:
        feed = await desk.feed(name)
        ready = await _in_time(feed.look)
        first = await asyncio.to_thread(streams.picture, feed, desk.boot) if ready else None
        found = _page(request, "study.html.j2", data={"study": name, "first": first}, title=name, study=name)
        found.headers["content-security-policy"] = policy(request.state.nonce, compiles=True)
        return found

    @app.get("/studies/{name}/trials/{number}")
    async def trial(request: Request, name: str, number: int) -> Response:
        feed = await desk.feed(name)
        story = None
        if await _in_time(feed.look):
            try:
                story = await asyncio.to_thread(feed.story, number)
            except InputError as error:
                raise HTTPException(404, str(error)) from error
        data = {"study": name, "trial": number, "story": story}
        return _page(request, "trial.html.j2", data=data, title=f"{name}, trial {number}", study=name, number=number)

    @app.get("/models")
    async def models(request: Request) -> Response:
        found = await asyncio.to_thread(desk.parts.models)
        return _page(request, "models.html.j2", data=found, title="models", registry=found["registry"])

    @app.get("/static/{version}/{name}")
    def static(request: Request, version: str, name: str) -> Response:
        del version
        headers = {"cache-control": FOR_EVER}
        if name == assets.PLOTLY:
            if "gzip" not in request.headers.get("accept-encoding", ""):
                return Response(gzip.decompress(gzipped_plotly()), media_type=assets.KINDS["js"], headers=headers)
            headers |= {"content-encoding": "gzip", "vary": "accept-encoding"}
            return Response(gzipped_plotly(), media_type=assets.KINDS["js"], headers=headers)
        if name not in assets.files():
            raise HTTPException(404, f"there is no file {name}")
        return Response(assets.files()[name], media_type=assets.KINDS[name.rpartition(".")[2]], headers=headers)


def _answers(app: FastAPI, desk: Desk) -> None:
    @app.get("/api/studies")
    async def studies() -> Response:
        await asyncio.to_thread(desk.shelf.look)
        return JSONResponse(streams.listed(desk.shelf))

    @app.get("/api/studies/{name}")
    async def study(name: str) -> Response:
        feed = await desk.feed(name)
        await asyncio.to_thread(feed.look)
        return JSONResponse(await asyncio.to_thread(streams.picture, feed, desk.boot))

    @app.get("/api/studies/{name}/figures/{kind}")
    async def figures(name: str, kind: Kind, have: int = -1) -> Response:
        feed = await desk.feed(name)
        await asyncio.to_thread(feed.look)
        found = await desk.painter.figures(feed, kind)
        if found["revision"] == have:
            found = {"revision": have, "again_s": found["again_s"]}
        return JSONResponse(found)

    @app.get("/api/models")
    async def models() -> Response:
        return JSONResponse(await asyncio.to_thread(desk.parts.models))

    @app.post("/api/studies/{name}/control")
    async def control(name: str, wish: Wish) -> Response:
        feed = await desk.feed(name)
        try:
            found = await asyncio.to_thread(desk.parts.ask, feed.paths, wish.verb, wish.trial)
        except SweepError as error:
            return JSONResponse({"accepted": False, "answer": str(error)}, 409)
        return JSONResponse(found)


def _streams(app: FastAPI, desk: Desk) -> None:
    @app.get("/api/studies.stream")
    async def studies() -> Response:
        return _stream(streams.shelf_events(desk.shelf, desk.list))

    @app.get("/api/studies/{name}/stream")
    async def study(request: Request, name: str, mark: str = "") -> Response:
        feed = await desk.feed(name)
        # After a break the browser tells by itself what it had last.
        mark = request.headers.get("last-event-id", mark)
        return _stream(streams.study_events(feed, desk.watched(feed), desk.boot, mark))

    @app.get("/api/studies/{name}/trials/{number}/stream")
    async def trial(name: str, number: int, attempt: int | None = None) -> Response:
        feed = await desk.feed(name)
        return _stream(streams.trial_events(feed, desk.watched(feed), number, attempt))


def _stream(events: AsyncIterator[bytes]) -> Response:
    return StreamingResponse(events, media_type="text/event-stream")


async def _in_time(look: Callable[[], object]) -> bool:
    """Whether a look was done within what a page waits; it goes on after that."""
    task = asyncio.ensure_future(asyncio.to_thread(look))
    done: Iterable[object]
    done, _ = await asyncio.wait([task], timeout=PATIENCE_S)
    return bool(done)
