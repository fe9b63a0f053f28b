"""Expressions mean what they mean to Kubernetes: its libraries, and what is translated for the runtime."""

from typing import Any

import pytest

from proa.controlplane.cel import (
    Budget,
    EvaluationError,
    Question,
    RuleError,
    Typed,
    authorizer,
    compile_rule,
    judge_at_hand,
)
from proa.controlplane.cel._find import find_all
from proa.controlplane.cel._syntax import MalformedError, parse, written

Json = dict[str, Any]
TIME = {"type": "string", "format": "date-time"}
DURATION = {"type": "string", "format": "duration"}
PROPERTIES = {
    "when": TIME,
    "x-y": TIME,
    "day": {"type": "string", "format": "date"},
    "d": DURATION,
    "b": {"type": "string", "format": "byte"},
    "items": {"type": "array", "items": {"type": "object", "properties": {"at": TIME}}},
    "m": {"type": "object", "additionalProperties": DURATION},
    "name": {"type": "string"},
    "l": {"type": "array", "items": {"type": "integer"}},
}
SCHEMA = {"type": "object", "properties": PROPERTIES}
NEW_YEAR = "2026-01-01T00:00:00Z"
SELF = {
    "when": NEW_YEAR,
    "x__dash__y": NEW_YEAR,
    "day": "2026-01-02",
    "d": "1h30m",
    "b": "YWJj",
    "items": [{"at": NEW_YEAR}, {"at": "2026-01-03T00:00:00Z"}],
    "m": {"a": "5s", "b": "2h"},
    "name": "abc",
    "l": [3, 1, 2, 3],
}
VARIABLES = ("self", "oldSelf", "authorizer")


def value(source: str) -> Any:
    rule = compile_rule(source, VARIABLES, "any", Typed({"self": SCHEMA, "oldSelf": SCHEMA}))
    return rule.evaluate({"self": SELF, "oldSelf": SELF, "authorizer": authorizer(group="apps")}, Budget())


CASES: list[tuple[str, Any]] = [
    # times, durations and bytes, wherever a schema has them
    ('self.when + duration("24h") == self.day', True),
    ("self.when.getFullYear()", 2026),
    ('self.d > duration("1h")', True),
    ('self.b == b"abc"', True),
    ("self.items[1].at > self.items[0].at", True),
    ('self.items.all(i, i.at < timestamp("2027-01-01T00:00:00Z"))', True),
    ("self.items.map(i, i.at).all(a, a >= self.when)", True),
    ("self.items.filter(i, i.at > self.when).size()", 1),
    ('self.m.all(k, self.m[k] < duration("3h"))', True),
    ('self.m.all(k, v, v < duration("2h"))', False),
    ("has(self.when) && self.?when.hasValue()", True),
    ('self.?when.orValue(timestamp("2020-01-01T00:00:00Z")) == self.when', True),
    ("self.x__dash__y == self.when", True),
    ("cel.bind(t, self.when, t == self.when)", True),
    ("optional.of(self).value().when == self.when", True),
    # two variables
    ("self.l.all(i, v, i >= 0 && v > 0)", True),
    ("self.l.existsOne(i, v, v == 1)", True),
    ("self.l.transformList(i, v, i > 1, v * 2)", [4, 6]),
    ('{"a": 1, "b": 2}.transformMap(k, v, v > 1, k)', {"b": "b"}),
    ('["a", "b"].transformMapEntry(i, v, {v: i})', {"a": 0, "b": 1}),
    # lists
    ("self.l.indexOf(3)", 0),
    ("self.l.lastIndexOf(3)", 3),
    ("self.l.indexOf(9)", -1),
    ('"abcb".indexOf("b", 2)', 3),
    ('self.name.lastIndexOf("c")', 2),
    ("self.l.sum() + self.l.max() + self.l.min()", 13),
    ("self.l.isSorted()", False),
    ("self.l.distinct().sort().reverse()", [3, 2, 1]),
    ("self.l.slice(1, 3)", [1, 2]),
    ("[1, [2, [3]]].flatten()", [1, 2, [3]]),
    ("lists.range(3)", [0, 1, 2]),
    ('["bb", "a"].sortBy(x, x.size())', ["a", "bb"]),
    ("self.l.first().value()", 3),
    ("sets.intersects([1, 2], self.l)", True),
    # texts
    ('"abc 123".find("[0-9]+")', "123"),
    ('"1 2 3".findAll("[0-9]", 2)', ["1", "2"]),
    ('jsonpatch.escapeKey("a/b~c")', "a~1b~0c"),
    ('format.dns1123Label().validate("A").hasValue()', True),
    ('format.dns1123Label().validate("a").hasValue()', False),
    ('format.named("uuid").value().validate("x").value().size() > 0', True),
    ('format.named("x").hasValue()', False),
    ('string(ip("1.2.3.4")) + string(cidr("10.0.0.0/8"))', "1.2.3.410.0.0.0/8"),
    ('semver("v1.02", true).minor()', 2),
    ('isSemver("v1.0")', False),
    # who may what
    ('authorizer.group("apps").resource("pods").namespace("a").check("get").allowed()', True),
    ('authorizer.path("/x").check("post").reason()', "no post of /x"),
    ('authorizer.serviceAccount("n", "s").resource("pods").check("list").reason()', "n/s: no list of pods"),
    ('authorizer.requestResource.check("delete").allowed()', False),
    # structs
    (
        'Object{spec: Object.spec{n: 1 + 2, ?x: optional.none(), l: [Object.spec.l{name: "a"}]}}',
        {"spec": {"n": 3, "l": [{"name": "a"}]}},
    ),
    (
        '[JSONPatch{op: "add", path: "/a", value: Object.spec{x: 1}}]',
        [{"op": "add", "path": "/a", "value": {"x": 1}}],
    ),
]


