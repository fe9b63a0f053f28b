"""What is written as Go writes it is read back, for every type; and the table fits the schema."""

from typing import Any, Protocol

from hypothesis import given
from hypothesis import strategies as st

from proa.controlplane._json import Document
from proa.controlplane.protobuf import messages
from proa.controlplane.protobuf._documents import DocumentReader
from proa.controlplane.protobuf._table import Field
from proa.controlplane.protobuf._values import LIFTED, SCALARS
from proa.controlplane.protobuf._wire import Reader
from proa.controlplane.schema import definitions


class Encoder(Protocol):
    def message(self, name: str, document: Document) -> bytes: ...


EXAMPLES: dict[str, list[Any]] = {
    "string": ["a", "ü", "x" * 300],
    "bool": [True],
    "int32": [1, -1, 2**31 - 1, -(2**31)],
    "int64": [1, -1, 2**63 - 1, -(2**63)],
    "double": [0.5, -1e300],
    "bytes": ["AAH/"],
    "json": [{"a": [1, None, "b"]}, {"f:metadata": {}}],
    "Time": ["2026-01-02T03:04:05Z", "0001-01-01T00:00:01Z", "1970-01-01T00:00:00Z"],
    "MicroTime": ["2026-01-02T03:04:05.000006Z", "1969-12-31T23:59:59.999999Z"],
    "Quantity": ["100m", "0"],
    "IntOrString": [0, -1, 80, "", "50%"],
    "RawExtension": [{"kind": "X"}],
    "FieldsV1": [{"f:spec": {}}],
    "ExtraValue": [["a"], []],
}
ZEROS: dict[str, list[Any]] = {"string": [""], "bool": [False], "int32": [0], "int64": [0], "double": [0.0]}
NAMES = sorted(name for name in messages() if name not in LIFTED)


def examples(field: Field) -> list[Any] | None:
    """Values of a scalar or lifted type that its field shows in JSON; None for other messages."""
    zeros = [] if field.omits_zero else ZEROS.get(field.type, [])
    kind = field.type if field.type in SCALARS else field.type.rpartition(".")[2]
    return zeros + EXAMPLES[kind] if field.type in SCALARS or field.type in LIFTED else None


def full(name: str) -> Document:
    """A document of a type with every field there is."""
    document: Document = {}
    for field in messages()[name].values():
        choice = examples(field)
        value = full(field.type) if choice is None else choice[-1]
        match field.shape:
            case "+":
                document |= value
            case "[]":
                document[field.name] = [value] if choice is None else choice
            case "{}":
                document[field.name] = {"": value, "key": value}
            case _:
                document[field.name] = value
    return document


@st.composite
def documents(draw: st.DrawFn, name: str) -> Document:
    document: Document = {}
    fields = list(messages()[name].values())
    for field in draw(st.lists(st.sampled_from(fields), max_size=4, unique=True)) if fields else ():
        choice = examples(field)
        values = documents(field.type) if choice is None else st.sampled_from(choice)
        match field.shape:
            case "+":
                document |= draw(values)
            case "[]":
                document[field.name] = draw(st.lists(values, min_size=1, max_size=3))
            case "{}":
                document[field.name] = draw(st.dictionaries(st.text("ab"), values, min_size=1, max_size=2))
            case _:
                document[field.name] = draw(values)
    return document


def read(name: str, data: bytes) -> Document:
    return DocumentReader(Reader()).read(name, memoryview(data))


def test_every_field_of_every_type_is_read_back(encoder: Encoder) -> None:
    for name in NAMES:
        document = full(name)
        assert read(name, encoder.message(name, document)) == document, name


@given(st.data())
def test_any_document_is_read_back(encoder: Encoder, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    document = data.draw(documents(name))
    assert read(name, encoder.message(name, document)) == document


def test_every_field_is_one_that_the_schema_has() -> None:
    for name in NAMES:
        properties = definitions().get(name, {}).get("properties")
        if properties is not None:
            assert names_in_json(name) <= properties.keys(), name


def names_in_json(name: str) -> set[str]:
    found: set[str] = set()
    for field in messages()[name].values():
        found |= names_in_json(field.type) if field.shape == "+" else {field.name}
    return found


def test_every_field_of_the_schema_can_be_sent() -> None:
    for name in NAMES:
        properties = definitions().get(name, {}).get("properties", {}).keys()
        assert properties - {"apiVersion", "kind"} <= names_in_json(name), name


def test_the_types_alone_bound_how_deep_messages_nest() -> None:
    def depth(name: str, around: tuple[str, ...] = ()) -> int:
        assert name not in around, f"{name} holds itself: the decoder needs a limit of depth"
        within = {field.type for field in messages()[name].values()} & messages().keys()
        return 1 + max((depth(kind, (*around, name)) for kind in within), default=0)

    assert max(depth(name) for name in NAMES if not name.endswith("Spec")) < 30


def test_lifted_types_are_in_the_table() -> None:
    assert LIFTED.keys() <= messages().keys()
