"""Who is it? Basic with an htpasswd file, OpenID Connect tokens, or nobody in particular."""

import asyncio
import base64
import binascii
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from proa.bindle.errors import BindleError, ServerUnavailableError, UnauthorizedError
from proa.bindle.wire import DeviceAuthorization

if TYPE_CHECKING:
    import aiohttp

__all__ = ("Authenticator", "Everyone", "Htpasswd", "OpenIdConnect", "parse_htpasswd")

_ALGORITHMS: Final = ("RS256", "RS384", "RS512")
_SCOPES: Final = "openid profile email offline_access"
_TRUSTED_FOR: Final = 300.0
_DOCUMENT_LIMIT: Final = 1024 * 1024


class Authenticator(Protocol):
    """Turns an `Authorization` header into a principal."""

    open: bool
    """Whether principals do not matter: everybody may do everything."""

    async def principal(self, authorization: str | None) -> str | None:
        """Return who it is, None for somebody without credentials.

        Raises:
            UnauthorizedError: the credentials are wrong.
        """
        ...

    async def device_authorization(self) -> DeviceAuthorization | None:
        """Begin a login, None where this kind has none."""
        ...


class Everyone:
    """Asks nobody who they are. For loopback and tests."""

    open = True

    async def principal(self, authorization: str | None) -> str | None:
        """Return None."""
        del authorization
        return None

    async def device_authorization(self) -> DeviceAuthorization | None:
        """Return None."""


def parse_htpasswd(text: str) -> dict[str, bytes]:
    """Read an htpasswd file whose passwords are hashed with bcrypt (`htpasswd -B`).

    Raises:
        BindleError: a line is something else; gives its number and never its content.
    """
    users: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        user, colon, hashed = line.strip().partition(":")
        if not (user and colon and hashed.startswith(("$2y$", "$2b$", "$2a$"))):
            raise BindleError(
                f"htpasswd, line {number}: expected USER:HASH by bcrypt, as `htpasswd -B` writes"
            )
        users[user] = hashed.encode()
    return users


class Htpasswd:
    """Basic authentication.

    Passwords are checked in a thread, few at a time, as bcrypt is slow by intent; who was let in is known
    again for five minutes (as a keyed hash of the header, not as the password).
    """

    open = False

    def __init__(self, users: Mapping[str, bytes], clock: Callable[[], float] = time.monotonic) -> None:
        self._users = users
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._known: dict[bytes, tuple[float, str]] = {}
        self._slots = asyncio.Semaphore(2)
        self._dummy: bytes | None = None

    @classmethod
    def load(cls, path: Path) -> "Htpasswd":
        """Read a file. Blocks.

        Raises:
            BindleError: it can't be read or holds something else.
        """
        try:
            return cls(parse_htpasswd(path.read_text()))
        except (OSError, UnicodeDecodeError) as error:
            raise BindleError(f"can't read {path}: {getattr(error, 'strerror', None) or error}") from None

    async def principal(self, authorization: str | None) -> str | None:
        """Return the user's name; see `Authenticator`."""
        if authorization is None:
            return None
        fingerprint = hashlib.blake2b(authorization.encode(errors="replace"), key=self._key).digest()
        until, user = self._known.get(fingerprint, (0.0, ""))
        if until > self._clock():
            return user
        user, password = _basic(authorization)
        async with self._slots:
            right = await asyncio.to_thread(self._check, user, password)
        if not right:
            raise UnauthorizedError("unauthorized")
        if len(self._known) >= 1000:
            self._known.clear()
        self._known[fingerprint] = (self._clock() + _TRUSTED_FOR, user)
        return user

    async def device_authorization(self) -> DeviceAuthorization | None:
        """Return None."""

    def _check(self, user: str, password: bytes) -> bool:
        import bcrypt

        if self._dummy is None:
            self._dummy = bcrypt.hashpw(b"", bcrypt.gensalt(10))
        # The same work for a user that does not exist: how long it takes tells nobody anything.
        hashed = self._users.get(user, self._dummy)
        # bcrypt looks at 72 bytes; the library refuses more.
        return bcrypt.checkpw(password[:72], hashed) and user in self._users


def _basic(authorization: str) -> tuple[str, bytes]:
    scheme, _, encoded = authorization.partition(" ")
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        if scheme.lower() == "basic" and colon and b"\0" not in password:
            return user.decode(), password
    except (binascii.Error, ValueError):
        pass
    raise UnauthorizedError("unauthorized")


class _Discovery(msgspec.Struct):
    issuer: str
    jwks_uri: str
    token_endpoint: str | None = None
    device_authorization_endpoint: str | None = None


