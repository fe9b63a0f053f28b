"""HTTP requests of guests, to the hosts that they are allowed and no others.

A core module asks through `wasi_experimental_http`, whose host side is `_outbound_modules`; a component
through `wasi:http`, which is the engine's own and is held to those hosts by `_outbound_components`. Both are
loaded only for guests that want them.
"""

from typing import TYPE_CHECKING, Final

from wasmtime import Module, Store
from wasmtime.component import Component

from proa.wasm._engine import Runtime
from proa.wasm.spec import Outbound

if TYPE_CHECKING:
    from proa.wasm._outbound_components import Guard
    from proa.wasm._outbound_modules import Requests

__all__ = ["OutboundHttp"]

_MODULE: Final = "wasi_experimental_http"
_PACKAGE: Final = "wasi:http/"
_NONE: Final = Outbound()


class OutboundHttp:
    """Outbound HTTP for the guests of a process, which run one after another.

    Args:
        runtime: Whose linkers offer it from now on, to guests that import it.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._requests: Requests | None = None
        self._guard: Guard | None = None

    def offer(self, guest: Module | Component) -> bool:
        """Offer what a guest imports, before it is linked; return whether it imports any of it.

        Raises:
            OSError: Components' requests cannot be held to hosts on this machine.
        """
        if isinstance(guest, Module):
            wants = any(item.module == _MODULE for item in guest.imports)
            if wants and self._requests is None:
                from proa.wasm._outbound_modules import Requests

                self._requests = Requests()
                self._requests.define(self._runtime.linker)
            return wants
        wants = any(name.startswith(_PACKAGE) for name in guest.type.imports(self._runtime.engine))
        if wants and self._guard is None:
            from proa.wasm._outbound_components import Guard

            self._guard = Guard()
            self._runtime.component_linker.add_wasi_http()
        return wants

    def begin(self, store: Store | None, allowed: Outbound | None) -> None:
        """Say what the next guest may reach.

        Args:
            store: A component's store, whose WASI configuration is set; None for a core module.
            allowed: What it may reach; None is nothing.
        """
        if self._requests:
            self._requests.allow(allowed or _NONE)
        if self._guard:
            self._guard.allow(allowed or _NONE)
            if store:
                store.set_wasi_http()
