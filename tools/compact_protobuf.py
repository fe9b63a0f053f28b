"""Write the API server's table of protobuf fields from Kubernetes' own .proto and Go files.

    python tools/compact_protobuf.py API_CHECKOUT APIMACHINERY_CHECKOUT

The checkouts are of github.com/kubernetes/api and github.com/kubernetes/apimachinery at the release whose
types `definitions.json` holds. Written: for each message, its fields by number as [name, type, mode],
mode being "" (one), "r" (repeated), "m" (a map from text), "i" (a message whose fields stand in ours) or
"z" (a value whose zero means absent).
"""

import json
import re
import sys
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "src/proa/controlplane/data"
FIELD = re.compile(r"^\s*(optional|repeated|map<string, ?([\w.]+)>)\s+([\w.]+)?\s*(\w+) = (\d+)")
GO_FIELD = re.compile(r'^\s*(\w+\s+)?(\S+)\s+`.*json:"([^",]*)([^"]*)".*protobuf:"\w+,(\d+),')
SCALARS = {
    "string": "s",
    "bool": "b",
    "int32": "n",
    "int64": "n",
    "bytes": "y",
    "double": "d",
    "uint32": "n",
    "uint64": "n",
}

Fields = dict[str, list[str]]


def messages(text: str) -> dict[str, Fields]:
    """A .proto file's messages, by full name (as definitions.json has it)."""
    package = "io." + re.search(r"^package ([\w.]+);", text, re.MULTILINE)[1]
    found: dict[str, Fields] = {}
    fields: Fields = {}
    for line in text.splitlines():
        opened = re.match(r"message (\w+) \{", line)
        if opened:
            fields = found[full_name(f"{package}.{opened[1]}", package)] = {}
        matched = FIELD.match(line)
        if matched:
            label, of_map, kind, name, number = matched.groups()
            mode = "r" if label == "repeated" else "m" if of_map else ""
            fields[number] = [name, SCALARS.get(of_map or kind) or full_name(of_map or kind, package), mode]
    return found


def full_name(name: str, package: str) -> str:
    """A reference as definitions.json names it: `io.k8s.api.core.v1.Pod`."""
    name = name if "." in name else f"{package}.{name}"
    name = name.removeprefix(".")
    name = name if name.startswith("io.") else f"io.{name}"
    return name.replace("io.k8s.io.", "io.k8s.")


def go_fields(text: str, package: str) -> dict[tuple[str, str], tuple[str, bool, bool]]:
    """A Go file's fields: (message, number) to the JSON name, whether zero is not written, and whether it
    is inline.
    """
    found, struct = {}, ""
    for line in text.splitlines():
        opened = re.match(r"type (\w+) struct", line)
        struct = opened[1] if opened else struct
        matched = GO_FIELD.match(line)
        if matched:
            _, kind, name, options, number = matched.groups()
            zero = "omitempty" in options and not kind.startswith(("*", "[]", "map"))
            found[f"{package}.{struct}", number] = (name, zero, "inline" in options or not name)
    return found


def main() -> None:
    """Read both checkouts and write the table."""
    table: dict[str, Fields] = {}
    for root in map(Path, sys.argv[1:3]):
        for proto in sorted(root.rglob("generated.proto")):
            found = messages(proto.read_text())
            table |= found
            package = next(iter(found)).rpartition(".")[0] if found else ""
            for source in proto.parent.glob("*types.go"):
                annotate(table, go_fields(source.read_text(), package))
    wanted = needed(table, json.loads((DATA / "definitions.json").read_text()))
    compact = {name: table[name] for name in sorted(wanted)}
    path = DATA / "protobuf.json"
    path.write_text(json.dumps(compact, separators=(",", ":")) + "\n")
    print(f"{path}: {len(compact)} messages, {path.stat().st_size} bytes")


def annotate(table: dict[str, Fields], facts: dict[tuple[str, str], tuple[str, bool, bool]]) -> None:
    """Puts what only the Go types say into the table."""
    for (message, number), (name, zero, inline) in facts.items():
        field = table.get(message, {}).get(number)
        if field is None:
            continue
        field[0] = name or field[0]
        if inline:
            field[2] = "i"
        elif zero and not field[2]:
            field[2] = "z"


def needed(table: dict[str, Fields], definitions: dict[str, object]) -> set[str]:
    """The messages of our types, and those within them."""
    found: set[str] = set()
    waiting = [name for name in definitions if name in table]
    waiting += [
        name
        for name in table
        if name.endswith(("meta.v1.DeleteOptions", "runtime.Unknown", "runtime.TypeMeta"))
    ]
    while waiting:
        name = waiting.pop()
        if name in table and name not in found:
            found.add(name)
            waiting += [kind for _, kind, _ in table[name].values()]
    return found


if __name__ == "__main__":
    main()
