"""WebAssembly modules as OCI artifacts, in the format of the CNCF's TAG Runtime (Wasm OCI artifact layout).

A module is one layer `application/wasm` under a config `application/vnd.wasm.config.v0+json`. Older layer
types are read, too, but never written.
"""

import asyncio
import datetime
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from proa.oci._download import Progress
from proa.oci._transport import plain
from proa.oci.client import FetchedManifest, RegistryClient
from proa.oci.errors import (
    BlobNotFoundError,
    InvalidManifestError,
    NotWasmError,
    UnsupportedArtifactError,
)
from proa.oci.manifest import (
    IMAGE_MANIFEST,
    MANIFEST_LIMIT,
    Descriptor,
    ImageIndex,
    ImageManifest,
    parse,
    select_wasm,
)
from proa.oci.reference import Reference
from proa.oci.store import BlobStore

__all__ = (
    "MODULE_LIMIT",
    "PulledModule",
    "WasmConfig",
    "find_module",
    "pull_module",
    "push_module",
    "wasi_version",
)

WASM_CONFIG: Final = "application/vnd.wasm.config.v0+json"
WASM_LAYER: Final = "application/wasm"
_LAYERS: Final = (
    WASM_LAYER,
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
)

MODULE_LIMIT: Final = 1024**3
"""Largest module in bytes that is pulled: a hostile manifest must not fill the disk."""


