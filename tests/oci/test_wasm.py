import filecmp
import os
from pathlib import Path

import msgspec
import pytest

from proa.oci import (
    BlobStore,
    NotWasmError,
    Reference,
    RegistryClient,
    RegistryUnavailableError,
    UnsupportedArtifactError,
    WasmConfig,
    find_module,
    pull_module,
    push_module,
)
from proa.oci import digest as digests
from proa.oci.manifest import IMAGE_INDEX, IMAGE_MANIFEST, Descriptor, ImageIndex, ImageManifest, Platform
from proa.oci.testing import EMPTY_MODULE, RunningRegistry
from proa.oci.wasm import MODULE_LIMIT, wasi_version

EMPTY_COMPONENT = b"\0asm\x0d\0\x01\0"


async def test_a_module_travels_there_and_back(
    registry: RunningRegistry, client: RegistryClient, store: BlobStore, module: Path
) -> None:
    reference = registry.reference("hello:1")
    digest = await push_module(client, module, reference)
    pulled = await pull_module(client, reference, store)
    assert filecmp.cmp(pulled.path, module, shallow=False)
    assert pulled.digest == digests.of_file(module)
    assert pulled.manifest_digest == digest
    assert pulled.size == await store.size(pulled.digest)
    assert pulled.config is not None
    assert (pulled.config.architecture, pulled.config.os) == ("wasm", "wasip1")


async def test_the_artifact_is_as_the_cncf_format_says(
    registry: RunningRegistry, client: RegistryClient, store: BlobStore, tmp_path: Path
) -> None:
    path = tmp_path / "component.wasm"
    path.write_bytes(EMPTY_COMPONENT)
    os.utime(path, (0, 1_700_000_000))
    reference = registry.reference("hello:1")
    await push_module(client, path, reference)
    manifest = msgspec.json.decode((await client.get_manifest(reference)).content)
    assert manifest["schemaVersion"] == 2
    assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert manifest["config"]["mediaType"] == "application/vnd.wasm.config.v0+json"
    assert [layer["mediaType"] for layer in manifest["layers"]] == ["application/wasm"]
    pulled = await pull_module(client, reference, store)
    config = store.path(manifest["config"]["digest"]).read_bytes()
    assert msgspec.json.decode(config) == {
        "created": "2023-11-14T22:13:20Z",
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [pulled.digest],
    }


