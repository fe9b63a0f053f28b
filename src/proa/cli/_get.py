"""`proa get RESOURCE [NAME]`: what a cluster has, as a table that the server makes, or as YAML or JSON."""

import argparse
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import msgspec

from proa.app import App, run
from proa.cli._kube import Target, add_target, target
from proa.kube import Api, DynamicObject, decode
from proa.kube.core.request import Place, Request, Selection
from proa.kube.discovery import discover
from proa.kube.manifests import dump
from proa.kube.models import ResourceInfo

TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1,application/json"


class _Column(msgspec.Struct):
    name: str
    priority: int = 0


class _Metadata(msgspec.Struct):
    namespace: str = ""


class _Object(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


class _Row(msgspec.Struct):
    cells: list[Any]
    object: _Object = msgspec.field(default_factory=_Object)


class _Table(msgspec.Struct, rename="camel"):
    column_definitions: list[_Column] = []
    rows: list[_Row] = []


def main(arguments: Sequence[str]) -> int:
    """Print objects."""
    parser = argparse.ArgumentParser(prog="proa get", description="Print objects of a cluster.")
    parser.add_argument(
        "resource", metavar="RESOURCE", help="plural, singular, short name or kind: pods, po, Pod"
    )
    parser.add_argument("name", metavar="NAME", nargs="?")
    parser.add_argument("-A", "--all-namespaces", action="store_true")
    parser.add_argument("-l", "--selector", metavar="SELECTOR", help="only those with these labels")
    parser.add_argument("-o", "--output", choices=("table", "wide", "name", "yaml", "json"), default="table")
    add_target(parser)
    words = parser.parse_args(arguments)

    async def body(app: App) -> None:
        del app
        async with target(words) as found:
            resource = (await discover(found.client)).resolve(words.resource)
            namespace = found.namespace if resource.namespaced and not words.all_namespaces else None
            if words.output in {"table", "wide"}:
                await _print_table(found, Place(resource, namespace), words)
            else:
                await _print_objects(found, resource, namespace, words)

    return run(body)


async def _print_table(found: Target, place: Place, words: argparse.Namespace) -> None:
    path = place.one(words.name) if words.name else place.collection()
    query = Selection(label_selector=words.selector).query()
    body = (await found.client.request(Request("GET", path, query, accept=TABLE))).body
    table = decode(body, _Table)
    shown = [
        index for index, column in enumerate(table.column_definitions) if _is_shown(column, words.output)
    ]
    rows = [[table.column_definitions[index].name.upper() for index in shown]]
    rows += [[_text(row.cells[index]) for index in shown] for row in table.rows]
    if words.all_namespaces:
        first = ["NAMESPACE", *(row.object.metadata.namespace for row in table.rows)]
        rows = [[namespace, *row] for namespace, row in zip(first, rows, strict=True)]
    if table.rows:
        sys.stdout.writelines(f"{line}\n" for line in aligned(rows))
    else:
        sys.stderr.write(f"no {place.resource.plural} found\n")


async def _print_objects(
    found: Target, resource: ResourceInfo, namespace: str | None, words: argparse.Namespace
) -> None:
    api = Api(found.client, DynamicObject.of(resource), namespace=namespace)

    async def objects() -> AsyncIterator[DynamicObject]:
        if words.name:
            yield await api.get(words.name)
            return
        async for obj in api.list(label_selector=words.selector):
            yield obj

    documents: list[dict[str, Any]] = []
    async for obj in objects():
        if words.output == "name":
            sys.stdout.write(f"{resource.qualified_name}/{obj.metadata.name}\n")
        elif words.output == "yaml":
            sys.stdout.write(f"{'---' * bool(documents)}{chr(10) * bool(documents)}{dump(obj)}")
        documents.append(obj.to_document())
    if words.output == "json":
        whole: Any = documents[0] if words.name else {"apiVersion": "v1", "kind": "List", "items": documents}
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n")


def aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Return rows as lines with columns under each other."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    for row in rows:
        yield "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _is_shown(column: _Column, output: str) -> bool:
    return column.priority == 0 or output == "wide"


def _text(cell: object) -> str:
    return "<none>" if cell is None or cell == "" else str(cell)
