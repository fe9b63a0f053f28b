"""Handlers from bindles: one module by its URI, or all that a bindle says of its routes (`--bindle`).

A bindle comes from a server, from a directory in which one keeps its own, or from a standalone bindle: a
directory or its tarball. Digests are always checked; signatures as the policy says. Files that a module
requires (`feature.wagi.file`) are mounted at `/`, for reading.
"""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Self

from proa.bindle import BindleClient, BindleError, Filter, Id, Invoice, Keyring, Label, Storage, Strategy
from proa.bindle.cache import Cache
from proa.bindle.client import Credentials
from proa.bindle.export import export
from proa.bindle.invoice import Parcel
from proa.bindle.modules import ModuleReference
from proa.bindle.standalone import Standalone, read_standalone, unpack
from proa.bindle.transfer import fetch
from proa.wagi.config import Config, Module
from proa.wagi.errors import ConfigError, SourceError
from proa.wagi.handlers import Limits
from proa.wagi.sources import Fetched
from proa.wasm import Mount

__all__ = ["BindlePolicy", "Bindles"]

_MODULE: Final = "application/wasm"


@dataclass(frozen=True, kw_only=True)
class BindlePolicy:
    """Where bindles come from, and whom to trust.

    Attributes:
        origin: URL of a server, or path of a directory or tarball, for modules that name none themselves.
        credentials: What to show a server.
        strategy: What signatures must amount to; None is nothing.
        keyring: Whose.
    """

    origin: str | None = None
    credentials: Credentials | None = None
    strategy: Strategy | None = None
    keyring: Keyring | None = None


class _Bindle(NamedTuple):
    """A bindle whose signatures satisfy the policy, and how its parcels come here."""

    invoice: Invoice
    paths: Callable[[Iterable[Label]], Awaitable[dict[str, Path]]]


class Bindles:
    """All ways to bindles. Use `open`."""

    def __init__(self, cache: Cache, directory: Path, policy: BindlePolicy) -> None:
        self._cache = cache
        self._directory = directory
        self._policy = policy

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, directory: Path, policy: BindlePolicy) -> AsyncIterator[Self]:
        """Keep in a directory what is fetched."""
        cache = Cache(directory / "cache", strategy=policy.strategy, keyring=policy.keyring)
        async with cache:
            yield cls(cache, directory, policy)

    async def fetch(self, module: Module) -> Fetched:
        """Fetch a module by its `bindle:` URI, with the files that it requires.

        Raises:
            SourceError: The bindle is not to be had, not to be trusted, or has no such module.
        """
        try:
            reference = ModuleReference.parse(module.module)
            bindle = await self._find(reference.bindle, module.bindle_server)
            parcel = _module(bindle.invoice, reference)
            path = (await bindle.paths([parcel.label]))[parcel.label.sha256]
            return Fetched(path, parcel.label.sha256, await self._mounts(bindle, parcel))
        except BindleError as error:
            raise SourceError(str(error)) from None

    async def config(self, bindle: str, limits: Limits) -> Config:
        """Read the routes that a bindle's modules say in `feature.wagi`.

        Raises:
            ConfigError: There is no such bindle, it is not to be trusted, or says no routes.
        """
        try:
            found = await self._find(Id.parse(bindle), None)
        except (BindleError, SourceError) as error:
            raise ConfigError([str(error)]) from None
        modules = tuple(_routes(found.invoice, limits))
        if not modules:
            raise ConfigError([f"{bindle}: no module of it says a route in feature.wagi.route"])
        return Config(Path(f"bindle:{found.invoice.id}"), modules)

    async def _find(self, bindle: Id, origin: str | None) -> _Bindle:
        origin = origin or self._policy.origin
        if origin is None:
            raise SourceError(f"{bindle}: say where bindles come from: bindle_server, or --bindle-url")
        if origin.startswith(("http://", "https://")):
            return await self._from_server(bindle, origin)
        found = await self._from_directory(bindle, Path(origin.removeprefix("file://")))
        if self._policy.strategy:
            self._policy.strategy.verify(found.invoice, self._policy.keyring or Keyring.of())
        return found

    async def _from_server(self, bindle: Id, url: str) -> _Bindle:
        async with BindleClient(url, credentials=self._policy.credentials) as client:
            invoice = await self._cache.invoice(client, bindle)

        async def paths(labels: Iterable[Label]) -> dict[str, Path]:
            async with BindleClient(url, credentials=self._policy.credentials) as client:
                return await fetch(client, self._cache, invoice, labels)

        return _Bindle(invoice, paths)

    async def _from_directory(self, bindle: Id, path: Path) -> _Bindle:
        if await asyncio.to_thread((path / "invoices").is_dir):
            async with Storage(path, exclusive=False) as storage:
                invoice = (await storage.get(bindle)).invoice
                parcels = {label.sha256: storage.parcels.path(label.sha256) for label in invoice.labels}
        else:
            standalone = await asyncio.to_thread(self._standalone, bindle, path)
            invoice = standalone.invoice
            parcels = {label.sha256: standalone.path(label) for label in invoice.labels}

        async def paths(labels: Iterable[Label]) -> dict[str, Path]:
            return {label.sha256: parcels[label.sha256] for label in labels}

        return _Bindle(invoice, paths)

    def _standalone(self, bindle: Id, path: Path) -> Standalone:
        key = bindle.sha256
        if path.is_dir() and (path / f"{key}.tar.gz").is_file():
            path /= f"{key}.tar.gz"
        if path.is_file():
            unpacked = self._directory / "unpacked" / key
            shutil.rmtree(unpacked, ignore_errors=True)
            unpacked.mkdir(parents=True)
            unpack(path, unpacked)
            path = unpacked
        found = read_standalone(path, key)
        found.verify()
        return found

    async def _mounts(self, bindle: _Bindle, parcel: Parcel) -> tuple[Mount, ...]:
        """Lay the files that a module requires into a directory of their own."""
        wanted = [each.label for each in _required(bindle.invoice, parcel) if _is_file(each)]
        if not wanted:
            return ()
        paths = await bindle.paths(wanted)
        target = self._directory / "assets" / bindle.invoice.id.sha256 / parcel.label.sha256
        files = [(label, paths[label.sha256]) for label in wanted]
        await asyncio.to_thread(_lay_out, target, files)
        return (Mount(target.absolute(), "/", read_only=True),)


