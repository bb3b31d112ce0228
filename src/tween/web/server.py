"""The page and what it asks for.

GET  /  /style.css  /page.js ...       the page: a table of files, nothing else is a file of the page
GET  /about                            limits, models
POST /jobs?name=clip.mp4               an upload: the body is the video
POST /jobs/<id>/plan|measure|render    JSON: the options; what will come, how long it takes, do it
POST /jobs/<id>/stop      DELETE /jobs/<id>
GET  /jobs/<id>/before|after|result    what the browser compares, and the download
WS   /watch                            all jobs, again whenever something changes
"""

from __future__ import annotations

import asyncio
import contextlib
import mimetypes
import time
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI, HTTPException, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, JSONResponse
from starlette.requests import ClientDisconnect

from ..errors import BadOption, MissingFile, TweenError
from .asked import MIMES
from .body import blocks, declared, object_in
from .camera import add_camera
from .child import Fault, Told
from .desk import OURS, Desk
from .guard import App, Guard
from .jobs import IDENTITY, Job
from .settings import Settings, said_bytes

PAGE: Final = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/job.js": ("job.js", "text/javascript; charset=utf-8"),
    "/compare.js": ("compare.js", "text/javascript; charset=utf-8"),
    "/camera.js": ("camera.js", "text/javascript; charset=utf-8"),
    "/words.js": ("words.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
STATUS: Final = {"TooSlow": 408, "TooMuch": 413, "DiskFull": 507, "MissingFile": 404, "Conflict": 409}  # others 422
VIDEO_TYPES: Final = ("video/", "image/", "application/octet-stream")
LONGEST_RANGE: Final = 48  # characters of one range
MOST_WATCHERS: Final = 32
PAUSE_S: Final = 0.1  # between two words to a watcher


def application(settings: Settings) -> App:
    """The whole, with the guard before it."""
    desk = Desk(settings)

    @contextlib.asynccontextmanager
    async def living(_: FastAPI) -> AsyncIterator[None]:
        await desk.open()
        yield
        await desk.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=living, redirect_slashes=False)
    app.state.desk = desk
    _tell_mistakes(app)
    _add_page(app, desk)
    _add_jobs(app, desk)
    _add_files(app, desk)
    _add_watch(app, desk)
    add_camera(app, settings.silence_s)
    return Guard(app, settings)


