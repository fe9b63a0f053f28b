"""Write the table of protobuf fields that `proa.controlplane.protobuf` reads bodies by.

    python tools/protobuf_fields.py CHECKOUT...

The checkouts are of github.com/kubernetes/api and github.com/kubernetes/apimachinery at the release whose
types `definitions.json` holds. From their .proto files come the fields' numbers and types, from their Go
types the JSON names and which zeros JSON leaves out. Kept is what a client may send to a resource in
`resources.json`, and only fields that `definitions.json` has: run this again when those files change.

The table is {package: {message: ["NUMBER NAME TYPE", ...]}}, a message of another package being named in
full. TYPE is `T`, `[]T` (repeated), `{}T` (a map from strings), `+T` (T's fields stand among ours) or
`T?` (a value that is absent from JSON when zero).
"""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parent.parent / "src/proa/controlplane/data"
SCALARS = {"string", "bool", "int32", "int64", "double", "bytes"}
PROTO_FIELD = re.compile(r"\s+(optional|repeated|map<string,) +([\w.]+)>? (\w+) = (\d+)")
GO_FIELD = re.compile(r'\s+(?:\w+\s+)?(\S+)\s+`.*json:"([^",]*)([^"]*)".*protobuf:"\w+,(\d+),')
HOLDERS_OF_JSON = {"RawExtension", "FieldsV1"}


@dataclass(frozen=True)
class Field:
    """A field of a message; `shape` is how TYPE above says it."""

    number: int
    name: str
    type: str
    shape: str = "{}"

    def __str__(self) -> str:
        return f"{self.number} {self.name} {self.shape.format(self.type)}"


Messages = dict[str, list[Field]]
SHAPES = {"optional": "{}", "repeated": "[]{}", "map<string,": "{{}}{}"}


def read_checkout(root: Path) -> Messages:
    """All messages of a checkout, by the name that OpenAPI gives them."""
    found: Messages = {}
    for path in sorted(root.rglob("generated.proto")):
        messages = read_proto(path.read_text())
        tags: dict[tuple[str, int], tuple[str, str, str]] = {}
        for source in sorted(path.parent.glob("*.go")):
            tags.update(read_go(source.read_text()))
        for name, fields in messages.items():
            message = name.rpartition(".")[2]
            found[name] = [tagged(message, field, tags.get((message, field.number))) for field in fields]
    return found


def read_proto(text: str) -> Messages:
    """A .proto file's messages, with the fields' names as protobuf has them."""
    declared = re.search(r"^package (\S+);", text, re.MULTILINE)
    package = declared[1] if declared else ""
    found: Messages = {}
    for line in text.splitlines():
        if opened := re.match(r"message (\w+) \{", line):
            fields = found.setdefault(full_name(opened[1], package), [])
        elif matched := PROTO_FIELD.match(line):
            label, kind, name, number = matched.groups()
            kind = kind if kind in SCALARS else full_name(kind, package)
            fields.append(Field(int(number), name, kind, SHAPES[label]))
    return found


def full_name(name: str, package: str) -> str:
    """A message as OpenAPI names it, such as `io.k8s.api.core.v1.Pod`."""
    name = name.removeprefix(".") if "." in name else f"{package}.{name}"
    return re.sub(r"^k8s\.io\.", "io.k8s.", name)


def read_go(text: str) -> Iterator[tuple[tuple[str, int], tuple[str, str, str]]]:
    """The Go type, JSON name and JSON options of fields, by struct and number."""
    struct = ""
    for line in text.splitlines():
        if opened := re.match(r"type (\w+) struct", line):
            struct = opened[1]
        elif matched := GO_FIELD.match(line):
            kind, name, options, number = matched.groups()
            yield (struct, int(number)), (kind, name, options)


def tagged(message: str, field: Field, tag: tuple[str, str, str] | None) -> Field:
    """A field with what only its Go type tells."""
    if message in HOLDERS_OF_JSON:
        return replace(field, type="json")
    if tag is None:
        return field
    kind, name, options = tag
    if "inline" in options or not name:
        return replace(field, shape="+{}")
    scalar = field.type in SCALARS and field.shape == "{}"
    left_out = scalar and "omitempty" in options and not kind.startswith("*")
    return replace(field, name=name, shape="{}?" if left_out else field.shape)


def roots(definitions: dict[str, dict[str, Any]]) -> set[str]:
    """The types of what clients send: objects, subresources, and options."""
    wanted = {("", "v1", "DeleteOptions")}
    for entry in json.loads((DATA / "resources.json").read_text()):
        own = (entry["group"], entry["version"], entry["kind"])
        wanted.add(own)
        for part in entry["subresources"].values():
            wanted.add((part.get("group", own[0]), part.get("version", own[1]), part["kind"]))
    return {
        name
        for name, schema in definitions.items()
        for kind in schema.get("x-kubernetes-group-version-kind", ())
        if (kind["group"], kind["version"], kind["kind"]) in wanted
    }


def reachable(messages: Messages, definitions: dict[str, dict[str, Any]]) -> Messages:
    """The messages that the roots hold, with the fields that our definitions know."""
    waiting = sorted(roots(definitions))
    allowed: dict[str, set[str]] = {}
    kept: Messages = {}
    while waiting:
        name = waiting.pop()
        properties = definitions.get(name, {}).get("properties", {}).keys() | allowed.get(name, set())
        fields = [
            field
            for field in messages.get(name, [])
            if not properties or field.name in properties or field.shape == "+{}"
        ]
        if kept.get(name) == fields or name not in messages:
            continue
        kept[name] = fields
        for field in fields:
            if field.shape == "+{}":
                allowed.setdefault(field.type, set()).update(properties)
        waiting += [field.type for field in fields]
    return kept


def write(messages: Messages, path: Path) -> None:
    """Writes the table, one message a line."""
    packages: dict[str, list[str]] = {}
    for name, fields in sorted(messages.items()):
        package, _, message = name.rpartition(".")
        local = [replace(field, type=field.type.removeprefix(f"{package}.")) for field in fields]
        line = json.dumps([str(field) for field in local], separators=(",", ":"))
        packages.setdefault(package, []).append(f'"{message}":{line}')
    blocks = ['"' + name + '":{\n' + ",\n".join(lines) + "}" for name, lines in packages.items()]
    path.write_text("{" + ",\n".join(blocks) + "}\n")


def main() -> None:
    """Reads the checkouts named on the command line and writes the table."""
    messages: Messages = {}
    for root in sys.argv[1:]:
        messages |= read_checkout(Path(root))
    definitions = json.loads((DATA / "definitions.json").read_text())
    kept = reachable(messages, definitions)
    path = DATA / "protobuf.json"
    write(kept, path)
    print(f"{path.name}: {len(kept)} messages, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