async def test_the_same_file_always_gets_the_same_digest(
    registry: RunningRegistry, client: RegistryClient, module: Path
) -> None:
    first = await push_module(client, module, registry.reference("a:1"))
    assert await push_module(client, module, registry.reference("b:2")) == first


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "does not begin as WebAssembly"),
        (b"\0asm", "does not begin as WebAssembly"),
        (b"#!/bin/sh\n", "does not begin as WebAssembly"),
        (b"\0asm\x02\0\0\0", "version 2, layer 0"),
    ],
)
async def test_a_file_that_is_not_wasm_is_refused_before_anything_is_sent(
    registry: RunningRegistry, client: RegistryClient, tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "not.wasm"
    path.write_bytes(content)
    with pytest.raises(NotWasmError, match=f"not.wasm is not a WebAssembly module: .*{reason}"):
        await push_module(client, path, registry.reference("hello:1"))
    assert registry.faults.requests == []


async def test_a_file_that_is_not_there_is_named(client: RegistryClient, tmp_path: Path) -> None:
    for path in (tmp_path / "missing.wasm", tmp_path):
        with pytest.raises(NotWasmError, match=f"can't read {path}"):
            await push_module(client, path, Reference.parse("localhost:1/hello"))


def test_modules_and_components_are_told_apart() -> None:
    assert (wasi_version(EMPTY_MODULE), wasi_version(EMPTY_COMPONENT)) == ("wasip1", "wasip2")


async def push_artifact(
    client: RegistryClient, reference: Reference, layer_type: str, content: bytes = EMPTY_MODULE
) -> str:
    config = await client.push_blob(reference, b"{}")
    layer = msgspec.structs.replace(await client.push_blob(reference, content), media_type=layer_type)
    manifest = ImageManifest(
        schema_version=2,
        media_type=IMAGE_MANIFEST,
        config=msgspec.structs.replace(config, media_type="application/vnd.oci.image.config.v1+json"),
        layers=[layer],
    )
    return await client.put_manifest(reference, manifest)


@pytest.mark.parametrize(
    "layer_type",
    [
        "application/wasm",
        "application/vnd.wasm.content.layer.v1+wasm",
        "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
    ],
)
async def test_older_layer_types_are_read(
    registry: RunningRegistry, client: RegistryClient, store: BlobStore, layer_type: str
) -> None:
    reference = registry.reference("old:1")
    await push_artifact(client, reference, layer_type)
    pulled = await pull_module(client, reference, store)
    assert await store.read(pulled.digest) == EMPTY_MODULE
    assert pulled.config is None


async def test_an_image_without_wasm_says_what_it_holds(
    registry: RunningRegistry, client: RegistryClient, store: BlobStore
) -> None:
    reference = registry.reference("linux:1")
    await push_artifact(client, reference, "application/vnd.oci.image.layer.v1.tar+gzip")
    with pytest.raises(
        UnsupportedArtifactError, match=r"linux:1 .*layer.v1.tar\+gzip, its config .*config.v1"
    ):
        await pull_module(client, reference, store)


async def test_a_module_too_large_is_refused_before_it_is_fetched(
    registry: RunningRegistry, client: RegistryClient, store: BlobStore
) -> None:
    reference = registry.reference("huge:1")
    config = await client.push_blob(reference, b"{}")
    layer = Descriptor(media_type="application/wasm", digest=config.digest, size=MODULE_LIMIT + 1)
    manifest = ImageManifest(schema_version=2, media_type=IMAGE_MANIFEST, config=config, layers=[layer])
    await client.put_manifest(reference, manifest)
    with pytest.raises(UnsupportedArtifactError, match="over the limit"):
        await pull_module(client, reference, store)
    assert registry.faults.count("GET", "/blobs/") == 0


async def push_index(client: RegistryClient, reference: Reference, module: Path) -> tuple[str, str]:
    """Push an index of a Linux image and a module; return its digest and that of the module's manifest."""
    linux = await push_artifact(client, reference, "application/vnd.oci.image.layer.v1.tar")
    wasm = await push_module(client, module, reference)
    index = ImageIndex(
        schema_version=2,
        media_type=IMAGE_INDEX,
        manifests=[
            Descriptor(
                media_type=IMAGE_MANIFEST, digest=digest, size=1, platform=Platform(architecture=arch, os=os)
            )
            for digest, arch, os in ((linux, "amd64", "linux"), (wasm, "wasm", "wasip1"))
        ],
    )
    return await client.put_manifest(reference, index), wasm


async def test_the_module_of_an_index_is_pulled(
    registry: RunningRegistry, client: RegistryClient, store: BlobStore, module: Path
) -> None:
    reference = registry.reference("multi:1")
    index_digest, _ = await push_index(client, reference, module)
    pulled = await pull_module(client, reference, store)
    assert filecmp.cmp(pulled.path, module, shallow=False)
    assert pulled.manifest_digest == index_digest
    assert await find_module(reference, store) == pulled


async def test_a_pulled_module_is_found_with_the_registry_gone(
    registry: RunningRegistry, client: RegistryClient, store: BlobStore, module: Path
) -> None:
    reference = registry.reference("hello:1")
    digest = await push_module(client, module, reference)
    assert await find_module(reference, store) is None
    pulled = await pull_module(client, reference, store)
    registry.faults.answer(503)
    with pytest.raises(RegistryUnavailableError):
        await pull_module(client, reference, store)
    assert await find_module(reference, store) == pulled
    assert await find_module(registry.reference(f"hello@{digest}"), store) == pulled
    assert await find_module(registry.reference("hello:2"), store) is None


async def test_a_module_deleted_from_the_store_is_not_found_but_fetched_again(
    registry: RunningRegistry, client: RegistryClient, store: BlobStore, module: Path
) -> None:
    reference = registry.reference("hello:1")
    await push_module(client, module, reference)
    pulled = await pull_module(client, reference, store)
    await store.delete(pulled.digest)
    assert await find_module(reference, store) is None
    assert await pull_module(client, reference, store) == pulled


async def test_a_moved_tag_is_followed(
    registry: RunningRegistry, client: RegistryClient, store: BlobStore, module: Path, tmp_path: Path
) -> None:
    reference = registry.reference("hello:1")
    await push_module(client, module, reference)
    await pull_module(client, reference, store)
    other = tmp_path / "other.wasm"
    other.write_bytes(EMPTY_MODULE)
    await push_module(client, other, reference)
    assert (await pull_module(client, reference, store)).digest == digests.of(EMPTY_MODULE)


async def test_a_broken_config_does_not_hide_the_module(
    registry: RunningRegistry, client: RegistryClient, store: BlobStore
) -> None:
    reference = registry.reference("odd:1")
    config = msgspec.structs.replace(
        await client.push_blob(reference, b"not json"), media_type="application/vnd.wasm.config.v0+json"
    )
    layer = msgspec.structs.replace(
        await client.push_blob(reference, EMPTY_MODULE), media_type="application/wasm"
    )
    manifest = ImageManifest(schema_version=2, media_type=IMAGE_MANIFEST, config=config, layers=[layer])
    await client.put_manifest(reference, manifest)
    assert (await pull_module(client, reference, store)).config is None


def test_the_config_is_written_in_camel_case() -> None:
    config = WasmConfig(architecture="wasm", os="wasip1", layer_digests=["sha256:x"])
    assert msgspec.json.encode(config) == b'{"architecture":"wasm","os":"wasip1","layerDigests":["sha256:x"]}'
