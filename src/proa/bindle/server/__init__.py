"""A Bindle server, by the reference implementation's protocol and right where that is wrong.

`BindleServer` and `Trust` are all there is to use. Behind them: `_application` puts the server together,
`_handlers` are the endpoints, `_requests` reads what comes.
"""

import contextlib
import ssl
from typing import Self

from proa.app import Health, Metrics, http, logs
from proa.bindle.auth import Authenticator
from proa.bindle.server._application import make_application
from proa.bindle.server._handlers import Backend, Trust

__all__ = ("Backend", "BindleServer", "Trust")

log = logs.get_logger(__name__)


class BindleServer:
    """A server that listens while its context is open.

    Args:
        backend: where bindles are: an open `proa.bindle.storage.Storage` or `proa.bindle.proxy.Proxy`.
        trust: whom it trusts and as whom it signs.
        authenticator: who may write; reading needs no credentials.
        host: address to listen on.
        port: port to listen on; 0 picks a free one.
        ssl_context: serve HTTPS with it.
        health: gets no checks yet; one of its own by default.
        metrics: gets a histogram of requests; one of its own by default.

    Attributes:
        url: the base of the protocol, as `http://127.0.0.1:8080/v1/`.
        port: the port that it listens on.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        trust: Trust,
        authenticator: Authenticator,
        host: str = "127.0.0.1",
        port: int = 8080,
        ssl_context: ssl.SSLContext | None = None,
        health: Health | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._application = make_application(
            backend, trust, authenticator, health or Health(), metrics or Metrics()
        )
        self._host, self._port, self._ssl_context = host, port, ssl_context
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            PortInUseError: another program has the port.
        """
        self._server = await self._stack.enter_async_context(
            http.listen(
                self._application,
                host=self._host,
                port=self._port,
                ssl_context=self._ssl_context,
                name="bindle",
            )
        )
        log.info("bindle server listens", url=self.url)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def url(self) -> str:
        """The base of the protocol."""
        return f"{self._server.url}/v1/"

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._server.port