def _tell_mistakes(app: FastAPI) -> None:
    def told(status: int, words: str) -> JSONResponse:
        return JSONResponse({"error": words}, status, {"connection": "close"})

    @app.exception_handler(TweenError)
    async def ours(request: Request, error: TweenError) -> JSONResponse:  # noqa: ARG001
        kind = error.kind if isinstance(error, Told) else type(error).__name__
        return told(STATUS.get(kind, 422), str(error))

    @app.exception_handler(HTTPException)
    @app.exception_handler(404)
    @app.exception_handler(405)
    async def not_here(request: Request, error: Any) -> JSONResponse:  # noqa: ARG001
        return told(error.status_code, "there is nothing here")

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> JSONResponse:  # noqa: ARG001
        return told(400, "the connection broke off")

    @app.exception_handler(Fault)
    @app.exception_handler(Exception)  # its details are logged by whoever raised it, or by uvicorn
    async def fault(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001
        return told(500, OURS)


def _add_page(app: FastAPI, desk: Desk) -> None:
    folder = files(__package__) / "page"

    def served(name: str, kind: str) -> Any:
        async def give() -> Response:
            return Response((folder / name).read_bytes(), media_type=kind, headers={"cache-control": "no-cache"})

        return give

    for path, (name, kind) in PAGE.items():
        app.add_api_route(path, served(name, kind), methods=["GET", "HEAD"])

    @app.get("/about")
    async def about() -> dict[str, Any]:
        settings = desk.settings
        return {
            "max_upload": settings.max_upload,
            "max_upload_words": said_bytes(settings.max_upload),
            "keep_hours": round(settings.keep_s / 3600, 1),
            **desk.models,
        }


def _add_jobs(app: FastAPI, desk: Desk) -> None:
    silence_s = desk.settings.silence_s

    @app.post("/jobs")
    async def upload(request: Request) -> dict[str, Any]:
        kind = request.headers.get("content-type", "application/octet-stream").lower()
        if not kind.startswith(VIDEO_TYPES):
            raise BadOption(f"a body that is {kind[:40]}", "a video is needed")
        body = blocks(request, silence_s=silence_s)
        job = await desk.take_in(request.query_params.get("name", ""), declared(request), body)
        return shown(desk, job)

    @app.get("/jobs/{identity}")
    async def one(identity: str) -> dict[str, Any]:
        return shown(desk, _job(desk, identity))

    @app.post("/jobs/{identity}/plan")
    async def plan(identity: str, request: Request) -> dict[str, Any]:
        job = _job(desk, identity)
        return await desk.plan(job, await object_in(request, silence_s=silence_s))

    @app.post("/jobs/{identity}/measure")
    async def measure(identity: str, request: Request) -> dict[str, Any]:
        job = _job(desk, identity)
        return await desk.measure(job, await object_in(request, silence_s=silence_s))

    @app.post("/jobs/{identity}/render")
    async def render(identity: str, request: Request) -> dict[str, Any]:
        job = _job(desk, identity)
        await desk.render(job, await object_in(request, silence_s=silence_s))
        return shown(desk, job)

    @app.post("/jobs/{identity}/stop")
    async def stop(identity: str) -> dict[str, Any]:
        job = _job(desk, identity)
        await desk.stop(job)
        return shown(desk, job)

    @app.delete("/jobs/{identity}")
    async def remove(identity: str) -> dict[str, Any]:
        await desk.remove(_job(desk, identity))
        return {}


def _add_files(app: FastAPI, desk: Desk) -> None:
    def give(request: Request, path: Path, kind: str, name: str | None) -> Response:
        asked = request.headers.getlist("range")
        if any("," in text or len(text) > LONGEST_RANGE for text in asked) or len(asked) > 1:
            return Response(status_code=416)  # many small ranges of a large file cost more than they are worth
        if not path.is_file() or path.is_symlink():
            raise MissingFile("this file is not here", "it was removed, or was never made")
        headers = {"cache-control": "private, no-cache"}
        if name is not None:
            headers["content-disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
        return FileResponse(path, media_type=kind, headers=headers)

    @app.api_route("/jobs/{identity}/result", methods=["GET", "HEAD"])
    async def result(identity: str, request: Request) -> Response:
        job = _job(desk, identity)
        path = _made(desk, job, "output")
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return give(request, path, kind, job.outcome["name"])

    @app.api_route("/jobs/{identity}/{role}", methods=["GET", "HEAD"])
    async def compared(identity: str, role: str, request: Request) -> Response:
        if role not in ("before", "after"):
            raise HTTPException(404)
        path = _made(desk, _job(desk, identity), role)
        return give(request, path, MIMES.get(path.suffix, "video/mp4"), None)


def _add_watch(app: FastAPI, desk: Desk) -> None:
    watchers: set[WebSocket] = set()

    @app.websocket("/watch")
    async def watch(socket: WebSocket) -> None:
        if len(watchers) >= MOST_WATCHERS:
            await socket.close(1013)
            return
        await socket.accept()
        watchers.add(socket)
        listening = asyncio.create_task(_listen(socket))
        telling = asyncio.create_task(_keep_telling(socket, desk))
        try:
            await asyncio.wait({listening, telling}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watchers.discard(socket)
            for task in (listening, telling):
                task.cancel()
            await asyncio.gather(listening, telling, return_exceptions=True)
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await socket.close(1008)


async def _keep_telling(socket: WebSocket, desk: Desk) -> None:
    while True:
        changed = desk.jobs.changed
        await socket.send_json({"jobs": [shown(desk, job) for job in desk.jobs.all()]})
        await changed.wait()
        await asyncio.sleep(PAUSE_S)


async def _listen(socket: WebSocket) -> None:
    """A watcher says nothing: its first word, or its leaving, ends it."""
    await socket.receive()


def shown(desk: Desk, job: Job) -> dict[str, Any]:
    """A job as the page sees it: no path, nothing of the machine."""
    left = desk.settings.keep_s - (time.time() - job.touched)
    return {
        "id": job.id, "name": job.name, "state": job.state, "made": job.made, "bytes": job.bytes, "info": job.info,
        "options": job.options, "outcome": job.outcome, "status": job.status, "result": job.result, "error": job.error,
        "ahead": desk.place(job), "expires_s": round(max(0.0, left)),
    }  # fmt: skip


def _job(desk: Desk, identity: str) -> Job:
    if not IDENTITY.fullmatch(identity):
        raise HTTPException(404)
    return desk.jobs.get(identity)


def _made(desk: Desk, job: Job, role: str) -> Path:
    name = job.result.get(role) if job.state == "done" else None
    if not name:
        raise MissingFile("this file is not here", "it was removed, or was never made")
    return desk.jobs.folder(job) / Path(name).name
