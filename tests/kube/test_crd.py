"""Types to CustomResourceDefinitions, and what is refused."""

import datetime as dt
import enum
import subprocess
import sys
from types import new_class
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

import pytest
import yaml
from msgspec import Meta, field
from msgspec.structs import replace

from proa.kube import Api, Client, crd, decode, encode
from proa.kube.models import Cluster, Duration, IntOrString, Model, Namespaced, Quantity
from proa.kube.models.apiextensions_v1 import CustomResourceDefinition
from proa.kube.models.core_v1 import ConfigMap, ResourceRequirements


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Part(Model, kw_only=True):
    """A part of
    a widget.

    It has a name.
    """

    name: Annotated[str, Meta(pattern="^[a-z]+$", max_length=10)]
    weight: float = 1.5


class WidgetSpec(Model, kw_only=True):
    """What a widget shall be."""

    size: Annotated[int, Meta(ge=1, le=10)] = 3
    """How big,
    in centimetres."""
    ratio: Annotated[float, Meta(gt=0, lt=1, multiple_of=0.5)] = 0.5
    colour: Colour = Colour.RED
    level: Literal[1, 2] = 1
    port: IntOrString = 80
    memory: Quantity = field(default_factory=lambda: Quantity("1Gi"))
    every: Duration | None = None
    since: dt.datetime | None = None
    id: UUID | None = None
    parts: Annotated[list[Part], Meta(min_length=1), crd.list_map("name")]
    tags: set[str] = field(default_factory=set)
    labels: Annotated[dict[str, str], Meta(max_length=5), crd.map_atomic()] = field(default_factory=dict)
    limits: dict[str, ResourceRequirements] = field(default_factory=dict)
    free: Any = None
    options: dict[str, Any] = field(default_factory=dict)
    template: ConfigMap | None = None
    replicas: Annotated[int, crd.rules(crd.Rule("self >= oldSelf", message="never fewer"))] = 1
    """Ignored, for an annotation says more."""
    main: Part = field(default_factory=lambda: Part(name="main"))

    __rules__: ClassVar = (crd.Rule("self.size <= self.replicas * 10", message_expression="'big'"),)


class WidgetStatus(Model, kw_only=True):
    replicas: int = 0
    selector: str | None = None


@crd.resource(
    group="example.com",
    version="v1",
    short_names=("wd",),
    categories=("all",),
    columns=(
        crd.Column("Size", ".spec.size"),
        crd.Column("Since", ".spec.since", priority=1),
        crd.Column("Ready", ".status.conditions[?(@.type=='Ready')].status"),
        crd.Column("Colour", ".spec.colour", description="Of its skin"),
    ),
    scale=crd.Scale(label_selector_path=".status.selector"),
    selectable=(".spec.colour",),
)
class Widget(Namespaced, kw_only=True):
    """Something to play with."""

    spec: WidgetSpec
    status: WidgetStatus = field(default_factory=WidgetStatus)


def spec_schema() -> dict[str, Any]:
    version = crd.document(Widget)["spec"]["versions"][0]
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return found


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "size",
            {
                "type": "integer",
                "format": "int64",
                "minimum": 1,
                "maximum": 10,
                "description": "How big, in centimetres.",
                "default": 3,
            },
        ),
        (
            "ratio",
            {
                "type": "number",
                "format": "double",
                "minimum": 0,
                "exclusiveMinimum": True,
                "maximum": 1,
                "exclusiveMaximum": True,
                "multipleOf": 0.5,
                "default": 0.5,
            },
        ),
        ("colour", {"type": "string", "enum": ["blue", "red"], "default": "red"}),
        ("level", {"type": "integer", "enum": [1, 2], "default": 1}),
        (
            "port",
            {
                "x-kubernetes-int-or-string": True,
                "anyOf": [{"type": "integer"}, {"type": "string"}],
                "default": 80,
            },
        ),
        ("every", {"type": "string", "format": "duration", "nullable": True}),
        ("since", {"type": "string", "format": "date-time", "nullable": True}),
        ("id", {"type": "string", "format": "uuid", "nullable": True}),
        ("tags", {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}),
        (
            "labels",
            {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "maxProperties": 5,
                "x-kubernetes-map-type": "atomic",
            },
        ),
        ("free", {"x-kubernetes-preserve-unknown-fields": True}),
        ("options", {"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
        (
            "template",
            {
                "type": "object",
                "x-kubernetes-embedded-resource": True,
                "x-kubernetes-preserve-unknown-fields": True,
                "nullable": True,
            },
        ),
    ],
)
def test_what_becomes_of_a_type(name: str, expected: dict[str, Any]) -> None:
    found = spec_schema()["properties"][name]
    if "enum" in found:
        found["enum"].sort()
    assert found == expected


