"""Bytes from anyone: read, or refused with one error that says where; never more work than their size."""

import io
import re
from contextlib import suppress
from typing import Protocol

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.controlplane import protobuf
from proa.controlplane._json import Document
from proa.controlplane.protobuf import ProtobufError, decode

MEGABYTES = 3 * 1024 * 1024 - 100


class Encoder(Protocol):
    def field(self, number: int, value: bytes | float) -> bytes: ...
    def message(self, name: str, document: Document) -> bytes: ...
    def body(self, api_version: str, kind: str, raw: bytes) -> bytes: ...


@pytest.fixture(scope="session")
def deployment(encoder: Encoder) -> bytes:
    container = {"name": "main", "image": "i:1", "resources": {"limits": {"cpu": "1"}}}
    metadata = {"labels": {"app": "web"}, "creationTimestamp": "2026-01-02T03:04:05Z"}
    template = {"metadata": metadata, "spec": {"containers": [container]}}
    document = {"metadata": metadata, "spec": {"replicas": 3, "template": template}}
    return encoder.body("apps/v1", "Deployment", encoder.message("io.k8s.api.apps.v1.Deployment", document))


def read_or_refused(body: bytes) -> None:
    with suppress(ProtobufError):
        assert type(decode(body)) is dict


def test_a_body_cut_anywhere_is_refused_or_read(deployment: bytes) -> None:
    for length in range(len(deployment)):
        read_or_refused(deployment[:length])


@given(st.data())
def test_a_body_with_changed_bytes_is_refused_or_read(deployment: bytes, data: st.DataObject) -> None:
    body = bytearray(deployment)
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    read_or_refused(bytes(body))


@given(st.sampled_from(["Pod", "Secret", "Event", "Node", "Service"]), st.binary(max_size=60))
def test_any_bytes_as_an_object_are_refused_or_read(encoder: Encoder, kind: str, data: bytes) -> None:
    read_or_refused(encoder.body("v1", kind, data))
    read_or_refused(b"k8s\0" + data)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "begins with the bytes 'k8s'"),
        (b"{}", "begins with the bytes 'k8s'"),
        (b"k8s\0", 'no kind "" in version ""'),
        (b"k8s\0\x08\x01", "field 1 has the wire type 0"),
    ],
)
def test_a_body_without_its_envelope_is_refused(body: bytes, problem: str) -> None:
    with pytest.raises(ProtobufError, match=problem):
        decode(body)


@pytest.mark.parametrize("kind", [("v1", "Nothing"), ("v2", "Pod"), ("apiextensions.k8s.io/v1", "Status")])
def test_a_kind_without_protobuf_form_is_named(encoder: Encoder, kind: tuple[str, str]) -> None:
    with pytest.raises(ProtobufError, match=f'no kind "{kind[1]}" in version "{kind[0]}"'):
        decode(encoder.body(*kind, b""))


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"\x0a\x05ab", "the bytes end within a field"),
        (b"\x0a", "the bytes end within a number"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "the bytes end within a field"),
        (b"\xff" * 11, "a number has more than 64 bits"),
        (b"\x00\x00", "a field has the number 0"),
        (b"\x0b\x0c", "a field has the wire type 3"),
        (b"\x08\x01", r"metadata: a value of type \S+ObjectMeta has the wire type 0"),
        (b"\x0d\0\0\0\0", r"metadata: a value of type \S+ObjectMeta has the wire type 5"),
        (b"\x0a\x03\x0a\x01\xff", "metadata.name: a text is not UTF-8"),
        (b"\x0a\x0c\x42\x0a\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "metadata.creationTimestamp: a time"),
        (b"\x0a\x04\x5a\x02\x08\x01", "metadata.labels: field 1 has the wire type 0"),
        (b"\x12\x06\x12\x04\x10\x00\x12", "the bytes end"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(encoder: Encoder, raw: bytes, problem: str) -> None:
    with pytest.raises(ProtobufError, match=problem):
        decode(encoder.body("v1", "Pod", raw))


@pytest.mark.parametrize("held", [b"{", b"[" * MEGABYTES, b"k8s\0"])
def test_json_within_that_cannot_be_read_is_refused(encoder: Encoder, held: bytes) -> None:
    body = encoder.body("apps/v1", "ControllerRevision", encoder.field(2, encoder.field(1, held)))
    with pytest.raises(ProtobufError, match=re.escape("data.raw: it holds JSON that cannot be read")):
        decode(body)


def three_megabytes(encoder: Encoder, unit: bytes) -> bytes:
    return encoder.body("v1", "Pod", encoder.field(2, unit * (MEGABYTES // len(unit))))


@pytest.mark.parametrize("unit", [b"\x0a\0", b"\x12\0", b"\x3a\0", b"\xf8\x7f\0", b"\xfd\x7f\0\0\0\0"])
def test_megabytes_of_tiny_fields_are_refused_at_a_limit(encoder: Encoder, unit: bytes) -> None:
    with pytest.raises(ProtobufError, match="more than 100000 fields"):
        decode(three_megabytes(encoder, unit))


def test_megabytes_of_packed_numbers_are_refused_at_the_same_limit(encoder: Encoder) -> None:
    security_context = encoder.field(14, encoder.field(4, b"\x01" * MEGABYTES))
    with pytest.raises(ProtobufError, match="supplementalGroups: there are more than 100000"):
        decode(encoder.body("v1", "Pod", encoder.field(2, security_context)))


def test_an_object_of_a_thousand_entries_is_far_from_the_limit(encoder: Encoder) -> None:
    document = {"data": {f"key-{number}": "value" * 200 for number in range(1000)}}
    raw = encoder.message("io.k8s.api.core.v1.ConfigMap", document)
    assert decode(encoder.body("v1", "ConfigMap", raw))["data"] == document["data"]


async def test_the_server_answers_400_and_says_why(admin: aiohttp.ClientSession, encoder: Encoder) -> None:
    headers = {"Content-Type": protobuf.MEDIA_TYPE}
    url = "/api/v1/namespaces/default/configmaps"
    garbage = encoder.body("v1", "ConfigMap", b"\x0a\x05ab")
    for body in (b"k8s\0", garbage, b"k8s\0" + b"\xff" * MEGABYTES, b"{}"):
        async with admin.post(url, data=io.BytesIO(body), headers=headers) as response:
            status = await response.json()
            assert (response.status, status["reason"]) == (400, "BadRequest"), status
            assert "ConfigMap" in status["message"]


async def test_the_server_refuses_another_kind_than_the_path_names(
    admin: aiohttp.ClientSession, encoder: Encoder
) -> None:
    body = encoder.body("v1", "Secret", b"")
    headers = {"Content-Type": protobuf.MEDIA_TYPE}
    async with admin.post("/api/v1/namespaces/default/configmaps", data=body, headers=headers) as response:
        assert response.status == 400
