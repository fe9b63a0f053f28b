"""Watch events from chunks that may be cut anywhere."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.kube import AnyEvent, ApiError, Bookmark, DecodeError, GoneError, TransportError, WatchEvent
from proa.kube.core import watching
from proa.kube.core.watching import EventDecoder, Lines
from proa.kube.models.certificates_v1 import CertificateSigningRequest
from proa.kube.models.core_v1 import ConfigMap, Pod
from proa.kube.models.meta_v1 import ObjectMeta, Status
from proa.kube.testing import event

EVENTS = [
    WatchEvent("ADDED", Pod(metadata=ObjectMeta(name="ä", resource_version="1"))),
    Bookmark("2"),
    WatchEvent("DELETED", Pod(metadata=ObjectMeta(name="b", resource_version="3"))),
]
STREAM = (
    event("ADDED", Pod(metadata=ObjectMeta(name="ä", resource_version="1")))
    + event("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": "2"}, "spec": {"containers": None}})
    + b"\n"
    + event("DELETED", Pod(metadata=ObjectMeta(name="b", resource_version="3")))
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_where_chunks_are_cut_makes_no_difference(cuts: list[int]) -> None:
    decoder = EventDecoder(Pod)
    bounds = [0, *sorted(cuts), len(STREAM)]
    found: list[AnyEvent[Pod]] = []
    for start, end in pairwise(bounds):
        found += decoder.feed(STREAM[start:end])
    decoder.finish()
    assert found == EVENTS


def test_a_byte_at_a_time_is_enough() -> None:
    decoder = EventDecoder(Pod)
    assert [found for byte in STREAM for found in decoder.feed(bytes([byte]))] == EVENTS


@given(st.integers(1, len(STREAM) - 1))
def test_an_end_inside_an_event_is_noticed_and_one_between_events_is_clean(end: int) -> None:
    decoder = EventDecoder(Pod)
    list(decoder.feed(STREAM[:end]))
    if STREAM[:end].endswith(b"\n"):
        decoder.finish()
    else:
        with pytest.raises(TransportError, match="cut off"):
            decoder.finish()


def test_an_error_is_raised_as_what_it_is() -> None:
    expired = event("ERROR", Status(status="Failure", code=410, reason="Expired", message="too old"))
    with pytest.raises(GoneError, match="too old"):
        list(EventDecoder(Pod).feed(expired))
    with pytest.raises(ApiError, match="boom"):
        list(EventDecoder(ConfigMap).feed(event("ERROR", Status(code=500, message="boom"))))


def test_bookmarks_need_nothing_that_the_type_requires() -> None:
    line = event(
        "BOOKMARK",
        {
            "kind": "CertificateSigningRequest",
            "metadata": {"resourceVersion": "8", "annotations": {"k8s.io/initial-events-end": "true"}},
            "spec": {"request": None, "signerName": ""},
        },
    )
    assert list(EventDecoder(CertificateSigningRequest).feed(line)) == [
        Bookmark("8", initial_events_end=True)
    ]


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"7",
        b"nonsense",
        b'{"type":"RENAMED","object":{"kind":"Pod"}}',
        b'{"type":"ADDED","object":{"kind":"Pod","spec":7}}',
        b'{"type":"ADDED","object":null}',
        b'{"type":"BOOKMARK","object":{}}',
        b'{"type":"ERROR","object":7}',
    ],
)
def test_what_is_no_event_is_an_error_of_the_tree(line: bytes) -> None:
    with pytest.raises(DecodeError):
        list(EventDecoder(Pod).feed(line + b"\n"))


def test_a_line_without_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LONGEST_LINE", 10)
    lines = Lines()
    assert list(lines.feed(b"123456789\n12345")) == [b"123456789"]
    with pytest.raises(TransportError, match="line of more than"):
        list(lines.feed(b"678901"))