def _module(invoice: Invoice, reference: ModuleReference) -> Parcel:
    """Find the parcel that a URI means: the first module, as WAGI does, unless it names one."""
    modules = [parcel for parcel in Filter().select(invoice) if parcel.label.media_type == _MODULE]
    named = [parcel for parcel in modules if reference.parcel in {None, parcel.label.name}]
    if not named:
        there = ", ".join(parcel.label.name for parcel in modules[:10]) or "none"
        raise BindleError(f"{reference}: no such parcel of type {_MODULE}; there is {there}")
    return named[0]


def _routes(invoice: Invoice, limits: Limits) -> Iterable[Module]:
    for parcel in invoice.parcels or []:
        wagi = _feature(parcel)
        if parcel.groups or parcel.label.media_type != _MODULE or "route" not in wagi:
            continue
        hosts = [host.strip() for host in wagi.get("allowed_hosts", "").split(",")]
        yield Module(
            route=wagi["route"],
            module=f"bindle:{invoice.id}#{parcel.label.name}",
            entrypoint=wagi.get("entrypoint", "_start"),
            argv=wagi.get("argv"),
            allowed_hosts=tuple(host for host in hosts if host),
            limits=limits,
        )


def _required(invoice: Invoice, parcel: Parcel) -> Sequence[Parcel]:
    """What a parcel's groups bring along."""
    chosen = Filter(with_groups=parcel.requires).select(invoice)
    return [each for each in chosen if each.groups] if parcel.requires else []


def _feature(parcel: Parcel) -> dict[str, str]:
    return (parcel.label.feature or {}).get("wagi", {})


def _is_file(parcel: Parcel) -> bool:
    return _feature(parcel).get("file") == "true"


def _lay_out(target: Path, files: Sequence[tuple[Label, Path]]) -> None:
    """Write files by their names into a directory that is there entirely or not at all."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=target.parent))
    draft.chmod(0o755)
    try:
        export(draft, files)
        with contextlib.suppress(OSError):  # Another process was faster.
            draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
