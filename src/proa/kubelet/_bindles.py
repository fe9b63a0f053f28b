"""Modules out of bindles: `bindle:NAME/VERSION`, and `#PARCEL` where there are several in one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proa.app import ProaError
from proa.bindle import BindleError
from proa.bindle.modules import ModuleReference, fetch_module
from proa.kubelet._settings import KubeletSettings
from proa.oci import InvalidReferenceError, OciError, PulledModule

if TYPE_CHECKING:
    from proa.bindle.cache import Cache
    from proa.bindle.client import BindleClient

SCHEME = "bindle:"


@dataclass(frozen=True)
class BindleReference:
    """A module in a bindle, with its digest once that is known."""

    module: ModuleReference
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> "BindleReference":
        """Read `bindle:NAME/VERSION[#PARCEL][@sha256:HEX]`.

        Raises:
            proa.oci.InvalidReferenceError: It is none.
        """
        module, at, digest = text.partition("@sha256:")
        try:
            return cls(ModuleReference.parse(module), f"sha256:{digest}" if at else None)
        except BindleError as error:
            raise InvalidReferenceError(str(error)) from None

    @property
    def name(self) -> str:
        """What it is called, without the digest."""
        return str(self.module)


class Bindles:
    """Modules of a Bindle server that the node trusts.

    Its invoices are asked for at each pull, since they may have been yanked; parcels are fetched once.
    """

    def __init__(self, client: "BindleClient", cache: "Cache", directory: Path) -> None:
        self.cache = cache
        self._client = client
        self._parcels = directory / "parcels"

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, settings: KubeletSettings) -> AsyncIterator["Bindles | None"]:
        """Open what the settings say of bindles; None where they name no server.

        Raises:
            proa.app.ProaError: The URL, the keyring or the strategy makes no sense.
        """
        if settings.bindle_url is None:
            yield None
            return
        from proa.bindle.cache import Cache
        from proa.bindle.client import BindleClient
        from proa.bindle.keys import Keyring
        from proa.bindle.signing import Strategy

        strategy, keyring = Strategy.parse(settings.bindle_strategy), Keyring.of()
        if settings.bindle_keyring is not None:
            keyring = await asyncio.to_thread(Keyring.load, settings.bindle_keyring)
        directory = settings.data_dir / "bindles"
        async with (
            BindleClient(settings.bindle_url) as client,
            Cache(directory, strategy=strategy, keyring=keyring) as cache,
        ):
            yield cls(client, cache, directory)

    async def find(self, reference: BindleReference) -> PulledModule | None:
        """The module if it is on the node and its digest is known; the server is not asked."""
        if reference.digest is None:
            return None
        path = self._parcels / reference.digest.removeprefix("sha256:") / "parcel.dat"
        try:
            size = (await asyncio.to_thread(path.stat)).st_size
        except FileNotFoundError:
            return None
        return PulledModule(path, reference.digest, reference.digest, size, None)

    async def pull(self, reference: BindleReference) -> PulledModule:
        """Ask the server for the invoice, judge its signatures, and fetch the module if it is not here.

        Raises:
            proa.oci.OciError: It cannot be had, or is not to be trusted.
        """
        try:
            fetched = await fetch_module(reference.module, self._client, self.cache)
        except ProaError as error:
            raise OciError(str(error)) from error
        if reference.digest not in {None, fetched.digest}:
            raise OciError(f"{reference.name} is {fetched.digest}, not {reference.digest}")
        return PulledModule(fetched.path, fetched.digest, fetched.digest, fetched.size, None)