def test_nested_types_lists_of_objects_and_their_docstrings() -> None:
    parts = spec_schema()["properties"]["parts"]
    assert parts == {
        "type": "array",
        "minItems": 1,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "items": {
            "type": "object",
            "description": "A part of a widget.\n\nIt has a name.",
            "properties": {
                "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 10},
                "weight": {"type": "number", "format": "double", "default": 1.5},
            },
            "required": ["name"],
        },
    }
    assert spec_schema()["required"] == ["parts"]
    assert spec_schema()["properties"]["main"]["default"] == {"name": "main"}
    memory = spec_schema()["properties"]["memory"]
    assert (memory["default"], memory["x-kubernetes-int-or-string"]) == ("1Gi", True)


def test_rules_stand_on_the_class_and_on_fields() -> None:
    schema = spec_schema()
    assert schema["description"] == "What a widget shall be."
    assert schema["x-kubernetes-validations"] == [
        {"rule": "self.size <= self.replicas * 10", "messageExpression": "'big'"}
    ]
    assert schema["properties"]["replicas"]["x-kubernetes-validations"] == [
        {"rule": "self >= oldSelf", "message": "never fewer"}
    ]


def test_the_definition_as_a_whole() -> None:
    found = crd.definition(Widget)
    assert isinstance(found, CustomResourceDefinition)
    assert found.metadata.name == "widgets.example.com"
    names = found.spec.names
    assert (names.plural, names.singular, names.kind, names.list_kind) == (
        "widgets",
        "widget",
        "Widget",
        "WidgetList",
    )
    assert (names.short_names, names.categories, found.spec.scope) == (["wd"], ["all"], "Namespaced")
    (version,) = found.spec.versions
    assert (version.name, version.served, version.storage) == ("v1", True, True)
    columns = {column.name: column.type for column in version.additional_printer_columns}
    assert columns == {"Size": "integer", "Since": "date", "Ready": "string", "Colour": "string"}
    assert version.subresources
    assert version.subresources.status is not None
    assert version.subresources.scale
    assert version.subresources.scale.label_selector_path == ".status.selector"
    assert version.selectable_fields[0].json_path == ".spec.colour"
    assert version.schema
    schema = version.schema.open_api_v3_schema
    assert schema
    assert set(schema.properties) == {"spec", "status"}
    assert schema.description == "Something to play with."
    assert schema.properties["status"].default == {}


def test_the_type_is_one_like_any_other() -> None:
    widget = Widget(spec=WidgetSpec(parts=[Part(name="a")]))
    widget.metadata.name = "w"
    assert decode(encode(widget), Widget) == widget
    assert b'"apiVersion":"example.com/v1","kind":"Widget"' in encode(widget)
    assert Widget.resource.qualified_name == "widgets.example.com"
    assert Widget.__name__ == "Widget"
    client: Client = None  # type: ignore[assignment]
    assert repr(Api(client, Widget, namespace="a")) == "<Api of widgets.example.com in a>"


def test_several_versions_make_one_definition() -> None:
    @crd.resource(group="example.com", version="v1beta1", deprecation_warning="use v2", served=True)
    class Gadget(Cluster, kw_only=True):
        pass

    @crd.resource(group="example.com", version="v2", kind="Gadget")
    class Gadget2(Cluster, kw_only=True):
        pass

    found = crd.definition(Gadget, Gadget2)
    assert [(version.name, version.storage, version.deprecated) for version in found.spec.versions] == [
        ("v1beta1", False, True),
        ("v2", True, None),
    ]
    assert found.spec.scope == "Cluster"
    assert [version.storage for version in crd.definition(Gadget, Gadget2, storage=Gadget).spec.versions] == [
        True,
        False,
    ]
    with pytest.raises(crd.CrdError, match=r"given twice: v2, v2"):
        crd.document(Gadget2, Gadget2)
    with pytest.raises(crd.CrdError, match=r"versions v2 and v1 of Widget differ in group, names"):
        crd.document(Gadget2, Widget)
    with pytest.raises(crd.CrdError, match="none of those given"):
        crd.document(Gadget2, storage=Gadget)
    with pytest.raises(crd.CrdError, match="at least one version"):
        crd.document()
    with pytest.raises(crd.CrdError, match="ConfigMap is no custom resource"):
        crd.document(ConfigMap)


