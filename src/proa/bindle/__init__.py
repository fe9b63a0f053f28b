"""Bindle: signed, aggregate object storage. A bindle is an invoice and the parcels that it names.

Parts, from plain values to servers:

- `proa.bindle.invoice`, `proa.bindle.version`, `proa.bindle.filter`: what a bindle is made of, and
  which of it somebody needs; pure.
- `proa.bindle.keys`, `proa.bindle.signing`: who vouches for it; pure.
- `proa.bindle.storage`: `Storage`, bindles in a directory.
- `proa.bindle.client`: `BindleClient`, which speaks to any Bindle server.
- `proa.bindle.transfer`, `proa.bindle.standalone`, `proa.bindle.oci`: whole bindles to and from servers,
  directories, tarballs and OCI registries.
- `proa.bindle.cache`, `proa.bindle.modules`: what was fetched before, and WebAssembly modules out of it.
- `proa.bindle.server`, `proa.bindle.auth`, `proa.bindle.proxy`: a server of your own.
- `proa.bindle.testing`: a server for tests.

Start reading at `proa.bindle.invoice`. Specifications: Bindle 1.0, and its reference implementation 0.9 where
the two differ; wire and disk are interchangeable with the latter.

Names are loaded when they are first used, so importing this package costs next to nothing.

Usage::

    async with BindleClient("http://localhost:8080/v1/") as client, Cache(Path("cache")) as cache:
        bindle = await cache.invoice(client, Id.parse("example.com/hello/1.0.0"))
        path = await cache.parcel(client, bindle.id, bindle.labels[0])
"""

from typing import TYPE_CHECKING

from proa._lazy import lazy

if TYPE_CHECKING:
    from proa.bindle.client import Basic, BindleClient
    from proa.bindle.errors import BindleError
    from proa.bindle.filter import Filter
    from proa.bindle.invoice import (
        Bindle,
        Conditions,
        Group,
        Id,
        Invoice,
        Label,
        Parcel,
        Signature,
        encode,
        parse_invoice,
    )
    from proa.bindle.keys import Keyring, PublicKey, SecretKey, SecretKeys
    from proa.bindle.server import BindleServer, Trust
    from proa.bindle.signing import Strategy, sign, signature_reports
    from proa.bindle.storage import Quota, Storage
    from proa.bindle.storage.index import Query
    from proa.bindle.version import Version, VersionRange
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "client": ("Basic", "BindleClient"),
            "errors": ("BindleError",),
            "filter": ("Filter",),
            "invoice": (
                "Bindle",
                "Conditions",
                "Group",
                "Id",
                "Invoice",
                "Label",
                "Parcel",
                "Signature",
                "encode",
                "parse_invoice",
            ),
            "keys": ("Keyring", "PublicKey", "SecretKey", "SecretKeys"),
            "server": ("BindleServer", "Trust"),
            "signing": ("Strategy", "sign", "signature_reports"),
            "storage": ("Quota", "Storage"),
            "storage.index": ("Query",),
            "version": ("Version", "VersionRange"),
        },
    )


__all__ = [
    "Basic",
    "Bindle",
    "BindleClient",
    "BindleError",
    "BindleServer",
    "Conditions",
    "Filter",
    "Group",
    "Id",
    "Invoice",
    "Keyring",
    "Label",
    "Parcel",
    "PublicKey",
    "Query",
    "Quota",
    "SecretKey",
    "SecretKeys",
    "Signature",
    "Storage",
    "Strategy",
    "Trust",
    "Version",
    "VersionRange",
    "encode",
    "parse_invoice",
    "sign",
    "signature_reports",
]
