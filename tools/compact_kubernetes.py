"""Write the API server's package data from Kubernetes' own documents.

    python tools/compact_kubernetes.py SCHEMA CORE_DISCOVERY GROUP_DISCOVERY

SCHEMA is an OpenAPI v2 document (`kubectl get --raw /openapi/v2`), CORE_DISCOVERY an APIResourceList
(`/api/v1`) and GROUP_DISCOVERY an APIGroupDiscoveryList (`/apis` with the aggregated discovery media
type). Descriptions are dropped.
"""

import json
import sys
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parent.parent / "src/proa/controlplane/data"
Document = dict[str, Any]
KEPT = (
    "properties",
    "type",
    "format",
    "required",
    "default",
    "items",
    "additionalProperties",
    "$ref",
    "enum",
)


def compact_schema(schema: Document) -> Document:
    """A type without its prose, references shortened to the definition's name."""
    kept = {key: value for key, value in schema.items() if key in KEPT or key.startswith("x-kubernetes-")}
    if "$ref" in kept:
        kept["$ref"] = kept["$ref"].removeprefix("#/definitions/")
    for key in ("items", "additionalProperties"):
        if isinstance(kept.get(key), dict):
            kept[key] = compact_schema(kept[key])
    if "properties" in kept:
        kept["properties"] = {name: compact_schema(value) for name, value in kept["properties"].items()}
    return kept


def core_resources(document: Document) -> list[Document]:
    """The core group's resources; there, subresources are listed beside their parents."""
    resources: dict[str, Document] = {}
    for entry in document["resources"]:
        name, _, subresource = entry["name"].partition("/")
        kind = {"kind": entry["kind"], "verbs": entry["verbs"]}
        if "version" in entry:
            kind |= {"group": entry.get("group", ""), "version": entry["version"]}
        if subresource:
            resources[name]["subresources"][subresource] = kind
            continue
        resources[name] = kind | {
            "group": "",
            "version": "v1",
            "resource": name,
            "singular": entry["singularName"],
            "namespaced": entry["namespaced"],
            "shortNames": entry.get("shortNames", []),
            "categories": entry.get("categories", []),
            "subresources": {},
        }
    return list(resources.values())


def group_resources(document: Document) -> list[Document]:
    """Every other group's resources, in the order in which Kubernetes prefers the groups and versions."""
    return [
        {
            "group": group["metadata"]["name"],
            "version": version["version"],
            "resource": entry["resource"],
            "kind": entry["responseKind"]["kind"],
            "singular": entry["singularResource"],
            "namespaced": entry["scope"] == "Namespaced",
            "verbs": entry["verbs"],
            "shortNames": entry.get("shortNames", []),
            "categories": entry.get("categories", []),
            "subresources": {sub["subresource"]: subresource(sub) for sub in entry.get("subresources", [])},
        }
        for group in document["items"]
        for version in group["versions"]
        for entry in version["resources"]
    ]


def subresource(entry: Document) -> Document:
    """A subresource's kind (with its group and version where they differ from the parent's) and verbs."""
    kind = entry["responseKind"]
    own = {"group": kind["group"], "version": kind["version"]} if kind["version"] else {}
    return {"kind": kind["kind"], "verbs": entry["verbs"], **own}


def main() -> None:
    """Read the three documents and write the two data files."""
    schema, core, groups = (json.loads(Path(path).read_text()) for path in sys.argv[1:4])
    definitions = {name: compact_schema(value) for name, value in schema["definitions"].items()}
    resources = core_resources(core) + group_resources(groups)
    for name, value in {"definitions": definitions, "resources": resources}.items():
        path = DATA / f"{name}.json"
        path.write_text(json.dumps(value, separators=(",", ":")) + "\n")
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
