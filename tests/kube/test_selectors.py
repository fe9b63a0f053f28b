"""Label selectors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.kube import InvalidRequestError, Selector
from proa.kube.models.meta_v1 import LabelSelector, LabelSelectorRequirement

NAME = st.from_regex(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,8}[A-Za-z0-9])?", fullmatch=True)
KEY = NAME | st.builds("{}/{}".format, st.sampled_from(["example.com", "a.b-c.io"]), NAME)
REQUIREMENT = st.one_of(
    st.builds("{}={}".format, KEY, NAME),
    st.builds("{}!={}".format, KEY, NAME),
    st.builds("{} in ({},{})".format, KEY, NAME, NAME),
    st.builds("{} notin ({})".format, KEY, NAME),
    st.builds("{}".format, KEY),
    st.builds("!{}".format, KEY),
    st.builds("{}>{}".format, KEY, st.integers(0, 99)),
)


@given(st.lists(REQUIREMENT, max_size=4), st.dictionaries(KEY, NAME, max_size=4))
def test_a_selector_reads_its_own_text_and_means_the_same(texts: list[str], labels: dict[str, str]) -> None:
    selector = Selector.parse(",".join(texts))
    again = Selector.parse(str(selector))
    assert again == selector
    assert again.matches(labels) == selector.matches(labels)


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ("", {}, True),
        ("app=web", {"app": "web"}, True),
        (" app == web , tier != db ", {"app": "web"}, True),
        ("tier!=db", {"tier": "db"}, False),
        ("tier in (a, b)", {"tier": "b"}, True),
        ("tier in (a)", {}, False),
        ("tier notin (a)", {}, True),
        ("in in (in)", {"in": "in"}, True),
        ("app", {"app": ""}, True),
        ("app=", {"app": ""}, True),
        ("!app", {"app": "x"}, False),
        ("! app", {}, True),
        ("size>3", {"size": "10"}, True),
        ("size<3", {"size": "10"}, False),
        ("size>3", {"size": "big"}, False),
        ("example.com/a=b", {"example.com/a": "b"}, True),
    ],
)
def test_selectors_match_as_in_kubernetes(text: str, labels: dict[str, str], matches: bool) -> None:
    assert Selector.parse(text).matches(labels) is matches


@pytest.mark.parametrize(
    "text",
    [
        "=a",
        "a=b=c",
        "a in ()b",
        "a in (b",
        "a,,b",
        "a=b,",
        "a b",
        "a in b",
        "-a",
        "a/b/c",
        "UP.com/a",
        "a=-",
        "a>b",
        ",",
        "a" * 64,
    ],
)
def test_a_selector_that_cannot_be_read_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        Selector.parse(text)


def test_the_selector_of_a_workload_is_the_same_as_its_text() -> None:
    spec = LabelSelector(
        match_labels={"b": "2", "a": "1"},
        match_expressions=[
            LabelSelectorRequirement(key="c", operator="In", values=["x", "y"]),
            LabelSelectorRequirement(key="d", operator="DoesNotExist"),
        ],
    )
    assert str(Selector.of(spec)) == "a=1,b=2,c in (x,y),!d"
    assert Selector.of(spec).matches({"a": "1", "b": "2", "c": "y"})


def test_a_workloads_selector_with_a_wrong_operator_is_refused() -> None:
    wrong = LabelSelector(match_expressions=[LabelSelectorRequirement(key="a", operator="Like")])
    with pytest.raises(InvalidRequestError, match="no operator 'Like'"):
        Selector.of(wrong)
    empty = LabelSelector(match_expressions=[LabelSelectorRequirement(key="a", operator="In")])
    with pytest.raises(InvalidRequestError, match="no values"):
        Selector.of(empty)
