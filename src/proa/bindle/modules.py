"""WebAssembly modules by `bindle:` reference: for whatever runs them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proa.bindle.cache import Cache
from proa.bindle.client import BindleClient
from proa.bindle.errors import BindleError
from proa.bindle.filter import Filter
from proa.bindle.invoice import Id, Invoice, Label
from proa.bindle.transfer import fetch

__all__ = ("FetchedModule", "ModuleReference", "fetch_module")

_MEDIA_TYPE: Final = "application/wasm"


@dataclass(frozen=True, slots=True)
class ModuleReference:
    """`bindle:NAME/VERSION`, and after `#` the parcel's name where there are several modules."""

    bindle: Id
    parcel: str | None = None

    @classmethod
    def parse(cls, text: str) -> "ModuleReference":
        """Read a reference, with or without `bindle:`.

        Raises:
            InvalidIdError: it is none.
        """
        bindle, _, parcel = text.partition("#")
        return cls(Id.parse(bindle), parcel or None)

    def __str__(self) -> str:
        return f"bindle:{self.bindle}" + (f"#{self.parcel}" if self.parcel else "")


@dataclass(frozen=True, slots=True)
class FetchedModule:
    """A module on this machine's disk.

    Attributes:
        path: the file, in the cache; it stays for at least five minutes.
        digest: of the module, as `sha256:HEX`.
        size: in bytes.
        label: what its invoice says about it.
        invoice: whose signatures satisfied the cache's strategy.
    """

    path: Path
    digest: str
    size: int
    label: Label
    invoice: Invoice


async def fetch_module(
    reference: ModuleReference, client: BindleClient, cache: Cache, wanted: Filter | None = None
) -> FetchedModule:
    """Bring a module into the cache; `cache`'s strategy and keyring are the policy of whom to trust.

    Always asks the server about the invoice (see `Cache`), so that a yanked module is not run any more.
    Cancelling and calling again is safe at any point.

    Args:
        reference: which.
        client: whom to ask.
        cache: where to keep it.
        wanted: groups and features; by default what the invoice requires.

    Raises:
        BindleError: the bindle has no such module, or several; names them.
        InvoiceNotFoundError: there is no such bindle.
        YankedError: it was yanked.
        VerificationError: its signatures do not satisfy the cache's strategy.
        ParcelMismatchError: what came is not what the invoice says.
        ServerUnavailableError: no usable answer.
    """
    invoice = await cache.invoice(client, reference.bindle)
    label = _module(reference, invoice, wanted or Filter())
    path = (await fetch(client, cache, invoice, [label]))[label.sha256]
    return FetchedModule(path, f"sha256:{label.sha256}", label.size, label, invoice)


def _module(reference: ModuleReference, invoice: Invoice, wanted: Filter) -> Label:
    modules = [
        parcel.label
        for parcel in wanted.select(invoice)
        if parcel.label.media_type.partition(";")[0].strip() == _MEDIA_TYPE
    ]
    named = [label for label in modules if reference.parcel in {None, label.name}]
    if len({label.sha256 for label in named}) != 1:
        there = ", ".join(repr(label.name) for label in modules[:10]) or "none"
        raise BindleError(
            f"{reference} must name one parcel of type {_MEDIA_TYPE}: the bindle has {there}; "
            f"choose one as bindle:{reference.bindle}#NAME"
        )
    return named[0]
