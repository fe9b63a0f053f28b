"""aiohttp reads the system's certificate authorities twice as it is imported: 40 ms, and some MB.

Servers never need them, nor do clients with contexts of their own. Here they are read when a connection
first does.
"""

import ssl
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

__all__ = ("read_authorities_late",)

_CONNECTOR, _CONTEXT = "aiohttp.connector", "_SSL_CONTEXT_VERIFIED"


class LateContext(ssl.SSLContext):
    """A client's usual context, but for when it reads the authorities that it trusts."""

    _has_read = False

    def _read(self) -> None:
        if not self._has_read:
            self._has_read = True
            self.load_default_certs()

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        """As any context."""
        self._read()
        return super().wrap_bio(*arguments, **named)

    def wrap_socket(self, *arguments: Any, **named: Any) -> ssl.SSLSocket:
        """As any context."""
        self._read()
        return super().wrap_socket(*arguments, **named)


class _Connector(Loader):
    """Loads aiohttp's module of that name."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with _without_authorities():
            self._loader.exec_module(module)
        if isinstance(getattr(module, _CONTEXT, None), ssl.SSLContext):
            context = LateContext(ssl.PROTOCOL_TLS_CLIENT)
            context.set_alpn_protocols(["http/1.1"])
            setattr(module, _CONTEXT, context)


@contextmanager
def _without_authorities() -> Iterator[None]:
    read = ssl.SSLContext.load_default_certs
    ssl.SSLContext.load_default_certs = _read_nothing  # type: ignore[assignment, method-assign]
    ssl.SSLContext.set_default_verify_paths = _read_nothing  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        ssl.SSLContext.load_default_certs = read  # type: ignore[method-assign]
        del ssl.SSLContext.set_default_verify_paths  # what is left is its base's


def _read_nothing(_context: ssl.SSLContext, *_purpose: object) -> None: ...


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _CONNECTOR:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Connector(spec.loader)
        return spec


def read_authorities_late() -> None:
    """Has aiohttp read certificate authorities when it needs them, if it is not imported yet.

    For programs, at their start: it changes what importing aiohttp does in this process.
    """
    if _CONNECTOR not in sys.modules:
        sys.meta_path.insert(0, _Finder())
