import msgspec
import pytest

from proa.oci import InvalidManifestError, UnsupportedArtifactError
from proa.oci import digest as digests
from proa.oci.manifest import (
    IMAGE_INDEX,
    IMAGE_MANIFEST,
    MANIFEST_LIMIT,
    Descriptor,
    ImageIndex,
    ImageManifest,
    Platform,
    encode,
    parse,
    select_wasm,
)

DIGEST = digests.of(b"")
DESCRIPTOR = {"mediaType": "a/b", "digest": DIGEST, "size": 0}


def manifest(**changes: object) -> bytes:
    return msgspec.json.encode({"schemaVersion": 2, "config": DESCRIPTOR, "layers": [DESCRIPTOR]} | changes)


def test_a_manifest_survives_being_written_and_read() -> None:
    blob = Descriptor(media_type="application/wasm", digest=DIGEST, size=3, annotations={"a": "b"})
    document = ImageManifest(schema_version=2, media_type=IMAGE_MANIFEST, config=blob, layers=[blob])
    assert parse(encode(document)) == document
    assert encode(document) == encode(document)
    assert b"artifactType" not in encode(document)


@pytest.mark.parametrize("kind", ["manifest", "manifest.list"])
def test_docker_documents_are_read_as_their_oci_twins(kind: str) -> None:
    media_type = f"application/vnd.docker.distribution.{kind}.v2+json"
    content = manifest(mediaType=media_type, manifests=[DESCRIPTOR])
    assert isinstance(parse(content, media_type), ImageIndex if kind.endswith("list") else ImageManifest)


def test_an_index_without_any_media_type_is_known_by_its_shape() -> None:
    content = msgspec.json.encode({"schemaVersion": 2, "manifests": [DESCRIPTOR]})
    assert isinstance(parse(content, "application/octet-stream"), ImageIndex)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "invalid manifest"),
        (b"[]", "invalid manifest"),
        (b"{" * 5000, "invalid manifest"),
        (b'{"manifests":' + b"[" * 100_000, "invalid manifest"),
        (manifest(schemaVersion=1), "invalid manifest"),
        (manifest(config={"mediaType": "a/b", "digest": "../../etc/passwd", "size": 1}), "is not a digest"),
        (manifest(config={"mediaType": "a/b", "digest": DIGEST, "size": -1}), "invalid manifest"),
        (manifest(config={"mediaType": "a/b", "digest": DIGEST, "size": 2**63}), "invalid manifest"),
        (manifest(subject=DESCRIPTOR | {"digest": "sha256:short"}), "hex digits"),
        (manifest(mediaType="application/vnd.docker.distribution.manifest.v1+json"), "not supported"),
        (manifest(layers=None), "layers"),
        (b" " * (MANIFEST_LIMIT + 1), "over the limit"),
    ],
)
def test_broken_documents_are_refused(content: bytes, reason: str) -> None:
    with pytest.raises(InvalidManifestError, match=reason):
        parse(content)


def test_a_document_that_contradicts_its_content_type_is_refused() -> None:
    with pytest.raises(InvalidManifestError, match="says that it is"):
        parse(manifest(mediaType=IMAGE_MANIFEST), IMAGE_INDEX)


def index(*platforms: Platform | None) -> ImageIndex:
    entries = [
        Descriptor(
            media_type=IMAGE_MANIFEST, digest=digests.of(str(number).encode()), size=1, platform=platform
        )
        for number, platform in enumerate(platforms)
    ]
    return ImageIndex(schema_version=2, media_type=IMAGE_INDEX, manifests=entries)


LINUX = Platform(architecture="amd64", os="linux")
P1, P2 = Platform(architecture="wasm", os="wasip1"), Platform(architecture="wasm", os="wasip2")


@pytest.mark.parametrize(
    ("platforms", "chosen"),
    [
        ([LINUX, P2, P1], 2),
        ([LINUX, P2], 1),
        ([LINUX, Platform(architecture="wasm32", os="wasi")], 1),
        ([LINUX, Platform(architecture="wasm", os="js")], 1),
        ([None], 0),
    ],
)
def test_the_webassembly_entry_of_an_index_is_chosen(platforms: list[Platform | None], chosen: int) -> None:
    found = index(*platforms)
    assert select_wasm(found) is found.manifests[chosen]


def test_an_index_without_webassembly_says_what_it_has() -> None:
    with pytest.raises(UnsupportedArtifactError, match="it has linux/amd64, none named"):
        select_wasm(index(LINUX, None))
    with pytest.raises(UnsupportedArtifactError, match="no entries"):
        select_wasm(index())
