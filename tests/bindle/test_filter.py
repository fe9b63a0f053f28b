"""Which parcels are needed: the reference's rules, with `satisfiedBy` kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.bindle.errors import UnsatisfiedGroupError
from proa.bindle.filter import Filter
from proa.bindle.invoice import Bindle, Conditions, Group, Invoice, Label, Parcel


def parcel(name: str, *groups: str, requires: tuple[str, ...] = (), **features: dict[str, str]) -> Parcel:
    label = Label(sha256="0" * 64, media_type="text/plain", name=name, size=0, feature=features or None)
    return Parcel(label=label, conditions=Conditions(member_of=list(groups), requires=list(requires)))


def invoice(parcels: list[Parcel], **groups: str) -> Invoice:
    """Groups by name; `required` in the value makes one required, the rest is satisfiedBy."""
    return Invoice(
        bindle_version="1.0.0",
        bindle=Bindle(name="a", version="1.0.0"),
        parcels=parcels,
        groups=[
            Group(
                name=name,
                required="required" in how,
                satisfied_by=how.removeprefix("required").strip() or None,
            )
            for name, how in groups.items()
        ],
    )


def chosen(filter_: Filter, document: Invoice) -> list[str]:
    return [parcel.label.name for parcel in filter_.select(document)]


def test_a_parcel_in_no_group_is_always_needed() -> None:
    document = invoice([parcel("a"), Parcel(label=parcel("b").label), parcel("c", "g")], g="")
    assert chosen(Filter(), document) == ["a", "b"]


def test_required_groups_come_by_themselves_and_others_when_wanted() -> None:
    document = invoice([parcel("a", "must"), parcel("b", "may")], must="required", may="")
    assert chosen(Filter(), document) == ["a"]
    assert chosen(Filter(with_groups=["may"]), document) == ["a", "b"]


def test_without_beats_required_but_not_a_need() -> None:
    document = invoice([parcel("a", "g"), parcel("b")], g="required")
    assert chosen(Filter(without_groups=["g"]), document) == ["b"]
    needing = invoice([parcel("a", "g"), parcel("b", requires=("g",))], g="required")
    assert chosen(Filter(without_groups=["g"]), needing) == ["a", "b"]


def test_needs_are_followed_through_and_circles_end() -> None:
    document = invoice(
        [
            parcel("a", requires=("x",)),
            parcel("b", "x", requires=("y",)),
            parcel("c", "y", requires=("x",)),
            parcel("d", "z"),
        ],
        x="",
        y="",
        z="",
    )
    assert chosen(Filter(), document) == ["a", "b", "c"]


def test_features_leave_out_what_lacks_or_mismatches_the_value() -> None:
    document = invoice(
        [
            parcel("plain"),
            parcel("arm", arch={"cpu": "arm"}),
            parcel("x86", arch={"cpu": "x86"}),
            parcel("none", arch={"gpu": "1"}),
        ]
    )
    assert chosen(Filter(activate={"arch": {"cpu": "arm"}}), document) == ["plain", "arm"]
    assert chosen(Filter(deactivate={"arch": {"cpu": "arm"}}), document) == ["plain", "x86", "none"]
    both = Filter(activate={"arch": {"cpu": "arm"}}, deactivate={"arch": {"cpu": "arm"}})
    assert chosen(both, document) == ["plain"]


def test_of_a_one_of_group_one_parcel_is_taken() -> None:
    document = invoice(
        [
            parcel("arm", "g", arch={"cpu": "arm"}),
            parcel("x86", "g", arch={"cpu": "x86"}),
            parcel("other", "g", arch={"cpu": "x86"}),
        ],
        g="required oneOf",
    )
    assert chosen(Filter(), document) == ["arm"]
    assert chosen(Filter(activate={"arch": {"cpu": "x86"}}), document) == ["x86"]


@pytest.mark.parametrize("how", ["required", "required allOf", "required oneOf"])
def test_a_group_that_the_features_emptied_is_an_error(how: str) -> None:
    document = invoice([parcel("arm", "g", arch={"cpu": "arm"})], g=how)
    with pytest.raises(UnsatisfiedGroupError, match="'g'"):
        Filter(activate={"arch": {"cpu": "x86"}}).select(document)


def test_an_optional_group_may_be_empty() -> None:
    document = invoice([parcel("arm", "g", arch={"cpu": "arm"})], g="required optional")
    assert chosen(Filter(activate={"arch": {"cpu": "x86"}}), document) == []


def test_groups_that_nobody_defined_and_groups_defined_twice_are_fine() -> None:
    document = invoice([parcel("a", "ghost"), parcel("b", requires=("nowhere",))])
    assert chosen(Filter(), document) == ["b"]
    assert chosen(Filter(with_groups=["ghost"]), document) == ["a", "b"]


groups = st.sampled_from(["g1", "g2", "g3", "g4"])
parcels = st.builds(
    lambda number, member_of, requires: parcel(str(number), *member_of, requires=tuple(requires)),
    st.integers(),
    st.lists(groups, max_size=2),
    st.lists(groups, max_size=2),
)


@given(st.lists(parcels, max_size=8), st.sets(groups), st.sets(groups), st.sets(groups))
def test_a_selection_is_closed_under_needs_and_holds_the_global_group(
    listed: list[Parcel], required: set[str], wanted: set[str], unwanted: set[str]
) -> None:
    document = invoice(listed, **dict.fromkeys(sorted(required), "required"))
    selected = Filter(with_groups=wanted, without_groups=unwanted).select(document)
    needed = {name for parcel in selected for name in parcel.requires}
    for each in listed:
        member = set(each.groups)
        expected = not member or member & needed or member & ((required | wanted) - unwanted)
        assert (each in selected) == bool(expected)