class OpenIdConnect:
    """Bearer tokens of an OpenID Connect provider: ID tokens signed with RS256, RS384 or RS512.

    A token must be by the issuer, for the client, and neither expired nor from the future. The provider's
    keys are fetched when a token names one that is not known, at most once a minute.

    Args:
        session: what asks the provider.
        issuer: the provider's URL, exactly as its tokens have it.
        client_id: who tokens must be for.
        device_url: where logins begin; what the provider's discovery document says by default.
    """

    open = False

    def __init__(
        self,
        session: "aiohttp.ClientSession",
        *,
        issuer: str,
        client_id: str,
        device_url: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._issuer = issuer
        self._client_id = client_id
        self._device_url = device_url
        self._clock = clock
        self._keys: dict[str, Any] = {}
        self._fetched = float("-inf")
        self._fetching = asyncio.Lock()

    async def principal(self, authorization: str | None) -> str | None:
        """Return `NAME@ISSUER` of the token; see `Authenticator`.

        NAME is the preferred user name, else a verified mail address, else the subject.
        """
        if authorization is None:
            return None
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise UnauthorizedError("unauthorized")
        claims = await self._claims(token.strip())
        mail = claims.get("email") if claims.get("email_verified") is True else None
        name = claims.get("preferred_username") or mail or claims.get("sub")
        if not isinstance(name, str):
            raise UnauthorizedError("unauthorized")
        return f"{name}@{self._issuer}"

    async def device_authorization(self) -> DeviceAuthorization | None:
        """Ask the provider to let somebody log in on another device (RFC 8628).

        Raises:
            ServerUnavailableError: the provider gave no usable answer.
        """
        discovered = await self._discover()
        url = self._device_url or discovered.device_authorization_endpoint
        if url is None or discovered.token_endpoint is None:
            raise ServerUnavailableError(f"{self._issuer} offers no login by device")
        form = {"client_id": self._client_id, "scope": _SCOPES}
        answer = msgspec.json.decode(await self._ask("POST", url, form))
        try:
            body = {"client_id": self._client_id, "token_url": discovered.token_endpoint}
            return msgspec.convert({"interval": 5, **answer, **body}, DeviceAuthorization)
        except (TypeError, msgspec.ValidationError) as error:
            raise ServerUnavailableError(f"{url} gave no usable answer: {error}") from None

    async def _claims(self, token: str) -> dict[str, Any]:
        import jwt

        try:
            header = jwt.get_unverified_header(token)
            key = await self._key(str(header.get("kid", "")))
            return jwt.decode(
                token,
                key,
                algorithms=_ALGORITHMS,
                audience=self._client_id,
                issuer=self._issuer,
                leeway=5,
                options={"require": ["exp", "iss", "aud"]},
            )
        except (jwt.PyJWTError, ValueError):
            raise UnauthorizedError("unauthorized") from None

    async def _key(self, key_id: str) -> Any:
        if key_id not in self._keys:
            await self._fetch_keys()
        if key_id not in self._keys:
            raise UnauthorizedError("unauthorized")
        return self._keys[key_id]

    async def _fetch_keys(self) -> None:
        import jwt

        async with self._fetching:
            if self._clock() - self._fetched < 60.0:
                return
            discovered = await self._discover()
            content = await self._ask("GET", discovered.jwks_uri)
            try:
                keys = jwt.PyJWKSet.from_dict(msgspec.json.decode(content)).keys
            except (jwt.PyJWTError, msgspec.DecodeError, AttributeError, TypeError) as error:
                raise ServerUnavailableError(f"{discovered.jwks_uri} gave no usable keys: {error}") from None
            self._keys = {key.key_id or "": key for key in keys}
            self._fetched = self._clock()

    async def _discover(self) -> _Discovery:
        url = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            found = msgspec.json.decode(await self._ask("GET", url), type=_Discovery)
        except msgspec.DecodeError as error:
            raise ServerUnavailableError(f"{url} is no provider's description: {error}") from None
        if found.issuer != self._issuer:
            raise ServerUnavailableError(f"{url} describes another issuer: {found.issuer[:200]!r}")
        return found

    async def _ask(self, method: str, url: str, form: Mapping[str, str] | None = None) -> bytes:
        import aiohttp

        try:
            async with self._session.request(
                method, url, data=form, timeout=aiohttp.ClientTimeout(total=10), allow_redirects=False
            ) as response:
                content = await response.content.read(_DOCUMENT_LIMIT)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise ServerUnavailableError(
                f"the identity provider at {url} can't be reached: {error}"
            ) from None
        if response.status != 200:
            raise ServerUnavailableError(f"the identity provider answered {response.status} at {url}")
        return content