class Node(Model, kw_only=True):
    children: list["Node"] = field(default_factory=list)


class Union(Model, kw_only=True):
    value: int | list[str] = 0


class Keys(Model, kw_only=True):
    value: dict[int, str] = field(default_factory=dict)


class MapKey(Model, kw_only=True):
    value: Annotated[list[Part], crd.list_map("nom")] = field(default_factory=list)


class Default(Model, kw_only=True):
    value: Annotated[int, Meta(ge=5)] = 3


class Unknown(Model, kw_only=True):
    value: dt.timedelta | None = None


class Mixed(Model, kw_only=True):
    value: Literal["a", 1] = 1


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (Node, r"Thing\.spec\.children\[\]: Node holds itself, which no structural schema can say: .*Any"),
        (
            Union,
            r"Thing\.spec\.value: only `T \| None` and `int \| str` can be said, not a union of Int, List",
        ),
        (Keys, r"Thing\.spec\.value: the keys of a map are texts"),
        (MapKey, r"Thing\.spec\.value: its items have no field 'nom'"),
        (Default, r"Thing\.spec\.value: its default 3 does not fit its type: .*>= 5"),
        (Unknown, r"Thing\.spec\.value: a TimeDelta has no structural schema"),
        (Mixed, r"Thing\.spec\.value: the values of an enum are all texts or all whole numbers"),
    ],
)
def test_what_no_schema_can_say_is_refused_by_name(spec: Any, problem: str) -> None:
    body = {"__annotations__": {"spec": spec}, "__module__": __name__}
    plain: Any = new_class(
        "Thing", (Namespaced,), {"kw_only": True}, lambda namespace: namespace.update(body)
    )
    thing = crd.resource(group="example.com", version="v1")(plain)
    with pytest.raises(crd.CrdError, match=problem) as caught:
        crd.document(thing)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"group": "example", "version": "v1"}, "'example' is no group"),
        ({"group": "example.com", "version": "1"}, "'1' is no version"),
        ({"group": "example.com", "version": "v1", "kind": "widget"}, "'widget' is no kind"),
    ],
)
def test_names_that_no_server_accepts_are_refused(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(crd.CrdError, match=problem):
        crd.resource(**arguments)(Widget)


def test_paths_that_lead_nowhere_are_refused() -> None:
    broken = crd.resource(group="example.com", version="v1", scale=crd.Scale(spec_replicas_path=".spec.no"))
    with pytest.raises(crd.CrdError, match=r"Widget: there is no field \.spec\.no"):
        crd.document(broken(Widget))
    typed = crd.resource(group="example.com", version="v1", columns=(crd.Column("A", ".spec", type="x"),))
    with pytest.raises(crd.CrdError, match="the column 'A' has no type 'x'"):
        crd.document(typed(Widget))


@pytest.mark.parametrize(
    ("word", "plural"), [("widget", "widgets"), ("policy", "policies"), ("day", "days"), ("class", "classes")]
)
def test_plurals_are_english(word: str, plural: str) -> None:
    made = crd.resource(group="example.com", version="v1", kind=word.capitalize())(Widget)
    assert made.resource.plural == plural


def test_a_copy_of_a_custom_resource_is_one() -> None:
    widget = Widget(spec=WidgetSpec(parts=[]))
    assert replace(widget, spec=WidgetSpec(parts=[], size=4)).spec.size == 4


def test_the_public_face_is_cheap() -> None:
    program = "import sys, proa.kube.crd; print('aiohttp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
    assert yaml.safe_dump(crd.document(Widget))
