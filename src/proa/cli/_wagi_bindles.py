"""Handlers out of bindles: `module = "bindle:NAME/VERSION#PARCEL"` with its `bindle_server`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from proa.bindle.cache import Cache
from proa.bindle.client import BindleClient
from proa.bindle.keys import Keyring
from proa.bindle.modules import ModuleReference, fetch_module
from proa.bindle.signing import Strategy
from proa.wagi.config import Module
from proa.wagi.errors import SourceError
from proa.wagi.settings import WagiSettings
from proa.wagi.sources import Fetched, Fetcher

__all__ = ("bindle_fetcher",)


@contextlib.asynccontextmanager
async def bindle_fetcher(settings: WagiSettings) -> AsyncIterator[Fetcher]:
    """Open what fetches modules out of bindles that satisfy the settings' keyring and strategy.

    Raises:
        proa.app.ProaError: The keyring or the strategy makes no sense.
    """
    strategy, keyring = Strategy.parse(settings.bindle_strategy), Keyring.of()
    if settings.bindle_keyring is not None:
        keyring = await asyncio.to_thread(Keyring.load, settings.bindle_keyring)
    async with (
        contextlib.AsyncExitStack() as clients,
        Cache(settings.module_cache / "bindles", strategy=strategy, keyring=keyring) as cache,
    ):
        opened: dict[str, BindleClient] = {}

        async def fetch(module: Module) -> Fetched:
            server = module.bindle_server
            if server is None:
                raise SourceError(f"{module.module}: bindle_server is missing: a bindle comes from a server")
            if server not in opened:
                opened[server] = await clients.enter_async_context(BindleClient(server))
            fetched = await fetch_module(ModuleReference.parse(module.module), opened[server], cache)
            return Fetched(fetched.path, fetched.digest.removeprefix("sha256:"))

        yield fetch
