"""Manifests, indexes and descriptors of the OCI image specification 1.1, as values.

Docker's image manifest v2 schema 2 and its manifest list have the same shape and are read as the same types;
schema 1 is refused. Everything here is pure.
"""

from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from proa.oci import digest as digests
from proa.oci.errors import InvalidDigestError, InvalidManifestError, UnsupportedArtifactError

__all__ = (
    "ACCEPTED",
    "IMAGE_INDEX",
    "IMAGE_MANIFEST",
    "MANIFEST_LIMIT",
    "Descriptor",
    "ImageIndex",
    "ImageManifest",
    "Platform",
    "encode",
    "parse",
    "select_wasm",
)

IMAGE_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
IMAGE_INDEX: Final = "application/vnd.oci.image.index.v1+json"
_DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
_DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
_MANIFESTS: Final = (IMAGE_MANIFEST, _DOCKER_MANIFEST)
_INDEXES: Final = (IMAGE_INDEX, _DOCKER_LIST)

ACCEPTED: Final = _MANIFESTS + _INDEXES
"""Media types that `parse` reads, in the order in which a client prefers them."""

MANIFEST_LIMIT: Final = 4 * 1024 * 1024
"""Largest manifest in bytes, read or served: the least that the distribution specification asks registries to
take.
"""

_WASM_SYSTEMS: Final = ("wasip1", "wasi", "wasip2")

Size: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Document(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What all documents share: camelCase on the wire, unknown fields ignored, empty fields left out."""


class Platform(_Document, frozen=True, kw_only=True):
    """What an entry of an index runs on."""

    architecture: str = ""
    os: str = ""
    variant: str | None = None


class Descriptor(_Document, frozen=True, kw_only=True):
    """Points at content: its type, its digest and its size in bytes."""

    media_type: str
    digest: str
    size: Size
    urls: list[str] = []
    annotations: dict[str, str] = {}
    artifact_type: str | None = None
    platform: Platform | None = None


class ImageManifest(_Document, frozen=True, kw_only=True):
    """One image or artifact: a config and layers."""

    schema_version: Literal[2]
    media_type: str | None = None
    artifact_type: str | None = None
    config: Descriptor
    layers: list[Descriptor]
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}


class ImageIndex(_Document, frozen=True, kw_only=True):
    """A choice of manifests, usually one for each platform."""

    schema_version: Literal[2]
    media_type: str | None = None
    artifact_type: str | None = None
    manifests: list[Descriptor]
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}


class _Kind(msgspec.Struct, rename="camel"):
    media_type: str | None = None
    manifests: msgspec.Raw = msgspec.Raw()


def encode(document: ImageManifest | ImageIndex) -> bytes:
    """Return the JSON of `document`: the same bytes, and so the same digest, for equal values."""
    return msgspec.json.encode(document)


def parse(content: bytes, media_type: str | None = None) -> ImageManifest | ImageIndex:
    """Read a manifest or index.

    Args:
        content: the document exactly as received.
        media_type: what the transport called it. The document's own `mediaType`, if any, must agree with it.

    Raises:
        InvalidManifestError: too large, not JSON, of another type, or breaking the specification.
    """
    if len(content) > MANIFEST_LIMIT:
        raise InvalidManifestError(
            f"a manifest of {len(content)} bytes is over the limit of {MANIFEST_LIMIT}"
        )
    try:
        kind = msgspec.json.decode(content, type=_Kind)
        document: ImageManifest | ImageIndex
        if _is_index(kind, media_type):
            document = msgspec.json.decode(content, type=ImageIndex)
        else:
            document = msgspec.json.decode(content, type=ImageManifest)
        _check_digests(document)
    except (msgspec.DecodeError, InvalidDigestError, RecursionError) as error:
        raise InvalidManifestError(f"invalid manifest: {error}") from None
    return document


def select_wasm(index: ImageIndex) -> Descriptor:
    """Choose the entry of `index` that runs on a WebAssembly platform.

    WASI preview 1 comes before preview 2 where both are offered, then anything of architecture `wasm`. An
    index with a single entry that names no platform is taken at its word.

    Raises:
        UnsupportedArtifactError: no entry fits; names the platforms that are there.
    """
    for system in _WASM_SYSTEMS:
        for entry in index.manifests:
            if entry.platform is not None and entry.platform.os == system:
                return entry
    for entry in index.manifests:
        if entry.platform is not None and entry.platform.architecture.startswith("wasm"):
            return entry
    if len(index.manifests) == 1 and index.manifests[0].platform is None:
        return index.manifests[0]
    raise UnsupportedArtifactError(f"no WebAssembly platform in the image index: it has {_platforms(index)}")


def _is_index(kind: _Kind, media_type: str | None) -> bool:
    if kind.media_type and media_type in ACCEPTED and kind.media_type != media_type:
        raise InvalidManifestError(
            f"a manifest served as {media_type} says that it is {kind.media_type[:100]!r}"
        )
    stated = kind.media_type or media_type
    if stated in _INDEXES:
        return True
    if stated in _MANIFESTS:
        return False
    if kind.media_type is not None:
        raise InvalidManifestError(f"manifests of type {kind.media_type[:100]!r} are not supported")
    return bool(bytes(kind.manifests))


def _check_digests(document: ImageManifest | ImageIndex) -> None:
    children = document.manifests if isinstance(document, ImageIndex) else [document.config, *document.layers]
    for descriptor in [*children, *([document.subject] if document.subject else [])]:
        digests.check(descriptor.digest)


def _platforms(index: ImageIndex) -> str:
    names = {
        f"{p.os}/{p.architecture}" if (p := entry.platform) else "none named" for entry in index.manifests
    }
    return ", ".join(sorted(names)[:10]) or "no entries"
