"""Helpers for tests of whatever stores and fetches bindles: a server of your own, and bindles to put there.

Usage::

    async with running_server(tmp_path) as server, BindleClient(server.url) as client:
        invoice = server.signed("example.com/hello/1.0.0", {"hello.txt": b"hello"})
        await client.create_invoice(invoice)
"""

import contextlib
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from aiohttp import web

from proa.app import http
from proa.bindle.auth import Authenticator, Everyone
from proa.bindle.invoice import Bindle, Id, Invoice, Label, Parcel
from proa.bindle.keys import Keyring, SecretKey, SecretKeys
from proa.bindle.server import BindleServer, Trust
from proa.bindle.signing import Strategy, sign
from proa.bindle.storage import Quota, Storage

__all__ = (
    "SCAFFOLDS",
    "IdentityProvider",
    "RunningServer",
    "make_invoice",
    "make_label",
    "running_provider",
    "running_server",
    "scaffold",
)


def make_label(name: str, content: bytes, media_type: str = "text/plain") -> Label:
    """Return the label of a content."""
    return Label(
        sha256=hashlib.sha256(content).hexdigest(), media_type=media_type, name=name, size=len(content)
    )


def make_invoice(bindle: str, contents: Mapping[str, bytes]) -> Invoice:
    """Return an unsigned invoice of parcels by name."""
    parsed = Id.parse(bindle)
    return Invoice(
        bindle_version="1.0.0",
        bindle=Bindle(name=parsed.name, version=parsed.version),
        parcels=[Parcel(label=make_label(name, content)) for name, content in contents.items()],
    )


SCAFFOLDS: Final[Mapping[str, tuple[str, Mapping[str, bytes]]]] = {
    "valid_v1": ("enterprise.com/warpcore/1.0.0", {"red": b"a red one"}),
    "valid_v2": ("enterprise.com/warpcore/2.0.0", {"red": b"a red one", "green": b"a green one"}),
    "lotsa_parcels": (
        "enterprise.com/cargobay/1.0.0",
        {"red": b"a red one", "barrel": b"rolls on a deck", "crate": b"stands on deck"},
    ),
    "incomplete": ("enterprise.com/bridge/1.0.0", {}),
    "invalid": ("enterprise.com/holodeck/1.0.0", {"red": b"a red one"}),
}
"""Ids and parcels like those of the reference implementation's scaffolds; `invalid` has a wrong digest."""


def scaffold(name: str, key: SecretKey) -> Invoice:
    """Return a scaffold's invoice, signed by its creator."""
    bindle, contents = SCAFFOLDS[name]
    invoice = make_invoice(bindle, contents)
    if name == "invalid":
        labels = [msgspec.structs.replace(label, sha256="0" * 64) for label in invoice.labels]
        invoice = msgspec.structs.replace(invoice, parcels=[Parcel(label=label) for label in labels])
    return sign(invoice, key, "creator", 1_600_000_000)


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that runs in this process.

    Attributes:
        url: the base of the protocol.
        storage: what it serves.
        creator: a key that it trusts.
        host: the key that it signs with.
    """

    url: str
    storage: Storage
    creator: SecretKey
    host: SecretKey

    def signed(self, bindle: str, contents: Mapping[str, bytes]) -> Invoice:
        """Return an invoice of parcels by name that the server accepts."""
        return sign(make_invoice(bindle, contents), self.creator, "creator", 1_600_000_000)


@contextlib.asynccontextmanager
async def running_server(
    directory: Path,
    *,
    kind: Literal["files", "sqlite"] = "files",
    authenticator: Authenticator | None = None,
    quota: Quota | None = None,
) -> AsyncIterator[RunningServer]:
    """Run a server on a free port of loopback that keeps its state in `directory`."""
    creator = SecretKey.generate("Creator <creator@example.com>", ["creator"])
    host = SecretKey.generate("Test host", ["host"])
    trust = Trust(
        keyring=Keyring.of(creator.public(), host.public()),
        strategy=Strategy(),
        secret_keys=SecretKeys.of(host),
    )
    async with (
        Storage(directory, kind=kind, quota=quota) as storage,
        BindleServer(storage, trust=trust, authenticator=authenticator or Everyone(), port=0) as server,
    ):
        yield RunningServer(server.url, storage, creator, host)


class IdentityProvider:
    """An OpenID Connect provider with the device flow, as small as it can be.

    Attributes:
        url: the issuer.
        client_id: whom its tokens are for.
        requests: the paths that were asked for, in order.
        interval: seconds that it asks clients to wait between two polls.
    """

    def __init__(self) -> None:
        self.url = ""
        self.client_id = "bindle"
        self.requests: list[str] = []
        self.interval = 1
        self._approved: dict[str, str | None] = {}
        self._refreshes: dict[str, str] = {}
        self.rotate()

    def rotate(self) -> None:
        """Sign with a new key from now on."""
        from cryptography.hazmat.primitives.asymmetric import rsa

        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.key_id = secrets.token_hex(4)

    def token(self, subject: str, **claims: object) -> str:
        """Return an ID token; claims replace what it would say."""
        import jwt

        now = int(time.time())
        body: dict[str, object] = {"iss": self.url, "aud": self.client_id, "sub": subject}
        body |= {"iat": now, "nbf": now, "exp": now + 300} | claims
        return jwt.encode(body, self.key, algorithm="RS256", headers={"kid": self.key_id})

    def approve(self, user_code: str, subject: str) -> None:
        """Do what the user does in a browser."""
        self._approved[user_code] = subject

    def application(self) -> web.Application:
        """Return the provider's endpoints."""
        application = web.Application()
        application.router.add_get("/.well-known/openid-configuration", self._discovery)
        application.router.add_get("/keys", self._keys)
        application.router.add_post("/device", self._device)
        application.router.add_post("/token", self._token)
        return application

    async def _discovery(self, request: web.Request) -> web.Response:
        self.requests.append(request.path)
        return web.json_response(
            {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/keys",
                "token_endpoint": f"{self.url}/token",
                "device_authorization_endpoint": f"{self.url}/device",
            }
        )

    async def _keys(self, request: web.Request) -> web.Response:
        import jwt

        self.requests.append(request.path)
        key: dict[str, Any] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return web.json_response({"keys": [key | {"kid": self.key_id, "alg": "RS256", "use": "sig"}]})

    async def _device(self, request: web.Request) -> web.Response:
        self.requests.append(request.path)
        code = secrets.token_hex(4)
        self._approved[code] = None
        return web.json_response(
            {
                "device_code": code,
                "user_code": code,
                "verification_uri": f"{self.url}/activate",
                "expires_in": 60,
                "interval": self.interval,
            }
        )

    async def _token(self, request: web.Request) -> web.Response:
        self.requests.append(request.path)
        form = await request.post()
        refresh = str(form.get("refresh_token", ""))
        subject = self._refreshes.pop(refresh, None) or self._approved.get(str(form.get("device_code", "")))
        if subject is None:
            error = "invalid_grant" if refresh else "authorization_pending"
            return web.json_response({"error": error}, status=400)
        self._refreshes[renewed := secrets.token_hex(8)] = subject
        token = {"id_token": self.token(subject), "refresh_token": renewed, "expires_in": 300}
        return web.json_response(token)


@contextlib.asynccontextmanager
async def running_provider() -> AsyncIterator[IdentityProvider]:
    """Run an identity provider on a free port of loopback."""
    provider = IdentityProvider()
    async with http.listen(provider.application(), name="identity provider") as server:
        provider.url = server.url
        yield provider
