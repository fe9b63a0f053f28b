"""What a server's answer means, and what it means that there is none."""

import contextlib
import ssl
from collections.abc import Iterator
from typing import Final

import aiohttp
from yarl import URL

from proa.bindle.errors import (
    AccessDeniedError,
    BindleError,
    InvoiceExistsError,
    ParcelExistsError,
    ServerError,
    ServerUnavailableError,
    UnauthorizedError,
    YankedError,
)
from proa.bindle.invoice import decode
from proa.bindle.wire import ErrorBody

__all__ = ("check", "unavailable_on_failure")

_ERROR_LIMIT: Final = 64 * 1024


async def check(
    response: aiohttp.ClientResponse, server: URL, *, missing: type[BindleError] | None = None
) -> None:
    """Raise what a status that is no success means.

    Args:
        response: the answer.
        server: who gave it, for messages.
        missing: what 404 means.
    """
    if response.status < 300:
        return
    told = _told(await response.content.read(_ERROR_LIMIT))
    message = f"{server}: {told or response.reason or response.status}"
    if response.status == 404 and missing is not None:
        raise missing(message)
    if response.status == 409:
        raise (ParcelExistsError if "@" in response.url.path else InvoiceExistsError)(message)
    if response.status == 403 and "yanked" in told:
        raise YankedError(message)
    if response.status == 401:
        raise UnauthorizedError(f"{server} does not know these credentials; log in again", 401)
    if response.status == 403:
        raise AccessDeniedError(f"{message}; log in, or ask for the right to do that", 403)
    if response.status in {408, 429, 500, 502, 503, 504}:
        raise ServerUnavailableError(message, response.status)
    raise ServerError(f"{message} (status {response.status})", response.status)


def _told(content: bytes) -> str:
    for form in ("toml", "json"):
        try:
            text = decode(content, "json" if form == "json" else "toml", ErrorBody).error
        except BindleError:
            continue
        # It is printed on a terminal: no escape sequence may pass.
        return "".join(c if c.isprintable() else " " for c in text[:500])
    return ""


@contextlib.contextmanager
def unavailable_on_failure(server: URL) -> Iterator[None]:
    """Turn whatever keeps an answer from coming into a `ServerUnavailableError`."""
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as error:
        raise ServerError(f"{server}: its certificate is not trusted: {error.certificate_error}") from None
    except (aiohttp.ClientError, ssl.SSLError, TimeoutError, ConnectionError) as error:
        reason = str(error) or type(error).__name__
        raise ServerUnavailableError(f"{server} gives no answer: {reason}") from None
