"""From what `modules.toml` says of a module to a file on this machine whose digest is known.

A path or `file:` URI is used where it is. `oci:` images are pulled into a content-addressed store; a tag is
asked for anew as the policy says, and when the registry cannot be reached what is there is used. Other
schemes (`bindle:`) are fetched by whoever registers for them.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from proa.app import logs
from proa.oci import BlobStore, OciError, Reference, RegistryClient, find_module, pull_module
from proa.wagi.config import Module
from proa.wagi.errors import SourceError
from proa.wasm import Mount

__all__ = ["Fetched", "Fetcher", "PullPolicy", "Sources"]

log = logs.get_logger(__name__)

PullPolicy = Literal["always", "missing", "never"]
"""When an image that is there already is asked for anew: each time it is loaded, or never."""


@dataclass(frozen=True)
class Fetched:
    """A module on this machine.

    Attributes:
        path: The file. It must not change any more while it is served.
        sha256: Its digest, 64 hexadecimal digits.
        mounts: Directories that come with it.
    """

    path: Path
    sha256: str
    mounts: tuple[Mount, ...] = ()


Fetcher = Callable[[Module], Awaitable[Fetched]]
"""Fetches a module by its URI, checks its digest and keeps it; raises a ProaError that says why it cannot."""


class Sources:
    """All ways to modules.

    Args:
        cache_dir: Where images are kept.
        client: How registries are reached.
        pull: When they are asked.
    """

    def __init__(self, cache_dir: Path, client: RegistryClient, pull: PullPolicy = "always") -> None:
        self._store = BlobStore(cache_dir)
        self._client = client
        self._pull = pull
        self._fetchers: dict[str, Fetcher] = {"oci": self._fetch_image, "file": _fetch_file}

    def register(self, scheme: str, fetcher: Fetcher) -> None:
        """Use a fetcher for URIs of a scheme, such as `bindle`."""
        self._fetchers[scheme] = fetcher

    async def fetch(self, module: Module) -> Fetched:
        """Bring a module here, if it is not, and check its digest.

        Raises:
            SourceError: It cannot be had, or has another digest than the configuration demands.
        """
        scheme, colon, _ = module.module.partition(":")
        fetcher = self._fetchers.get(scheme) if colon else _fetch_file
        if fetcher is None:
            raise SourceError(f"{module.module}: nothing here can fetch {scheme}: URIs")
        fetched = await fetcher(module)
        if module.digest and module.digest != f"sha256:{fetched.sha256}":
            raise SourceError(f"{module.module} has the digest sha256:{fetched.sha256}, not {module.digest}")
        return fetched

    async def _fetch_image(self, module: Module) -> Fetched:
        reference = Reference.parse(_image_name(module.module))
        pulled = None
        if self._pull != "always" or reference.digest:
            pulled = await find_module(reference, self._store)
        if pulled is None and self._pull == "never":
            raise SourceError(f"{reference} is not here, and must not be pulled")
        if pulled is None:
            try:
                pulled = await pull_module(self._client, reference, self._store)
            except OciError as error:
                pulled = await find_module(reference, self._store)
                if pulled is None:
                    raise
                log.warning("using the image that is here", image=str(reference), error=str(error))
        return Fetched(pulled.path, pulled.digest.removeprefix("sha256:"))


def _image_name(uri: str) -> str:
    """`oci:name:tag` and `oci://host/name:tag` both name an image."""
    return uri.removeprefix("oci:").removeprefix("//")


async def _fetch_file(module: Module) -> Fetched:
    return await asyncio.to_thread(_identify, Path(_path(module.module)))


def _path(text: str) -> str:
    """Return the path of a `file:` URI (with any number of slashes) or of a plain path."""
    if not text.startswith("file:"):
        return text
    path = unquote(text.removeprefix("file:"))
    stripped = path.lstrip("/")
    return path if path == stripped else f"/{stripped}"


def _identify(path: Path) -> Fetched:
    try:
        with path.open("rb") as file:
            return Fetched(path.absolute(), hashlib.file_digest(file, "sha256").hexdigest())
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from None
