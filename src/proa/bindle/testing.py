"""Helpers for tests of whatever stores and fetches bindles: a server of your own, and bindles to put there.

Usage::

    async with running_server(tmp_path) as server, BindleClient(server.url) as client:
        invoice = server.signed("example.com/hello/1.0.0", {"hello.txt": b"hello"})
        await client.create_invoice(invoice)
"""

import contextlib
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from proa.bindle.auth import Authenticator, Everyone
from proa.bindle.invoice import Bindle, Id, Invoice, Label, Parcel
from proa.bindle.keys import Keyring, SecretKey, SecretKeys
from proa.bindle.server import BindleServer, Trust
from proa.bindle.signing import Strategy, sign
from proa.bindle.storage import Quota, Storage

__all__ = ("RunningServer", "make_invoice", "make_label", "running_server")


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
