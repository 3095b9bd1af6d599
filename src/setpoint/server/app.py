"""The web application: a page, its two files, and the views as JSON. Every address begins with a secret token.

Only GET and HEAD are answered, only for a host of the loopback interface, and everything that is shown comes as JSON
that the page inserts as text. Reports are pages of their own, in a sandbox without an origin.
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from setpoint.artifacts import Workspace
from setpoint.errors import InputError
from setpoint.regular_files import read_regular
from setpoint.reports.files import REPORTS
from setpoint.server import views

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

HOST = "127.0.0.1"
_HOSTS = (HOST, "localhost")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_REPORT_POLICY = "sandbox allow-scripts allow-downloads; frame-ancestors 'none'"
_TYPES = {"page.css": "text/css", "page.js": "text/javascript"}
_Answer = Callable[["Request"], Awaitable["Response"]]


def new_token() -> str:
    """Return a token that cannot be guessed."""
    return secrets.token_urlsafe(24)


def make_app(workspace: Workspace, token: str) -> "Starlette":
    """Return the application.

    Raises:
        ModuleNotFoundError: the package starlette is not installed.
    """
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    def view(function: Callable[..., Any]) -> _Answer:
        async def answer(request: Request) -> Response:
            names = [request.path_params[name] for name in ("experiment", "run") if name in request.path_params]
            try:
                return JSONResponse(views.finite(await run_in_threadpool(function, workspace, *names)))
            except (InputError, OSError) as error:
                return JSONResponse({"error": str(error)}, status_code=404)

        return answer

    async def page(request: Request) -> Response:
        return Response(_file("page.html"), media_type="text/html")

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        known = name in _TYPES
        return Response(_file(name), media_type=_TYPES[name]) if known else Response("not found", status_code=404)

    async def report(request: Request) -> Response:
        try:
            path = workspace.experiment(request.path_params["experiment"]) / REPORTS / "report.html"
            content = await run_in_threadpool(read_regular, path, links=False)
        except (InputError, OSError):
            return Response("no report yet", status_code=404)
        return Response(content, media_type="text/html", headers={"Content-Security-Policy": _REPORT_POLICY})

    routes: Mapping[str, _Answer] = {
        "/": page,
        "/files/{name}": asset,
        "/api/experiments": view(views.experiments),
        "/api/experiments/{experiment}": view(views.experiment),
        "/api/experiments/{experiment}/runs/{run}": view(views.run),
        "/reports/{experiment}": report,
    }
    app = Starlette(routes=[Route(f"/{token}{path}", answer, methods=["GET"]) for path, answer in routes.items()])
    app.add_middleware(_Guard)
    return app


class _Guard:
    """Refuse other hosts and methods, and add headers to every answer."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from starlette.datastructures import Headers, MutableHeaders
        from starlette.responses import PlainTextResponse

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._app
        if scope["type"] == "http":
            if Headers(scope=scope).get("host", "").rpartition(":")[0] not in _HOSTS:
                answer = PlainTextResponse("this server answers on the loopback interface only", status_code=403)
            elif scope["method"] not in {"GET", "HEAD"}:
                answer = PlainTextResponse("this server only reads", status_code=405)
        await answer(scope, receive, with_headers)


def _file(name: str) -> str:
    return (files("setpoint.server") / "page" / name).read_text(encoding="utf-8")
