"""Patterns, their order, and the routes that modules announce themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.wagi.errors import WagiError
from proa.wagi.protocol import Matched
from proa.wagi.routing import RouteTable, SubRoute, check_pattern, matches, parse_sub_routes


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("/", "/", ("/", "")),
        ("/", "/x", None),
        ("/x", "/x", ("/x", "")),
        ("/x", "/x/", None),
        ("/x/", "/x/", ("/x/", "")),
        ("/x/...", "/x", ("/x", "")),
        ("/x/...", "/x/", ("/x", "/")),
        ("/x/...", "/x/y/z", ("/x", "/y/z")),
        ("/x/...", "/xy", None),
        ("/...", "/", ("/", "/")),
        ("/...", "/any/thing", ("/", "/any/thing")),
        ("/x/...", "/x/%20y", ("/x", "/%20y")),
    ],
)
def test_patterns(pattern: str, path: str, expected: tuple[str, str] | None) -> None:
    assert matches(pattern, path) == (expected and Matched(pattern, *expected))


def test_the_first_match_in_the_files_order_counts() -> None:
    table = RouteTable([("/a/...", 1), ("/a/b", 2), ("/a/b/...", 3), ("/b", 4), ("/...", 5), ("/b", 6)])
    found = {path: result[1] for path in ("/a", "/a/b", "/a/b/c", "/b", "/c") if (result := table.find(path))}
    assert found == {"/a": 1, "/a/b": 1, "/a/b/c": 1, "/b": 4, "/c": 5}


_parts = st.lists(st.sampled_from(["a", "b", ""]), max_size=4).map(lambda parts: "/" + "/".join(parts))


@given(st.lists(st.tuples(_parts, st.booleans())), _parts)
def test_the_table_finds_what_trying_each_pattern_in_turn_finds(
    patterns: list[tuple[str, bool]], path: str
) -> None:
    routes = [(f"{text.rstrip('/')}/..." if wild else text, n) for n, (text, wild) in enumerate(patterns)]
    tried = [(matched, n) for pattern, n in routes if (matched := matches(pattern, path))]
    assert RouteTable(routes).find(path) == (tried[0] if tried else None)


@pytest.mark.parametrize("path", ["*", "", "host:80"])
def test_targets_that_are_no_path_match_nothing(path: str) -> None:
    assert RouteTable([("/...", 1), ("/", 2)]).find(path) is None


@pytest.mark.parametrize("pattern", ["x", "", "/a/.../b", "/a...", "/a b", "/a?b", "/#"])
def test_patterns_that_are_none(pattern: str) -> None:
    assert check_pattern(pattern)


@pytest.mark.parametrize(
    ("parent", "expected"),
    [
        ("/", ["/w/...", "/e"]),
        ("/p", ["/p/w/...", "/p/e"]),
        ("/p/", ["/p/w/...", "/p/e"]),
        ("/p/...", ["/p/w/...", "/p/e"]),
    ],
)
def test_a_modules_own_routes_are_below_its_route_with_the_last_first(
    parent: str, expected: list[str]
) -> None:
    routes = parse_sub_routes(b"/e on_exact\n/w/... on_wild\n", parent)
    assert routes == [SubRoute(expected[0], "on_wild"), SubRoute(expected[1], "on_exact")]


@pytest.mark.parametrize("output", [b"", b"\n", b"/only-a-path\n", b"/a b c\n", b"/a/.../b x\n", b"\xff"])
def test_malformed_routes_are_refused(output: bytes) -> None:
    with pytest.raises(WagiError, match="_routes of /p"):
        parse_sub_routes(output, "/p")
