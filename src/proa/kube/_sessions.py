"""aiohttp's sessions for one identity: how connections are made, and what aiohttp raises in our words."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from proa.kube._tls import expired
from proa.kube.config import Config
from proa.kube.core.response import Response
from proa.kube.errors import ConnectError, RequestTimeoutError, TlsError, TransportError

CHUNK = 2**18


class RefusedError(Exception):
    """A server's answer to a request for a WebSocket that is none."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class Sessions:
    """Connections that were made with one client certificate, for as long as somebody uses them."""

    def __init__(self, tls: ssl.SSLContext | None, proxy: str | None, user_agent: str) -> None:
        self._tls, self._socks = tls, proxy if proxy and proxy.startswith("socks") else None
        self._headers = {"User-Agent": user_agent}
        self._users = 0
        self._retired = False
        # Streams last: sharing a bounded pool with them, requests would wait for ever.
        self.requests = self._session(self._connector(100))
        shared = self._connector(0)
        self.streams = self._session(shared)
        self.sockets = self._session(shared, connector_owner=False, raise_for_status=_not_switched)

    @contextmanager
    def used(self) -> Iterator[Sessions]:
        """Keep the connections for a while, even if others have taken their place."""
        self._users += 1
        try:
            yield self
        finally:
            self._users -= 1

    async def retire(self) -> bool:
        """Close them if nobody uses them; returns whether that was so."""
        if self._users:
            return False
        await self.close()
        return True

    async def close(self) -> None:
        """Close all connections."""
        for session in (self.sockets, self.requests, self.streams):
            await session.close()

    def _session(self, connector: aiohttp.BaseConnector, **options: Any) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=CHUNK,
            **options,
        )

    def _connector(self, connections: int) -> aiohttp.BaseConnector:
        trust = self._tls or True
        if self._socks:
            from aiohttp_socks import ProxyConnector

            # The `h` says that the proxy looks up names; that is what we always have it do.
            url = self._socks.replace("socks5h://", "socks5://", 1)
            return ProxyConnector.from_url(url, rdns=True, limit=connections, ssl=trust)
        return aiohttp.TCPConnector(limit=connections, ssl=trust, socket_factory=_kept_alive)


@contextmanager
def translated(config: Config, what: str, slow: str) -> Iterator[None]:
    """Raise what aiohttp raises as errors of this package.

    Args:
        config: where the server is.
        what: the request, for messages.
        slow: what it means if time runs out.
    """
    try:
        yield
    except (ssl.SSLError, aiohttp.ClientSSLError, aiohttp.ClientConnectorCertificateError) as error:
        raise _tls_error(config, error) from error
    except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
        raise ConnectError(f"cannot connect to {config.server}: {_reason(error)}") from error
    except aiohttp.ClientHttpProxyError as error:
        raise ConnectError(
            f"the proxy refused to connect to {config.server}: {error.status} {error.message}"
        ) from error
    except TimeoutError as error:
        raise RequestTimeoutError(f"{what}: {slow}") from error
    except (aiohttp.ClientError, OSError) as error:
        # A server that refuses our certificate may say so only by closing the connection (TLS 1.3).
        if isinstance(error.__cause__, ssl.SSLError) or expired(config.client_certificate_data):
            raise _tls_error(config, error.__cause__ or error) from error
        raise TransportError(f"{what}: the connection broke: {_reason(error)}") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in {"python_socks", "aiohttp_socks"}:
            raise
        raise ConnectError(
            f"cannot connect to {config.server} through the proxy {_shown(config.proxy_url)}: {error}"
        ) from error


def _tls_error(config: Config, error: BaseException) -> TlsError:
    hint = expired(config.client_certificate_data)
    return TlsError(f"cannot connect to {config.server}: {hint or _reason(error)}")


def _shown(url: str | None) -> str:
    """Return a URL without the password in it."""
    parts = urlsplit(url or "")
    return f"{parts.scheme}://{parts.hostname}:{parts.port or ''}".rstrip(":")


async def _not_switched(answer: aiohttp.ClientResponse) -> None:
    if answer.status != 101:
        raise RefusedError(Response(answer.status, lowered(answer), await answer.read()))


def _kept_alive(address: Any) -> socket.socket:
    """Make a socket that notices a vanished peer, for streams that may rightly be silent for hours."""
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return made


def lowered(answer: aiohttp.ClientResponse) -> dict[str, str]:
    """Return the headers with names in lower case; one that comes several times is joined by commas."""
    found: dict[str, str] = {}
    for name, value in answer.headers.items():
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def _reason(error: BaseException) -> str:
    """Say in a few words why a connection failed."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        error = error.certificate_error
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message or str(error)
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    if isinstance(error, TimeoutError):
        return "no connection in time"
    return str(error) or type(error).__name__