class WasmComponent(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a component imports and exports."""

    exports: list[str] = []
    imports: list[str] = []
    target: str | None = None


class WasmConfig(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The config of a Wasm artifact.

    Attributes:
        created: when the module was made, RFC 3339.
        os: `wasip1` for a core module, `wasip2` for a component.
        layer_digests: digests of the layers, the module's first.
    """

    created: str | None = None
    author: str | None = None
    architecture: str
    os: str
    layer_digests: list[str] = []
    component: WasmComponent | None = None


@dataclass(frozen=True, slots=True)
class PulledModule:
    """A module on this machine's disk.

    Attributes:
        path: the file; it stays as long as nobody deletes it from the store.
        digest: of the module itself.
        manifest_digest: of what the reference named, be it a manifest or an index: what pins the image.
        size: of the module, in bytes.
        config: the artifact's config, unless it has one of another type.
    """

    path: Path
    digest: str
    manifest_digest: str
    size: int
    config: WasmConfig | None


async def push_module(client: RegistryClient, path: Path, reference: Reference) -> str:
    """Push the WebAssembly module or component at `path` as `reference`; return the manifest's digest.

    The same file, with the same time stamp, always gives the same digest.

    Raises:
        NotWasmError: the file can't be read or is no WebAssembly.
        RegistryError: see `RegistryClient.push_blob` and `RegistryClient.put_manifest`.
    """
    system, created = await asyncio.to_thread(_inspect, path)
    layer = _typed(await client.push_blob(reference, path), WASM_LAYER)
    config = WasmConfig(created=created, architecture="wasm", os=system, layer_digests=[layer.digest])
    described = _typed(await client.push_blob(reference, msgspec.json.encode(config)), WASM_CONFIG)
    manifest = ImageManifest(schema_version=2, media_type=IMAGE_MANIFEST, config=described, layers=[layer])
    return await client.put_manifest(reference, manifest)


async def pull_module(
    client: RegistryClient, reference: Reference, store: BlobStore, progress: Progress | None = None
) -> PulledModule:
    """Fetch the module that `reference` names; only its manifest if `store` has the rest.

    Always asks the registry what the reference means now; `find_module` answers from the store alone.
    Cancelling and calling again is safe at any point. `progress` hears of the module's bytes as they come.

    Raises:
        UnsupportedArtifactError: the image holds no WebAssembly module; names the media types that it holds.
        OciError: see `RegistryClient.get_manifest` and `RegistryClient.pull_blob`.
    """

    async def fetch(wanted: Reference) -> FetchedManifest:
        fetched = await client.get_manifest(wanted)
        await store.write(fetched.content, fetched.digest)
        return fetched

    named = await fetch(reference)
    manifest = named.document
    if isinstance(manifest, ImageIndex):
        manifest = (await fetch(reference.at(_select(reference, manifest).digest))).document
    manifest = _no_index(reference, manifest)
    layer = _module_layer(reference, manifest)
    if manifest.config.media_type == WASM_CONFIG and manifest.config.size <= MANIFEST_LIMIT:
        await client.pull_blob(reference, manifest.config, store)
    await client.pull_blob(reference, layer, store, progress)
    await store.link(str(reference), named.digest)
    return await _describe(store, named.digest, manifest, layer)


async def find_module(reference: Reference, store: BlobStore) -> PulledModule | None:
    """Return the module that `pull_module` last brought into `store` for exactly this reference, if it is
    still there.

    Asks no registry: it may be out of date for a tag.
    """
    digest = reference.digest or await store.linked(str(reference))
    if digest is None:
        return None
    try:
        manifest = parse(await store.read(digest))
        if isinstance(manifest, ImageIndex):
            manifest = parse(await store.read(_select(reference, manifest).digest))
        manifest = _no_index(reference, manifest)
        layer = _module_layer(reference, manifest)
        return await _describe(store, digest, manifest, layer) if await store.has(layer.digest) else None
    except (BlobNotFoundError, InvalidManifestError):
        return None


async def image_blobs(digest: str, store: BlobStore) -> frozenset[str]:
    """Return the digests of all that an image or index consists of, as far as `store` can tell.

    Nothing counts as used by that.
    """
    try:
        document = parse(await store.read(digest))
    except (BlobNotFoundError, InvalidManifestError):
        return frozenset([digest])
    if isinstance(document, ImageIndex):
        parts = [await image_blobs(descriptor.digest, store) for descriptor in document.manifests]
        return frozenset([digest]).union(*parts)
    return frozenset([digest, document.config.digest, *(layer.digest for layer in document.layers)])


def wasi_version(header: bytes) -> str:
    """Return which WASI a module with this header (its first 8 bytes) is for: `wasip1`, or `wasip2` for a
    component.

    Raises:
        NotWasmError: these are not the first bytes of WebAssembly.
    """
    if header[:4] != b"\0asm" or len(header) < 8:
        raise NotWasmError("it does not begin as WebAssembly does (with the bytes 00 61 73 6d)")
    version, layer = struct.unpack_from("<HH", header, 4)
    if layer == 1:
        return "wasip2"
    if (version, layer) == (1, 0):
        return "wasip1"
    raise NotWasmError(f"it is WebAssembly of version {version}, layer {layer}, which nobody knows")


def _inspect(path: Path) -> tuple[str, str]:
    """Return the WASI version of the file at `path`, and when it was made."""
    try:
        with path.open("rb") as file:
            system = wasi_version(file.read(8))
            modified = os.fstat(file.fileno()).st_mtime
    except OSError as error:
        raise NotWasmError(f"can't read {path}: {error.strerror or error}") from None
    except NotWasmError as error:
        raise NotWasmError(f"{path} is not a WebAssembly module: {error}") from None
    return system, datetime.datetime.fromtimestamp(int(modified), datetime.UTC).isoformat().replace(
        "+00:00", "Z"
    )


def _select(reference: Reference, index: ImageIndex) -> Descriptor:
    try:
        return select_wasm(index)
    except UnsupportedArtifactError as error:
        raise UnsupportedArtifactError(f"{reference}: {plain(str(error))}") from None


def _no_index(reference: Reference, document: ImageManifest | ImageIndex) -> ImageManifest:
    if isinstance(document, ImageIndex):
        raise UnsupportedArtifactError(f"{reference} is an image index of image indexes")
    return document


def _module_layer(reference: Reference, manifest: ImageManifest) -> Descriptor:
    for layer in manifest.layers:
        if layer.media_type in _LAYERS:
            if layer.size > MODULE_LIMIT:
                raise UnsupportedArtifactError(
                    f"the module in {reference} has {layer.size} bytes, over the limit of {MODULE_LIMIT}"
                )
            return layer
    found = sorted({layer.media_type for layer in manifest.layers})[:5]
    raise UnsupportedArtifactError(
        f"{reference} holds no WebAssembly module ({WASM_LAYER}): "
        f"its layers are {plain(', '.join(found)) or 'none'}, its config {plain(manifest.config.media_type)}"
    )


async def _describe(
    store: BlobStore, digest: str, manifest: ImageManifest, layer: Descriptor
) -> PulledModule:
    config = await _read_config(store, manifest.config)
    return PulledModule(store.path(layer.digest), layer.digest, digest, layer.size, config)


async def _read_config(store: BlobStore, descriptor: Descriptor) -> WasmConfig | None:
    if descriptor.media_type != WASM_CONFIG or descriptor.size > MANIFEST_LIMIT:
        return None
    try:
        return msgspec.json.decode(await store.read(descriptor.digest), type=WasmConfig)
    except (BlobNotFoundError, msgspec.DecodeError):
        return None  # the config only describes; the module is what runs


def _typed(descriptor: Descriptor, media_type: str) -> Descriptor:
    return msgspec.structs.replace(descriptor, media_type=media_type)
