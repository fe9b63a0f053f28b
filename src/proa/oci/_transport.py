"""One request to a registry: authorised, redirected safely, its failures named."""

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from typing import Final, TypeAlias

import aiohttp
import msgspec
from yarl import URL

from proa.oci._auth import Authenticator, Scope
from proa.oci.errors import RegistryError, RegistryUnavailableError, UnauthorizedError
from proa.oci.reference import DEFAULT_REGISTRY, is_loopback

__all__ = ("Body", "Transport", "check_status", "open_session", "plain", "read_limited", "redirect_target")

Body: TypeAlias = Callable[[], AsyncIterator[bytes]]
"""Makes the body of a request, anew for each time that it must be sent."""

_MAX_REDIRECTS: Final = 5
_READ_BUFFER: Final = 1024 * 1024
_HOSTS: Final = {DEFAULT_REGISTRY: "registry-1.docker.io"}


class Transport:
    """Sends requests to registries.

    Args:
        session: an open session; the caller closes it.
        authenticator: answers challenges.
        insecure_registries: hosts (with port, if any) that speak plain HTTP, beside this machine's own.
        timeout: seconds to wait for a connection and for each piece of an answer.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        authenticator: Authenticator,
        insecure_registries: Collection[str],
        timeout: float,
    ) -> None:
        self.timeout = timeout
        self._session = session
        self._authenticator = authenticator
        self._insecure = frozenset(insecure_registries)

    def base(self, registry: str) -> URL:
        """Return the address of `registry`: plain HTTP on this machine and for insecure registries, HTTPS
        otherwise.
        """
        scheme = "http" if is_loopback(registry) or registry in self._insecure else "https"
        return URL(f"{scheme}://{_HOSTS.get(registry, registry)}")

    @contextlib.asynccontextmanager
    async def request(
        self,
        method: str,
        target: str | URL,
        scope: Scope,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        deadline: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and yield its response, of whatever status.

        Args:
            method: HTTP method.
            target: an absolute URL, or a path below the registry's `/v2/`.
            scope: what the request is for.
            headers: sent along, to redirected places, too.
            body: makes the body.
            deadline: seconds for the whole exchange, reading the answer included.

        Raises:
            RegistryUnavailableError: no answer, or it broke off while the caller read it.
            UnauthorizedError: no token could be had.
        """
        base = self.base(scope.registry)
        url = target if isinstance(target, URL) else base.join(URL(f"/v2/{target}", encoded=True))
        with _network_errors(scope.registry, deadline or self.timeout):
            async with asyncio.timeout(deadline) as limit:
                body = _watched(body, limit, self.timeout) if body is not None else None
                async with await self._send(method, url, base, scope, dict(headers or {}), body) as response:
                    yield response

    async def _send(
        self, method: str, url: URL, base: URL, scope: Scope, headers: dict[str, str], body: Body | None
    ) -> aiohttp.ClientResponse:
        granted = self._authenticator.header(scope)
        response = await self._follow(method, url, base, _with(headers, granted), body)
        if response.status != 401 or response.url.origin() != base.origin():
            return response
        granted = await self._authenticator.answer(
            scope, base, response.headers.getall("WWW-Authenticate", [])
        )
        if granted is None:
            return response
        response.close()
        return await self._follow(method, url, base, _with(headers, granted), body)

    async def _follow(
        self, method: str, url: URL, base: URL, headers: dict[str, str], body: Body | None
    ) -> aiohttp.ClientResponse:
        for _ in range(_MAX_REDIRECTS + 1):
            if url.origin() != base.origin():
                headers = {key: value for key, value in headers.items() if key != "Authorization"}
            response = await self._session.request(
                method, url, headers=headers, data=body() if body else None, allow_redirects=False
            )
            if not _is_redirect(method, response.status):
                return response
            response.release()
            url = redirect_target(url, response.headers.get("Location", ""))
        raise RegistryError(f"{base.host} redirects in circles")


