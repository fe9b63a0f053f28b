"""Objects as rows of a table. https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from proa.controlplane._json import Document
from proa.controlplane.registry import Resource

from ._columns import NAME, Column, custom
from ._pod_summary import pod_conditions

Table = dict[str, Any]


def table_of(resource: Resource, documents: Iterable[Document], metadata: Document) -> Table:
    """The table of some objects of a resource; its rows have no `object` yet."""
    columns = _columns(resource)
    now = datetime.now(UTC)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [_definition(column) for column in columns],
        "rows": [_row(resource, columns, document, now) for document in documents],
    }


def _row(resource: Resource, columns: tuple[Column, ...], document: Document, now: datetime) -> Document:
    row: Document = {"cells": [column.cell(document, now) for column in columns]}
    if resource.storage == "pods" and (said := pod_conditions(document)):
        row["conditions"] = said
    return row


def _columns(resource: Resource) -> tuple[Column, ...]:
    from ._kinds import columns_of  # a server that prints no table does without

    if resource.columns is not None:
        return (NAME, *map(custom, resource.columns))
    return columns_of(resource.group, resource.kind)


def _definition(column: Column) -> Document:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format or ("name" if column.name == "Name" else ""),
        "description": column.description,
        "priority": 1 if column.wide else 0,
    }
