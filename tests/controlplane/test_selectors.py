"""Label and field selectors."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.controlplane._errors import StatusError
from proa.controlplane.selectors import from_document, parse_fields, parse_labels, to_text

LABELS = {"app": "web", "tier": "3", "empty": ""}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,tier=3", True),
        ("app!=web", False),
        ("other!=web", True),
        ("app in (web, db)", True),
        ("app in (db)", False),
        ("app notin (db)", True),
        ("other notin (db)", True),
        ("app", True),
        ("!app", False),
        ("!other", True),
        ("tier>2", True),
        ("tier<2", False),
        ("app>2", False),
        ("empty=", True),
        ("app=", False),
        ("in in (in)", False),
        ("example.com/a=b", False),
    ],
)
def test_label_selectors_select(text: str, matches: bool) -> None:
    assert parse_labels(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    "text", ["a===", "a in b", "a in (", "=b", "a,,b", "a=b c", "a b", "(", "-a=b", "a=b!"]
)
def test_what_is_no_label_selector_is_refused(text: str) -> None:
    with pytest.raises(StatusError) as caught:
        parse_labels(text)
    assert caught.value.code == 400


@given(st.text(max_size=30))
def test_any_text_is_a_selector_or_refused(text: str) -> None:
    with suppress(StatusError):
        parse_labels(text).matches(LABELS)
        parse_fields(text, ["a"]).matches({})


def test_field_selectors_know_their_resources_fields() -> None:
    selector = parse_fields("metadata.name=a,status.phase!=Failed", ["metadata.name", "status.phase"])
    assert selector.matches({"metadata.name": "a", "status.phase": "Running"})
    assert not selector.matches({"metadata.name": "a", "status.phase": "Failed"})
    assert selector.required("metadata.name") == "a"
    with pytest.raises(StatusError, match="not a known field selector"):
        parse_fields("data.x=1", ["metadata.name"])


def test_selector_objects_match_and_print_as_their_text() -> None:
    expression = {"key": "tier", "operator": "In", "values": ["3", "4"]}
    document = {"matchLabels": {"app": "web"}, "matchExpressions": [expression]}
    selector = from_document(document)
    assert selector is not None
    assert selector.matches(LABELS)
    assert to_text(document) == "app=web,tier in (3,4)"
    assert from_document(None) is None