def open_session(timeout: float) -> aiohttp.ClientSession:
    """Return a session whose waits are bounded and that shows bytes exactly as they were sent."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeout, sock_read=timeout),
        connector=aiohttp.TCPConnector(limit_per_host=16),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        read_bufsize=_READ_BUFFER,
        headers={"Accept-Encoding": "identity", "User-Agent": "proa"},
    )


def redirect_target(url: URL, location: str) -> URL:
    """Return where a `Location` header seen at `url` leads.

    Raises:
        RegistryError: nowhere, or not to a web address.
    """
    try:
        target = url.join(URL(location, encoded=True)) if location else URL()
    except ValueError:
        target = URL()
    if target.scheme not in {"http", "https"} or not target.host:
        raise RegistryError(f"{url.host} sent us to {plain(location)!r}, which is no web address")
    return target


async def read_limited(response: aiohttp.ClientResponse, limit: int) -> bytes | None:
    """Return the body of `response`, or None if it is longer than `limit` bytes."""
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > limit:
            return None
    return bytes(content)


async def check_status(
    response: aiohttp.ClientResponse,
    scope: Scope,
    what: str,
    *,
    not_found: type[RegistryError] = RegistryError,
) -> None:
    """Raise the error that the status of `response` stands for, if it is none of success.

    Args:
        response: an answer.
        scope: what the request was for.
        what: the thing asked for, as the message should name it.
        not_found: the class to raise for 404.
    """
    status = response.status
    if status < 400:
        return
    detail = _explain(await read_limited(response, 64 * 1024) or b"") if response.method != "HEAD" else ""
    if status in {401, 403}:
        raise UnauthorizedError(
            f"{scope.registry} denies access to {what}: credentials missing or wrong{detail}"
        )
    if status == 404:
        raise not_found(f"{scope.registry} has no {what}")
    if status == 429 or status >= 500:
        raise RegistryUnavailableError(f"{scope.registry} answered {status} for {what}{detail}")
    raise RegistryError(f"{scope.registry} answered {status} for {what}{detail}")


def plain(text: str) -> str:
    """Return `text` from a stranger as one short line that can be shown."""
    return re.sub(r"[^\x20-\x7e]+", " ", text)[:200]


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Errors(msgspec.Struct):
    errors: list[_Error] = []


def _explain(content: bytes) -> str:
    try:
        errors = msgspec.json.decode(content, type=_Errors).errors
    except msgspec.DecodeError:
        return ""
    return f" ({plain(f'{errors[0].code}: {errors[0].message}')})" if errors else ""


def _with(headers: dict[str, str], authorization: str | None) -> dict[str, str]:
    return headers if authorization is None else headers | {"Authorization": authorization}


def _is_redirect(method: str, status: int) -> bool:
    # 301 to 303 let a client turn any method into GET; where that would change the meaning they are errors.
    return status in {307, 308} or (method in {"GET", "HEAD"} and status in {301, 302, 303})


def _watched(body: Body, limit: asyncio.Timeout, patience: float) -> Body:
    """Have `limit` fire when the registry takes nothing of `body` for `patience` seconds."""
    loop = asyncio.get_running_loop()

    async def pieces() -> AsyncIterator[bytes]:
        async for piece in body():
            limit.reschedule(loop.time() + patience)
            yield piece
        limit.reschedule(None)

    return pieces


@contextlib.contextmanager
def _network_errors(registry: str, timeout: float) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise RegistryUnavailableError(
            f"registry {registry} did not answer in time ({timeout:g} s)"
        ) from error
    except aiohttp.ClientError as error:
        raise RegistryUnavailableError(f"registry {registry} {_reason(error)}") from error


def _reason(error: aiohttp.ClientError) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "has no address: no such host, or DNS is not working"
        case aiohttp.ClientConnectorCertificateError():
            return f"has no certificate to trust: {plain(str(error.certificate_error))}"
        case aiohttp.ClientSSLError():
            return "does not speak TLS as it should: if it speaks plain HTTP, declare it insecure"
        case aiohttp.ClientConnectorError():
            errno = error.os_error.errno
            return f"can't be reached: {os.strerror(errno) if errno else 'it closed the connection'}"
        case aiohttp.ClientPayloadError() | aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return "broke the connection off"
        case _:
            return f"gave no valid answer: {plain(str(error))}"
