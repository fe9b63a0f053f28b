"""Bindles in OCI registries, as artifacts, without loss.

The invoice, byte for byte, is the config (`application/vnd.bindle.invoice.v1+toml`); each parcel is a layer
of its own media type, so that a parcel's digest is its blob's, and registries share what bindles have in
common.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proa.bindle.errors import InvalidInvoiceError
from proa.bindle.invoice import INVOICE_LIMIT, Invoice, Label, encode, is_digest, parse_invoice
from proa.bindle.transfer import together
from proa.oci import BlobStore, Reference, RegistryClient, UnsupportedArtifactError
from proa.oci.manifest import IMAGE_MANIFEST, Descriptor, ImageIndex, ImageManifest

__all__ = ("INVOICE_TYPE", "PulledBindle", "pull_bindle", "push_bindle")

INVOICE_TYPE: Final = "application/vnd.bindle.invoice.v1+toml"
_ARTIFACT_TYPE: Final = "application/vnd.bindle.v1"
_MEDIA_TYPE: Final = re.compile(
    r"[a-z0-9][\w!#$&^.+-]{0,126}/[a-z0-9][\w!#$&^.+-]{0,126}", re.ASCII | re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class PulledBindle:
    """A bindle from a registry.

    Attributes:
        invoice: what it is.
        digest: of the manifest: what pins it.
    """

    invoice: Invoice
    digest: str
    _store: BlobStore

    def path(self, label: Label) -> Path:
        """Return where a parcel is."""
        return self._store.path(f"sha256:{label.sha256}")


async def push_bindle(
    client: RegistryClient, reference: Reference, invoice: Invoice, source: Callable[[Label], Path]
) -> str:
    """Push a bindle and return its manifest's digest; only blobs that the repository lacks are sent.

    Raises:
        InvalidInvoiceError: a parcel's digest is none that a registry knows, or its file is another content.
        RegistryError: see `RegistryClient.push_blob`.
    """
    layers = [_descriptor(label) for label in invoice.labels]

    async def upload(label: Label) -> None:
        pushed = await client.push_blob(reference, source(label))
        if pushed.digest != f"sha256:{label.sha256}":
            raise InvalidInvoiceError(f"{source(label)} is not the parcel {label.name!r} of {invoice.id}")

    await together(upload(label) for label in invoice.labels)
    stored = await client.push_blob(reference, encode(invoice))
    config = Descriptor(media_type=INVOICE_TYPE, digest=stored.digest, size=stored.size)
    manifest = ImageManifest(
        schema_version=2,
        media_type=IMAGE_MANIFEST,
        artifact_type=_ARTIFACT_TYPE,
        config=config,
        layers=layers,
        annotations={
            "org.opencontainers.image.title": invoice.bindle.name,
            "org.opencontainers.image.version": invoice.bindle.version,
        },
    )
    return await client.put_manifest(reference, manifest)


async def pull_bindle(client: RegistryClient, reference: Reference, store: BlobStore) -> PulledBindle:
    """Fetch a bindle with all its parcels. Its signatures are the invoice's: judge them as always.

    Raises:
        UnsupportedArtifactError: the reference names something else.
        InvalidInvoiceError: its invoice is wrong.
        OciError: see `RegistryClient.pull_blob`.
    """
    fetched = await client.get_manifest(reference)
    manifest = fetched.document
    if isinstance(manifest, ImageIndex) or manifest.config.media_type != INVOICE_TYPE:
        raise UnsupportedArtifactError(f"{reference} is no bindle: its config is not {INVOICE_TYPE}")
    if manifest.config.size > INVOICE_LIMIT:
        raise InvalidInvoiceError(f"the invoice in {reference} is over the limit of {INVOICE_LIMIT} bytes")
    await client.pull_blob(reference, manifest.config, store)
    invoice = parse_invoice(await store.read(manifest.config.digest))

    async def fetch(label: Label) -> None:
        await client.pull_blob(reference, _descriptor(label), store)

    # What the invoice names, which is what is signed, and not what the manifest lists.
    await together(fetch(label) for label in invoice.labels)
    return PulledBindle(invoice, fetched.digest, store)


def _descriptor(label: Label) -> Descriptor:
    if not is_digest(label.sha256):
        raise InvalidInvoiceError(
            f"the parcel {label.name!r} has no sha256 in lower-case hex: {label.sha256[:140]}"
        )
    media_type = label.media_type if _MEDIA_TYPE.fullmatch(label.media_type) else "application/octet-stream"
    return Descriptor(
        media_type=media_type,
        digest=f"sha256:{label.sha256}",
        size=label.size,
        annotations={"org.opencontainers.image.title": label.name},
    )
