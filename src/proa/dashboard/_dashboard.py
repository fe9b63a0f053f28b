"""The page of a cluster, put together."""

import asyncio
import contextlib
import hashlib
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from proa import kube
from proa.app import http
from proa.dashboard._sessions import Sessions
from proa.dashboard._settings import DashboardSettings
from proa.dashboard._site import site
from proa.dashboard._view import View
from proa.kube import Client, Config
from proa.kube.models.authentication_v1 import SelfSubjectReview

__all__ = ("Dashboard",)

_OWN: Final = ""
_REVIEWS: Final = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_MOST_VIEWS: Final = 32


class Dashboard:
    """Serves the page of a cluster while its context is open.

    Args:
        settings: where to serve it.
        config: the cluster; its credentials are what the one-time link stands for.
    """

    def __init__(self, settings: DashboardSettings, config: Config) -> None:
        self.settings = settings
        self._config = config
        self._sessions: Sessions[str] = Sessions()
        self._views: dict[str, tuple[View, contextlib.AsyncExitStack]] = {}
        self._stack = contextlib.AsyncExitStack()
        self._server: http.Server

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            DashboardError: the certificate cannot be used.
            proa.app.http.AddressError: the address or port cannot be had.
        """
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._close_views)
            context = await asyncio.to_thread(self.settings.ssl_context)
            await self._open(_OWN, self._config, "you")
            application = await asyncio.to_thread(
                lambda: site(self, self._sessions, secure=context is not None)
            )
            listening = http.listen(
                application,
                host=self.settings.bind,
                port=self.settings.port,
                ssl_context=context,
                name="page of the cluster",
                shutdown_timeout=0.2,
            )
            self._server = await stack.enter_async_context(listening)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def url(self) -> str:
        """Where the page is."""
        return self._server.url

    def login_url(self) -> str:
        """Return a link that lets its first user in, as the one whose credentials this was started with.

        The secret stands after `#`: browsers send that to nobody, so that no log has it.
        """
        return f"{self.url}/#login={self._sessions.code(_OWN)}"

    async def of_token(self, token: str) -> str:
        """Return the identity that a token of the API stands for.

        Raises:
            proa.kube.KubeError: it stands for nobody, or the server is away.
        """
        config = replace(
            Config(server=self._config.server),
            ca_data=self._config.ca_data,
            insecure_skip_tls_verify=self._config.insecure_skip_tls_verify,
            tls_server_name=self._config.tls_server_name,
            proxy_url=self._config.proxy_url,
            token=token,
        )
        async with Client(config) as client:
            answer = await client.request_raw("POST", _REVIEWS, body=kube.encode(SelfSubjectReview()))
        user = kube.decode(answer.body, SelfSubjectReview).status.user_info.username
        identity = hashlib.sha256(token.encode()).hexdigest()
        if identity not in self._views:
            await self._open(identity, config, user or "somebody")
        return identity

    async def view(self, identity: str) -> View | None:
        """Return the cluster as an identity sees it; None where that is over."""
        view, _ = self._views.get(identity, (None, None))
        return view

    async def _open(self, identity: str, config: Config, name: str) -> None:
        await self._make_room()
        stack = contextlib.AsyncExitStack()
        view = await stack.enter_async_context(View(config, name))
        self._views[identity] = view, stack

    async def _make_room(self) -> None:
        """Of too many identities the oldest that nobody looks as goes; it has to sign in again."""
        idle = [each for each, (view, _) in self._views.items() if each != _OWN and view.idle]
        if len(self._views) >= _MOST_VIEWS and idle:
            _, stack = self._views.pop(idle[0])
            await stack.aclose()

    async def _close_views(self) -> None:
        views, self._views = self._views, {}
        for _, stack in views.values():
            await stack.aclose()
