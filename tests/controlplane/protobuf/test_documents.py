"""What of the wire's peculiarities a document shows."""

from typing import Protocol

import pytest

from proa.controlplane._json import Document
from proa.controlplane.protobuf import decode


class Encoder(Protocol):
    def field(self, number: int, value: bytes | float) -> bytes: ...
    def body(self, api_version: str, kind: str, raw: bytes) -> bytes: ...


def spec_of(encoder: Encoder, api_version: str, kind: str, spec: bytes) -> Document:
    found: Document = decode(encoder.body(api_version, kind, encoder.field(2, spec)))["spec"]
    return found


def test_a_zero_behind_a_pointer_stays_and_others_are_left_out_as_json_leaves_them_out(
    encoder: Encoder,
) -> None:
    replicas, min_ready, paused = encoder.field(1, 0), encoder.field(5, 0), encoder.field(7, 0)
    assert spec_of(encoder, "apps/v1", "Deployment", replicas + min_ready + paused) == {"replicas": 0}


def test_a_zero_that_json_always_has_stays(encoder: Encoder) -> None:
    port = encoder.field(3, 0) + encoder.field(1, b"")
    assert spec_of(encoder, "v1", "Service", encoder.field(1, port)) == {"ports": [{"port": 0}]}


def test_fields_that_the_type_has_not_are_skipped(encoder: Encoder) -> None:
    unknown = encoder.field(999, b"x") + encoder.field(998, 1) + encoder.field(997, 0.5)
    assert spec_of(encoder, "apps/v1", "Deployment", unknown + encoder.field(1, 2)) == {"replicas": 2}


def test_the_last_of_several_values_counts(encoder: Encoder) -> None:
    paused = encoder.field(7, 1) + encoder.field(7, 0)
    replicas = encoder.field(1, 2) + encoder.field(1, 3)
    assert spec_of(encoder, "apps/v1", "Deployment", paused + replicas) == {"replicas": 3}


def test_repeated_numbers_may_be_packed(encoder: Encoder) -> None:
    groups = encoder.field(4, 1) + encoder.field(4, b"\x02\xac\x02")
    context = encoder.field(14, groups)
    expected = {"securityContext": {"supplementalGroups": [1, 2, 300]}}
    assert spec_of(encoder, "v1", "Pod", context) == expected


def test_a_map_entry_without_value_has_an_empty_one(encoder: Encoder) -> None:
    entries = encoder.field(2, encoder.field(1, b"a")) + encoder.field(2, b"")
    assert decode(encoder.body("v1", "ConfigMap", entries))["data"] == {"a": "", "": ""}


def test_a_32_bit_number_keeps_its_lowest_bits(encoder: Encoder) -> None:
    assert spec_of(encoder, "apps/v1", "Deployment", encoder.field(1, 2**32 + 5)) == {"replicas": 5}


def test_the_zero_time_and_empty_json_are_absent(encoder: Encoder) -> None:
    metadata = encoder.field(8, b"") + encoder.field(1, b"a")
    raw = encoder.field(1, metadata) + encoder.field(2, encoder.field(1, b"")) + encoder.field(3, 0)
    decoded = decode(encoder.body("apps/v1", "ControllerRevision", raw))
    assert decoded["metadata"] == {"name": "a"}
    assert "data" not in decoded


@pytest.mark.parametrize("api_version", ["v1", "apps/v1", "policy/v1"])
def test_every_group_has_delete_options(encoder: Encoder, api_version: str) -> None:
    body = encoder.body(api_version, "DeleteOptions", encoder.field(1, 0))
    assert decode(body) == {"kind": "DeleteOptions", "apiVersion": api_version, "gracePeriodSeconds": 0}
