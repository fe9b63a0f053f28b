"""Logging in with a server's identity provider: the device flow of RFC 8628, and the token that it gives."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from proa.bindle.client import BindleClient
from proa.bindle.errors import AccessDeniedError, InvalidInvoiceError, KeyFileError, ServerUnavailableError
from proa.bindle.invoice import decode, encode
from proa.bindle.keys import write_file
from proa.bindle.wire import DeviceAuthorization

__all__ = ("Token", "TokenFile", "login")

_EARLY: Final = 60.0
_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
_ANSWER_LIMIT: Final = 256 * 1024


class Token(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a login gave, as it is kept in a file.

    Attributes:
        id_token: what servers are shown.
        refresh_token: what a new one is got with.
        expires_at: Unix time in seconds.
        token_url: where to get a new one.
        client_id: as whom.
    """

    id_token: str
    refresh_token: str | None = None
    expires_at: int
    token_url: str
    client_id: str

    def __repr__(self) -> str:
        return f"Token(token_url={self.token_url!r}, expires_at={self.expires_at})"


class _Answer(msgspec.Struct):
    id_token: str | None = None
    refresh_token: str | None = None
    expires_in: int = 300
    error: str | None = None


async def login(
    client: BindleClient, show: Callable[[DeviceAuthorization], None], session: aiohttp.ClientSession
) -> Token:
    """Log in: show the user where to go and which code to type, and wait until that has been done.

    Raises:
        AccessDeniedError: the user or the provider refused, or the time is up.
        ServerUnavailableError: server or provider gave no usable answer.
    """
    begun = await client.begin_login()
    show(begun)
    interval = max(begun.interval, 1)
    form = {"grant_type": _GRANT, "device_code": begun.device_code, "client_id": begun.client_id}
    try:
        async with asyncio.timeout(begun.expires_in):
            while True:
                await asyncio.sleep(interval)
                answer = await _ask(session, begun.token_url, form)
                if answer.error is None:
                    return _token(answer, begun.token_url, begun.client_id)
                if answer.error == "slow_down":
                    interval += 5
                elif answer.error != "authorization_pending":
                    raise AccessDeniedError(f"the identity provider refused the login: {answer.error[:100]}")
    except TimeoutError:
        raise AccessDeniedError("nobody confirmed the login in time; begin again") from None


class TokenFile:
    """Credentials from a file that `login` filled; a token about to expire is exchanged first."""

    def __init__(
        self, path: Path, session: aiohttp.ClientSession, now: Callable[[], float] = time.time
    ) -> None:
        self._path = path
        self._session = session
        self._now = now
        self._token: Token | None = None
        self._refreshing = asyncio.Lock()

    async def header(self) -> str | None:
        """Return the header; None without a file.

        Raises:
            KeyFileError: the file makes no sense.
            AccessDeniedError: the token expired and can't be exchanged; log in again.
        """
        async with self._refreshing:
            if self._token is None:
                self._token = await asyncio.to_thread(self._load)
            if self._token is not None and self._token.expires_at - _EARLY < self._now():
                self._token = await self._refreshed(self._token)
                await self.save(self._token)
            return f"Bearer {self._token.id_token}" if self._token else None

    async def save(self, token: Token) -> None:
        """Keep a token."""
        self._token = token
        await asyncio.to_thread(write_file, self._path, encode(token), 0o600)

    def _load(self) -> Token | None:
        try:
            return decode(self._path.read_bytes(), "toml", Token)
        except FileNotFoundError:
            return None
        except (OSError, InvalidInvoiceError) as error:
            raise KeyFileError(f"{self._path} is no token file: {error}; log in again") from None

    async def _refreshed(self, token: Token) -> Token:
        if token.refresh_token is None:
            raise AccessDeniedError("the login has expired; log in again")
        form = {
            "grant_type": "refresh_token",
            "refresh_token": token.refresh_token,
            "client_id": token.client_id,
        }
        answer = await _ask(self._session, token.token_url, form)
        if answer.error is not None:
            raise AccessDeniedError(f"the login has expired ({answer.error[:100]}); log in again")
        fresh = _token(answer, token.token_url, token.client_id)
        return msgspec.structs.replace(fresh, refresh_token=fresh.refresh_token or token.refresh_token)


async def _ask(session: aiohttp.ClientSession, url: str, form: dict[str, str]) -> _Answer:
    try:
        async with session.post(url, data=form, timeout=aiohttp.ClientTimeout(total=30)) as response:
            content = await response.content.read(_ANSWER_LIMIT)
        if response.status not in {200, 400, 401}:
            raise ServerUnavailableError(f"the identity provider answered {response.status} at {url}")
        return msgspec.json.decode(content, type=_Answer)
    except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError, ValueError) as error:
        raise ServerUnavailableError(
            f"the identity provider gave no usable answer at {url}: {error}"
        ) from None


def _token(answer: _Answer, url: str, client_id: str) -> Token:
    if answer.id_token is None:
        raise AccessDeniedError("the identity provider gave no ID token; it must know the scope openid")
    return Token(
        id_token=answer.id_token,
        refresh_token=answer.refresh_token,
        expires_at=int(time.time()) + answer.expires_in,
        token_url=url,
        client_id=client_id,
    )
