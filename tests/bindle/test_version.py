import pytest

from proa.bindle.errors import InvalidVersionError
from proa.bindle.version import Version, VersionRange


@pytest.mark.parametrize("text", ["1.2.3", "0.0.0", "1.0.0-alpha.1", "1.0.0-0a.b-c+build.01", "1.0.0+x"])
def test_a_version_reads_and_writes_back(text: str) -> None:
    assert str(Version.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "1", "1.2", "01.2.3", "1.2.3-", "1.2.3-01", "v1.2.3", "1.2.3 ", "1.2.3\n", "1.2.3-ä", "1.2.٣"],
)
def test_what_is_no_strict_version_is_refused(text: str) -> None:
    with pytest.raises(InvalidVersionError):
        Version.parse(text)


def test_versions_sort_by_precedence() -> None:
    ordered = [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0",
        "1.2.0",
        "1.10.0",
    ]
    shuffled = [Version.parse(text) for text in reversed(ordered)]
    assert [str(version) for version in sorted(shuffled, key=lambda v: v.key)] == ordered


@pytest.mark.parametrize(
    "text",
    [
        "",
        "= 1.2.3",
        "1.2.3",
        "^1.1",
        "~1.2",
        "1",
        "1.2",
        "1.2.*",
        "1.*",
        "*",
        ">=1.2.3",
        ">1.1",
        "<2",
        "<=1.2",
        ">=1.0.0, <2.0.0",
        "=1.2",
        "^1.2.3",
        "~1",
    ],
)
def test_a_range_holds_1_2_3(text: str) -> None:
    assert VersionRange(text).matches(Version.parse("1.2.3"))


@pytest.mark.parametrize(
    "text",
    [
        "2",
        "%^&",
        ">1.2",
        ">1.2.3",
        "<1.2.3",
        "<1.2",
        "^0.9",
        "^1.3",
        "~1.1",
        "1.2.4",
        "=1.3",
        "1.1.*",
        "1.0.0 - 2.0.0",
        "^1 || ^2",
        "1.2.3+build",
        ">=1, <1.2.3",
        ",",
        "1.*.3",
    ],
)
def test_a_range_does_not_hold_1_2_3(text: str) -> None:
    assert not VersionRange(text).matches(Version.parse("1.2.3"))


def test_a_caret_keeps_the_first_number_that_is_not_zero() -> None:
    assert VersionRange("^0.1.2").matches(Version.parse("0.1.9"))
    assert not VersionRange("^0.1.2").matches(Version.parse("0.2.0"))
    assert not VersionRange("^0.0.2").matches(Version.parse("0.0.3"))


def test_a_pre_release_needs_a_comparator_that_names_one_of_the_same_release() -> None:
    version = Version.parse("1.2.3-beta.2")
    assert VersionRange(">=1.2.3-beta.1").matches(version)
    assert VersionRange("1.2.3-beta.2").matches(version)
    assert not VersionRange("^1.2").matches(version)
    assert not VersionRange(">=1.2.2-beta.1").matches(version)
    assert not VersionRange("*").matches(version)