def judge(asked: Question) -> tuple[bool, str]:
    who = f"{asked.service_account}: " if asked.service_account else ""
    return asked.verb == "get", f"{who}no {asked.verb} of {asked.path or asked.resource}"


@pytest.mark.parametrize(("source", "expected"), CASES, ids=range(len(CASES)))
def test_an_expression_has_its_value(source: str, expected: Any) -> None:
    judge_at_hand.set(judge)
    found = value(source)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    "source",
    [
        "Object{spec: Object.wrong{}}",
        "Object{a: [Object.b{}]}",
        "self.all(",
        "self.l.all(i, v)",
        "(" * 300 + "1" + ")" * 300,
    ],
)
def test_what_is_no_expression_is_refused(source: str) -> None:
    with pytest.raises(RuleError):
        value(source)


@pytest.mark.parametrize(
    "source", ['"a".find("(")', '"a".find("(a)\\\\1")', "lists.range(100000)", "[1].slice(2, 1)"]
)
def test_what_has_no_value_is_an_error(source: str) -> None:
    with pytest.raises(EvaluationError):
        value(source)


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("abcd", "(ab|a)(c|bcd)", ["abc"]),
        ("baaac", "a+?", ["a", "a", "a"]),
        ("baaac", "a*", ["", "aaa", ""]),
        ("ab\ncd", "(?m)^.", ["a", "c"]),
        ("Ab aB", "(?i)ab", ["Ab", "aB"]),
        ("a1 b2", "[[:alpha:]][[:digit:]]", ["a1", "b2"]),
        ("word-word", r"\bword\b", ["word", "word"]),
        ("a" * 5000 + "b", "(a+)+$", []),
    ],
)
def test_matches_are_the_leftmost_ones_in_bounded_time(text: str, pattern: str, expected: list[str]) -> None:
    assert find_all(text, pattern) == expected


@pytest.mark.parametrize(
    "source",
    [
        'a.b > 1 && !has(a.c) || a.x[0].?y.orValue(-1) == 3u ? "a" : r\'\\d"\'',
        "-9223372036854775808 + - 1 - (2 - 3) - 4",
        'a[?"x"].optMap(v, [?v, 1]) // end',
        '{"a": 1, ?b: c} + """x\n""" + b\'\\x00\' + 1.5e3 + 0xFF + .5',
        "a.`b-c`.d(e)[f]",
    ],
)
def test_a_tree_is_written_as_what_it_was(source: str) -> None:
    tree = parse(source)
    assert parse(written(tree)) == tree


@pytest.mark.parametrize(
    "source",
    ["", "a b", "a.", "[1", "1 +", "a{b: 1}{", "'a", "#", "a ? b", "-" * 500 + "1", "a" + ".a" * 500],
)
def test_a_malformed_text_has_no_tree(source: str) -> None:
    with pytest.raises(MalformedError):
        parse(source)
