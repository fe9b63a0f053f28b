"""The page's routes: files of the page for everybody, the cluster for those with a session."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from importlib import resources
from typing import Final, Protocol

import msgspec
from aiohttp import web

from proa.dashboard._life import DRAWINGS, drawing
from proa.dashboard._sessions import Pass, Sessions
from proa.dashboard._summaries import KINDS
from proa.dashboard._view import View, encode
from proa.kube import Api, ApiError, KubeError
from proa.kube.models.core_v1 import Pod

__all__ = ("Identities", "site")

_KEY: Final = "Proa-Key"
_MOST_BODY: Final = 16 * 1024
_TAIL: Final = 1_000
_HEARTBEAT: Final = 15.0
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_FILES: Final = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "model.js": "text/javascript",
    "parts.js": "text/javascript",
    "pod.js": "text/javascript",
    "login.js": "text/javascript",
    "asking.js": "text/javascript",
    "services.js": "text/javascript",
    "tables.js": "text/javascript",
}
_PAGE: Final = resources.files("proa.dashboard").joinpath("page")


class Identities(Protocol):
    """Whom the page can be looked at as."""

    async def of_token(self, token: str) -> str:
        """Return the identity that a token of the API stands for; raises `KubeError` where it is none."""
        ...

    async def view(self, identity: str) -> View | None:
        """Return the cluster as an identity sees it; None where that is over."""
        ...


class Login(msgspec.Struct, forbid_unknown_fields=True):
    """What somebody shows to be let in: a one-time code, or a token of the API."""

    code: str = ""
    token: str = ""


@dataclass(frozen=True)
class _Site:
    identities: Identities
    sessions: Sessions[str]
    secure: bool

    @property
    def cookie(self) -> str:
        # With the prefix, browsers take it only over TLS and for this host alone.
        return "__Host-proa" if self.secure else "proa"

    async def log_in(self, request: web.Request) -> web.Response:
        """Open a session."""
        _same_origin(request)
        try:
            login = msgspec.json.decode(await request.read(), type=Login)
        except msgspec.MsgspecError:
            raise web.HTTPBadRequest(text="expected JSON with a code or a token") from None
        if login.code:
            identity = self.sessions.redeem(login.code)
            if identity is None:
                raise web.HTTPForbidden(text="This link was used already, or is too old.")
        else:
            try:
                identity = await self.identities.of_token(login.token)
            except ApiError as error:
                raise web.HTTPForbidden(text=f"The cluster refuses that token: {error}") from None
            except KubeError as error:
                raise web.HTTPBadGateway(text=str(error)) from None
        made = self.sessions.open(identity)
        response = web.json_response({"key": made.key})
        response.set_cookie(
            self.cookie,
            made.cookie,
            path="/",
            secure=self.secure,
            httponly=True,
            samesite="Strict",
        )
        return response

    async def log_out(self, request: web.Request) -> web.Response:
        """End the session."""
        _same_origin(request)
        self.sessions.close(self.shown(request))
        response = web.Response(status=204)
        response.del_cookie(self.cookie, path="/", secure=self.secure, httponly=True, samesite="Strict")
        return response

    def shown(self, request: web.Request) -> Pass:
        """Return what a browser shows."""
        return Pass(request.cookies.get(self.cookie, ""), request.headers.get(_KEY, ""))

    async def view(self, request: web.Request) -> View:
        """Return what the session may see.

        Raises:
            web.HTTPUnauthorized: there is no session, or its identity is not good any more.
        """
        identity = self.sessions.find(self.shown(request))
        view = None if identity is None else await self.identities.view(identity)
        if view is None or view.refused:
            raise web.HTTPUnauthorized(text="sign in first")
        return view

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Tell everything that there is, and then what changes, as lines of JSON."""
        view = await self.view(request)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        hello = {
            "user": view.name,
            "server": view.client.config.server,
            "now": time.time(),
            "kinds": len(KINDS),
        }
        with contextlib.suppress(ConnectionError):
            async with view.stream() as stream:
                await response.write(encode([("cluster", "", hello)]))
                while not view.refused:
                    try:
                        async with asyncio.timeout(_HEARTBEAT):
                            changes = await stream.next()
                    except TimeoutError:
                        await response.write(b"[]\n")
                        continue
                    await response.write(encode(changes))
        return response

    async def logs(self, request: web.Request) -> web.StreamResponse:
        """Pass on a container's log, and follow it."""
        view, query = await self.view(request), request.query
        pods = Api(view.client, Pod, namespace=query.get("namespace", "default"))
        lines = pods.logs(
            query.get("pod", ""),
            container=query.get("container") or None,
            previous=query.get("previous") == "true",
            follow=query.get("previous") != "true",
            tail_lines=_TAIL,
        )
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        async with aclosing(lines):
            try:
                first = await anext(lines, None)
            except KubeError as error:
                raise web.HTTPBadGateway(text=str(error)) from None
            await response.prepare(request)
            with contextlib.suppress(ConnectionError, KubeError):
                if first is not None:
                    await response.write(first + b"\n")
                async for line in lines:
                    await response.write(line + b"\n")
        return response

    async def usage(self, request: web.Request) -> web.Response:
        """Return what a node or pod used in the last hour."""
        view = await self.view(request)
        return web.json_response(view.usage.history.of(request.query.get("of", "")))

    async def drawing(self, request: web.Request) -> web.Response:
        """Return the drawing of a machine."""
        name = request.match_info["name"]
        if name not in DRAWINGS:
            raise web.HTTPNotFound
        return web.Response(text=await asyncio.to_thread(drawing, name), content_type="image/svg+xml")


def _same_origin(request: web.Request) -> None:
    """Refuse what another site makes a browser send; a cookie of ours would not come with it anyway."""
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("//")[2] != request.host:
        raise web.HTTPForbidden(text="this request comes from another site")
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="expected application/json")


def site(identities: Identities, sessions: Sessions[str], *, secure: bool) -> web.Application:
    """Put the site together."""
    own = _Site(identities, sessions, secure)
    application = web.Application(client_max_size=_MOST_BODY)
    application.on_response_prepare.append(_harden)
    router = application.router
    router.add_get("/", _file("index.html", "text/html"))
    for name, kind in _FILES.items():
        router.add_get(f"/{name}", _file(name, kind))
    router.add_post("/session", own.log_in)
    router.add_delete("/session", own.log_out)
    router.add_get("/stream", own.stream, allow_head=False)
    router.add_get("/logs", own.logs, allow_head=False)
    router.add_get("/usage", own.usage)
    router.add_get("/drawings/{name}.svg", own.drawing)
    return application


def _file(name: str, kind: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    content = _PAGE.joinpath(name).read_bytes()

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=content, content_type=kind, charset="utf-8")

    return answer


async def _harden(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
