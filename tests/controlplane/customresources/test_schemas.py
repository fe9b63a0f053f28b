"""Schemas, pruning, defaults, values, rules and paths: pure."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.controlplane.cel import Budget
from proa.controlplane.customresources import _json_path as json_path
from proa.controlplane.customresources._names import TakenNames, settle_names
from proa.controlplane.customresources._pruning import pruned, put_defaults
from proa.controlplane.customresources._rules import check_rules
from proa.controlplane.customresources._structural import validate_definition
from proa.controlplane.customresources._values import ABSENT, validate

Json = dict[str, Any]


def definition(schema: Json | None = None, **version: Any) -> Json:
    one = {"name": "v1", "served": True, "storage": True, **version}
    one["schema"] = {"openAPIV3Schema": {"type": "object"} if schema is None else schema}
    names = {"plural": "moose", "singular": "moose", "kind": "Moose", "listKind": "MooseList"}
    spec = {"group": "animals.test", "names": names, "scope": "Namespaced", "versions": [one]}
    return {"metadata": {"name": "moose.animals.test"}, "spec": spec}


def field(schema: Json) -> Json:
    return {"type": "object", "properties": {"f": schema}}


def wrong(schema: Json) -> list[str]:
    prefix = "spec.versions[0].schema.openAPIV3Schema."
    found = validate_definition(definition(schema))
    return [f"{cause.reason} {cause.field.removeprefix(prefix)}" for cause in found]


@pytest.mark.parametrize(
    ("schema", "causes"),
    [
        ({"type": "object"}, []),
        ({"type": "string"}, ["FieldValueInvalid type"]),
        ({}, ["FieldValueRequired type"]),
        (field({}), ["FieldValueRequired properties[f].type"]),
        (field({"type": "strin"}), ["FieldValueNotSupported properties[f].type"]),
        (field({"x-kubernetes-preserve-unknown-fields": True}), []),
        (field({"x-kubernetes-int-or-string": True}), []),
        (field({"type": "array"}), ["FieldValueRequired properties[f].items"]),
        (field({"type": "array", "items": {}}), ["FieldValueRequired properties[f].items.type"]),
        (
            field({"type": "object", "anyOf": [{"properties": {"a": {"type": "string"}}}]}),
            ["FieldValueForbidden properties[f].anyOf[0].properties[a].type"],
        ),
        (field({"type": "string", "pattern": "("}), ["FieldValueInvalid properties[f].pattern"]),
        (field({"type": "string", "default": 1}), ["FieldValueTypeInvalid properties[f].default"]),
        (
            field({"type": "string", "x-kubernetes-list-type": "set"}),
            ["FieldValueInvalid properties[f].type"],
        ),
        (
            field({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"}),
            ["FieldValueRequired properties[f].x-kubernetes-list-map-keys"],
        ),
        (
            field({"type": "integer", "x-kubernetes-validations": [{"rule": "self >"}]}),
            ["FieldValueInvalid properties[f].x-kubernetes-validations[0].rule"],
        ),
        (
            field({"type": "integer", "x-kubernetes-validations": [{"rule": "1 + 1"}]}),
            ["FieldValueInvalid properties[f].x-kubernetes-validations[0].rule"],
        ),
    ],
)
def test_a_schema_that_is_not_structural_is_refused_where_it_is_wrong(
    schema: Json, causes: list[str]
) -> None:
    assert wrong(schema) == causes


def test_a_rule_that_could_take_too_long_is_refused_and_a_bounded_one_is_not() -> None:
    def nested(**bounds: Any) -> Json:
        inner = {"type": "array", "items": {"type": "integer"}, **bounds}
        rule = {"rule": "self.all(a, self.all(b, self.all(c, a + b[0] + c[0] >= 0)))"}
        return field({"type": "array", "items": inner, "x-kubernetes-validations": [rule], **bounds})

    rule = "FieldValueForbidden properties[f].x-kubernetes-validations[0].rule"
    # by itself, and as the worst of all rules together, which are too much, too
    assert wrong(nested()) == [rule, rule, "FieldValueForbidden spec.versions[0].schema.openAPIV3Schema"]
    assert wrong(nested(maxItems=10)) == []


TEXTS = {"type": "array", "items": {"type": "string"}}


@pytest.mark.parametrize(
    ("rule", "schema", "is_too_much"),
    [
        ("self.all(x, x == 'a')", TEXTS, False),
        ("self.all(x, self.exists(y, x == y))", TEXTS, True),
        ("self.all(x, x.matches('^[a-z]+$'))", TEXTS, True),
        (
            "self.all(x, x.matches('^[a-z]+$'))",
            {"type": "array", "maxItems": 100, "items": {"type": "string", "maxLength": 64}},
            False,
        ),
        ("self.all(i, x, self.all(j, y, i == j || x != y))", TEXTS, True),
        (
            "self.all(i, x, self.all(j, y, i == j || x != y))",
            {**TEXTS, "maxItems": 9, "items": {"type": "string", "maxLength": 9}},
            False,
        ),
        ("self.contains('a') && self.size() < 5", {"type": "string"}, False),
        (
            "self.all(k, self[k].size() < 5)",
            {"type": "object", "additionalProperties": {"type": "string"}},
            False,
        ),
        ("size(self) < 9", TEXTS, False),
    ],
)
def test_what_a_rule_may_cost_depends_on_the_bounds_of_its_schema(
    rule: str, schema: Json, is_too_much: bool
) -> None:
    assert bool(wrong(field({**schema, "x-kubernetes-validations": [{"rule": rule}]}))) is is_too_much


def test_a_rule_about_the_items_of_a_list_costs_as_often_as_there_are_items() -> None:
    item = {
        "type": "string",
        "maxLength": 100,
        "x-kubernetes-validations": [{"rule": "self.matches('^[a-z]+$')"}],
    }
    listed = {"type": "array", "items": item}
    assert wrong(field({**listed, "maxItems": 10})) == []
    assert wrong(field(listed)) != []


def test_names_versions_and_paths_of_a_definition_are_checked_all_at_once() -> None:
    bad = definition(additionalPrinterColumns=[{"name": "A", "type": "text", "jsonPath": "spec"}])
    bad["metadata"]["name"] = "x"
    bad["spec"]["scope"] = "World"
    bad["spec"]["versions"].append({**bad["spec"]["versions"][0]})
    fields = {cause.field for cause in validate_definition(bad)}
    columns = "spec.versions[0].additionalPrinterColumns[0]"
    assert fields >= {
        "metadata.name",
        "spec.scope",
        "spec.versions",
        f"{columns}.type",
        f"{columns}.jsonPath",
    }
    assert "spec.versions[1].name" in fields


NESTED = {
    "type": "object",
    "properties": {
        "known": {"type": "object", "properties": {"a": {"type": "string", "default": "x"}}},
        "many": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
        "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": {}}}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "pod": {"type": "object", "x-kubernetes-embedded-resource": True},
        "given": {"type": "object", "default": {}, "properties": {"b": {"type": "integer", "default": 3}}},
        "no": {"type": "string", "default": "d"},
        "null": {"type": "string", "default": "d", "nullable": True},
    },
}


def test_what_a_schema_does_not_have_is_pruned_and_named() -> None:
    value = {
        "known": {"a": "1", "b": 2},
        "many": [{"a": "1"}, {"b": 1}],
        "map": {"k": {"a": 1, "b": 2}},
        "free": {"x": {"y": 1}},
        "pod": {"kind": "Pod", "metadata": {}, "other": 1},
        "x": None,
    }
    dropped: list[str] = []
    assert pruned(value, NESTED, "", dropped) == {
        "known": {"a": "1"},
        "many": [{"a": "1"}, {}],
        "map": {"k": {"a": 1}},
        "free": {"x": {"y": 1}},
        "pod": {"kind": "Pod", "metadata": {}},
    }
    assert dropped == ["known.b", "many[1].b", "map.k.b", "pod.other", "x"]


def test_defaults_fill_what_is_left_out_and_a_null_that_may_not_be() -> None:
    value: Json = {"known": {}, "no": None, "null": None}
    put_defaults(value, NESTED)
    assert value == {"known": {"a": "x"}, "given": {"b": 3}, "no": "d", "null": None}
    value["given"]["b"] = 9
    again: Json = {}
    put_defaults(again, NESTED)
    assert again["given"] == {"b": 3}


_NAMES = st.sampled_from(["known", "many", "map", "a", "b"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(_NAMES, inner),
)


@given(_VALUES)
def test_pruning_twice_is_pruning_once_and_nothing_breaks_validation(value: Any) -> None:
    once = pruned(value, NESTED, "", [])
    left: list[str] = []
    assert pruned(once, NESTED, "", left) == once
    assert left == []
    list(validate(value, NESTED, ""))


@pytest.mark.parametrize(
    ("schema", "value", "reason"),
    [
        ({"type": "integer"}, 1.5, "FieldValueTypeInvalid"),
        ({"type": "integer"}, True, "FieldValueTypeInvalid"),
        ({"type": "number"}, 1, None),
        ({"type": "string"}, None, "FieldValueTypeInvalid"),
        ({"type": "string", "nullable": True}, None, None),
        ({"x-kubernetes-int-or-string": True}, "1", None),
        ({"x-kubernetes-int-or-string": True}, 1.5, "FieldValueTypeInvalid"),
        ({"type": "string", "enum": ["a"]}, "b", "FieldValueNotSupported"),
        ({"type": "string", "minLength": 2}, "b", "FieldValueInvalid"),
        ({"type": "string", "pattern": "^a+$"}, "b", "FieldValueInvalid"),
        ({"type": "string", "pattern": "^(a+)+$"}, "a" * 5000 + "b", "FieldValueInvalid"),
        ({"type": "string", "format": "date-time"}, "2020-01-01T00:00:00Z", None),
        ({"type": "string", "format": "date-time"}, "yesterday", "FieldValueInvalid"),
        ({"type": "string", "format": "ipv4"}, "::1", "FieldValueInvalid"),
        ({"type": "string", "format": "of our own"}, "x", None),
        ({"type": "integer", "maximum": 3, "exclusiveMaximum": True}, 3, "FieldValueInvalid"),
        ({"type": "number", "multipleOf": 0.1}, 0.3, None),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 1}, [], "FieldValueInvalid"),
        (
            {"type": "array", "items": {"type": "integer"}, "x-kubernetes-list-type": "set"},
            [1, 1],
            "FieldValueDuplicate",
        ),
        ({"type": "object", "maxProperties": 1}, {"a": 1, "b": 2}, "FieldValueTooMany"),
        ({"type": "integer", "oneOf": [{"minimum": 1}, {"maximum": 5}]}, 3, "FieldValueInvalid"),
        ({"type": "integer", "anyOf": [{"minimum": 1}, {"maximum": 5}]}, 3, None),
        ({"type": "integer", "not": {"minimum": 1}}, 3, "FieldValueInvalid"),
    ],
)
def test_values_are_as_their_schema_says(schema: Json, value: Any, reason: str | None) -> None:
    found = [cause.reason for cause in validate(value, schema, "spec.x")]
    assert found == ([reason] if reason else [])


def test_items_of_a_keyed_list_are_told_apart_by_their_keys() -> None:
    item = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "proto": {"type": "string", "default": "TCP"}},
    }
    schema = {
        "type": "array",
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name", "proto"],
    }
    value = [{"name": "a"}, {"name": "a", "proto": "UDP"}, {"name": "a", "proto": "TCP"}]
    assert [cause.field for cause in validate(value, schema, "p")] == ["p[2]"]


def test_an_update_is_not_refused_for_what_it_leaves_as_it_was() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string", "maxLength": 1}, "b": {"type": "string", "maxLength": 1}},
    }
    old = {"a": "long", "b": "x"}
    assert list(validate({"a": "long", "b": "y"}, schema, "", old)) == []
    assert [cause.field for cause in validate({"a": "longer", "b": "x"}, schema, "", old)] == ["a"]


def rules(*written: Json | str, **more: Any) -> Json:
    listed = [{"rule": one} if isinstance(one, str) else one for one in written]
    return {"type": "object", "x-kubernetes-validations": listed, **more}


def broken(schema: Json, value: Any, old: Any = ABSENT) -> list[tuple[str, str, str]]:
    found = check_rules(value, schema, "spec", old, Budget())
    return [(cause.reason, cause.field, cause.message.rpartition(": ")[2]) for cause in found]


class TestRules:
    def test_say_what_they_say_with_their_own_reason_and_place(self) -> None:
        schema = rules(
            {
                "rule": "self.a <= self.b",
                "message": "a is not above b",
                "fieldPath": ".a",
                "reason": "FieldValueForbidden",
            },
            {"rule": "self.a > 0", "messageExpression": "'a is ' + string(self.a)"},
            "self.a != 7",
            properties={"a": {"type": "integer"}, "b": {"type": "integer"}},
        )
        assert broken(schema, {"a": 1, "b": 2}) == []
        assert broken(schema, {"a": 3, "b": 2}) == [("FieldValueForbidden", "spec.a", "a is not above b")]
        assert broken(schema, {"a": 0, "b": 2}) == [("FieldValueInvalid", "spec", "a is 0")]
        assert broken(schema, {"a": 7, "b": 9})[0][2] == "self.a != 7"

    def test_about_the_old_value_run_for_updates_only(self) -> None:
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
        schema["properties"]["n"]["x-kubernetes-validations"] = [{"rule": "self >= oldSelf"}]  # type: ignore[index]
        assert broken(schema, {"n": 1}) == []
        assert broken(schema, {"n": 2}, {"n": 1}) == []
        assert broken(schema, {"n": 2}, {}) == []
        assert [one[1] for one in broken(schema, {"n": 1}, {"n": 2})] == ["spec.n"]

    def test_with_an_optional_old_value_run_always(self) -> None:
        rule = {"rule": "oldSelf.hasValue() ? self.n >= oldSelf.value().n : self.n == 0"}
        schema = rules({**rule, "optionalOldSelf": True})
        assert broken(schema, {"n": 0}) == []
        assert len(broken(schema, {"n": 1})) == 1
        assert broken(schema, {"n": 1}, {"n": 0}) == []
        assert len(broken(schema, {"n": 0}, {"n": 1})) == 1

    def test_reach_items_by_key_and_values_of_maps(self) -> None:
        item = rules("self.n >= oldSelf.n", properties={"name": {"type": "string"}, "n": {"type": "integer"}})
        schema = {
            "type": "object",
            "properties": {
                "l": {
                    "type": "array",
                    "items": item,
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                },
                "m": {
                    "type": "object",
                    "additionalProperties": {
                        "type": "number",
                        "x-kubernetes-validations": [{"rule": "self < 1.5"}],
                    },
                },
            },
        }
        old = {"l": [{"name": "a", "n": 1}, {"name": "b", "n": 5}]}
        new = {"l": [{"name": "b", "n": 4}, {"name": "a", "n": 1}], "m": {"x": 1, "y": 2}}
        assert [one[1] for one in broken(schema, new, old)] == ["spec.l[0]", "spec.m[y]"]

    def test_that_fail_refuse_rather_than_let_pass(self) -> None:
        assert len(broken(rules("self.missing == 1"), {"a": 1})) == 1
        assert len(broken(rules("1 / self.a > 0", properties={"a": {"type": "integer"}}), {"a": 0})) == 1

    def test_are_stopped_when_they_take_too_long(self) -> None:
        schema = rules("self.l.all(a, self.l.all(b, self.l.all(c, a + b + c >= 0)))")
        found = broken(schema, {"l": list(range(300))})
        assert len(found) == 1

    def test_know_fields_whose_names_are_no_identifiers(self) -> None:
        schema = rules(
            "self.__in__ == 1 && self.a__dash__b == 2",
            properties={"in": {"type": "integer"}, "a-b": {"type": "integer"}},
        )
        assert broken(schema, {"in": 1, "a-b": 2}) == []

    def test_have_kubernetes_own_functions(self) -> None:
        schema = rules(
            "quantity(self.q).isGreaterThan(quantity('1Mi'))",
            "cidr('10.0.0.0/8').containsIP(self.ip) && isURL(self.u) && url(self.u).getHost() == 'a.test'",
            "self.l.isSorted() && sets.contains(self.l, [1]) && self.l.sum() == 6",
            "self.?none.orValue(1) == 1",
            "quantity('1').add(quantity('500m')).compareTo(quantity('1.5')) == 0",
            "quantity('2').sub(1).asInteger() == 1 && quantity('-1').sign() == -1",
            "semver('1.2.3').isLessThan(semver('1.10.0'))",
            "semver('1.0.0-rc.1').isLessThan(semver('1.0.0'))",
            "isSemver('1.0.0') && !isSemver('v1.0') && semver('1.2.3').minor() == 2",
            "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.1.2.3/8').ip() == ip('10.1.2.3')",
            "ip('fe80::1').isLinkLocalUnicast() && ip.isCanonical('::1') && !ip.isCanonical('0::1')",
        )
        value = {"q": "1Gi", "ip": "10.1.2.3", "u": "https://a.test/x", "l": [1, 2, 3]}
        assert broken(schema, value) == []


class TestPaths:
    def test_find_what_they_say(self) -> None:
        conditions = [{"type": "Ready", "status": "True"}, {"type": "X", "status": "False"}]
        document = {"status": {"conditions": conditions, "a.b": 1}, "l": [1, 2]}
        for path, found in [
            ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
            (".status.conditions[*].type", ["Ready", "X"]),
            (".status.conditions[-1].type", ["X"]),
            (".status.a\\.b", [1]),
            (".status['a.b']", [1]),
            (".nope.x", []),
            (".l[5]", []),
        ]:
            assert json_path.find(json_path.parse(path), document) == found, path

    @pytest.mark.parametrize("text", ["", "spec", ".a[", ".a[?(@.b)]"])
    def test_that_are_none_are_refused(self, text: str) -> None:
        with pytest.raises(json_path.InvalidPathError):
            json_path.parse(text)


def test_a_name_that_another_has_is_not_accepted_and_the_rest_is() -> None:
    taken = TakenNames()
    taken.take({"plural": "others", "kind": "Other", "listKind": "OtherList", "shortNames": ["mo"]})
    one = definition()
    one["spec"]["names"]["shortNames"] = ["mo"]
    status = settle_names(one, taken)
    assert "shortNames" not in status["acceptedNames"]
    assert status["acceptedNames"]["kind"] == "Moose"
    assert [(c["type"], c["status"], c["reason"]) for c in status["conditions"]] == [
        ("NamesAccepted", "False", "ShortNamesConflict"),
        ("Established", "False", "NotAccepted"),
    ]
    later = settle_names({**one, "status": status}, TakenNames())
    assert [c["status"] for c in later["conditions"]] == ["True", "True"]
