"""What a definition's version is to the rest of the server: a resource like any other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from proa.controlplane._errors import Cause, invalid_value
from proa.controlplane._json import Document, clone, decode, encode
from proa.controlplane.cel import Budget, EvaluationError
from proa.controlplane.registry import Resource, Subresource
from proa.controlplane.registry._resource import PrinterColumn, ScalePaths, Strategy
from proa.controlplane.schema import Conformer, Problems, problems
from proa.controlplane.schema._conform import Noticed

from . import _json_path as json_path
from ._pruning import pruned, put_defaults
from ._rules import check_rules, has_rules
from ._values import ABSENT, validate

OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
_PART_VERBS = ("get", "patch", "update")
FORMS = "$forms"
"""Where an object keeps what a webhook has made of it for each version. Never served."""
_ROOT = ("apiVersion", "kind", "metadata", FORMS)
_BLOCKING = frozenset(
    {
        "FieldValueNotSupported",
        "FieldValueRequired",
        "FieldValueTooLong",
        "FieldValueTooMany",
        "FieldValueTypeInvalid",
    }
)


class CustomConformer:
    """Makes documents conform to a schema: unknown fields are dropped, defaults filled in.

    A value of the wrong type is left for validation to find, but in the metadata, where it raises
    NonconformingError.
    """

    def __init__(self, schema: Document) -> None:
        self._schema = schema
        self._metadata = Conformer(OBJECT_META)
        self._noticed = Noticed()

    @property
    def dropped(self) -> bool:
        """Whether the last call in this thread met fields that the schema does not have."""
        return self._noticed.dropped

    def __call__(self, document: Document) -> Document:
        """The document as it is stored."""
        metadata = self._metadata(document.get("metadata") or {})
        unknown: list[str] = []
        content = self.prune(document, unknown)
        put_defaults(content, self._schema)
        self._noticed.dropped = bool(unknown) or self._metadata.dropped
        return {"metadata": metadata, **content}

    def prune(self, document: Document, unknown: list[str]) -> Document:
        """The document's own content, without what the schema does not have."""
        content = _content_of(document)
        kept: Document = pruned(content, self._schema, "", unknown)
        return kept


@dataclass(frozen=True)
class CustomResource(Resource):
    """A custom resource in one of its versions."""

    is_custom: ClassVar[bool] = True

    lists: str = ""
    """The kind of lists."""
    selectable: tuple[str, ...] = ()
    """What field selectors can select by in this version."""
    content: Document = field(default_factory=dict)
    """The version's schema, without what every object has."""
    stored_version: str = ""
    webhook: Document | None = None
    """What converts objects between versions, if anything does."""
    reshapes: bool = False
    """Whether stored objects may have been written by another schema, and are made to fit when read."""

    @cached_property
    def conformer(self) -> CustomConformer:  # type: ignore[override]
        """What makes documents of this type conform."""
        return CustomConformer(self.content)

    @property
    def list_kind(self) -> str:
        """The kind of lists."""
        return self.lists

    @cached_property
    def field_names(self) -> tuple[str, ...]:
        """What field selectors can select by."""
        return tuple(name for name in super().field_names if name.startswith("metadata.")) + self.selectable

    def problems(self, document: Any) -> Problems:
        """Fields that the schema does not have, and metadata of the wrong type."""
        found = problems(OBJECT_META, document.get("metadata") or {})
        unknown = [f"metadata.{path}" for path in found.unknown]
        self.conformer.prune(document, unknown)
        return Problems(unknown, [f"metadata.{told}" for told in found.mistyped])

    @cached_property
    def definition(self) -> Document:
        """The type as OpenAPI has it."""
        schema = clone(self.content)
        known = {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"$ref": OBJECT_META},
        }
        kind = {"group": self.group, "kind": self.kind, "version": self.version}
        schema["properties"] = known | schema.get("properties", {})
        return {**schema, "x-kubernetes-group-version-kind": [kind]}

    @cached_property
    def checker(self) -> None:
        """Declared rules are for built-in types; `check` has the schema's."""

    @cached_property
    def _has_rules(self) -> bool:
        return has_rules(self.content)

    def check(self, new: Document, old: Document | None) -> list[Cause]:
        """What the schema and its rules say against an object."""
        content = _content_of(new)
        before = ABSENT if old is None else _content_of(old)
        found = list(validate(content, self.content, "", before))
        if not self._has_rules:
            return found
        if any(cause.reason in _BLOCKING for cause in found):
            why = (
                "some validation rules were not checked because the object was invalid; correct the existing "
            )
            return [*found, invalid_value("", None, f"{why}errors to complete validation")]
        return found + self._check_rules(new, old)

    def _check_rules(self, new: Document, old: Document | None) -> list[Cause]:
        found: list[Cause] = []
        budget = Budget()
        current, before = self._seen_by_rules(new), ABSENT if old is None else self._seen_by_rules(old)
        try:
            found.extend(check_rules(current, self.content, "", before, budget))
            budget.spend(0)
        except EvaluationError as error:
            found.append(invalid_value("", None, str(error)))
        return found

    def _seen_by_rules(self, document: Document) -> Document:
        metadata = document["metadata"]
        named = {key: metadata[key] for key in ("name", "generateName") if key in metadata}
        identity = {"apiVersion": self.api_version, "kind": self.kind, "metadata": named}
        return {**document, **identity}

    def served(self, document: Document) -> Document:
        """A stored object as this version has it."""
        if not self.reshapes:
            return document
        form = (document.get(FORMS) or {}).get(self.version, document)
        content = self.conformer.prune(form, [])
        put_defaults(content, self.content)
        return {"metadata": document["metadata"], **content}

    def served_tail(self, tail: bytes) -> bytes:
        """An encoded object as this version has it."""
        return encode(self.served(decode(b"{" + tail)))[1:] if self.reshapes else tail


def _content_of(document: Document) -> Document:
    return {key: value for key, value in document.items() if key not in _ROOT}


def resources_of(definition: Document) -> Iterator[CustomResource]:
    """The resource in each served version of a definition."""
    spec = definition["spec"]
    changing = len(spec["versions"]) > 1 or definition["metadata"].get("generation", 1) > 1
    fields = _fields(spec)
    going = "deletionTimestamp" in definition["metadata"]
    verbs = tuple(verb for verb in VERBS if not (going and verb == "create"))
    for version in spec["versions"]:
        if version.get("served"):
            yield _resource(
                spec,
                version,
                verbs,
                fields,
                reshapes=changing or bool(spec.get("conversion", {}).get("webhook")),
            )


def _resource(
    spec: Document, version: Document, verbs: tuple[str, ...], fields: Mapping[str, Any], *, reshapes: bool
) -> CustomResource:
    names, group = spec["names"], spec["group"]
    parts = version.get("subresources", {})
    strategy = Strategy(
        generation=True,
        standard_finalizers=False,
        unconditional=False,
        status_keeps=("labels", "annotations", "finalizers"),
        fields=fields,
    )
    return CustomResource(
        group=group,
        version=version["name"],
        kind=names["kind"],
        plural=names["plural"],
        singular=names["singular"],
        namespaced=spec["scope"] == "Namespaced",
        verbs=verbs,
        type_name=f"{'.'.join(reversed(group.split('.')))}.{version['name']}.{names['kind']}",
        short_names=tuple(names.get("shortNames", ())),
        categories=tuple(names.get("categories", ())),
        subresources=_subresources(names["kind"], parts),
        strategy=strategy,
        storage=f"{names['plural']}.{group}",
        columns=tuple(map(_column, version.get("additionalPrinterColumns", ()))) or None,
        scale=_scale(parts["scale"]) if parts.get("scale") else ScalePaths(),
        lists=names["listKind"],
        deprecation=_deprecation(version, group, names["kind"]),
        selectable=tuple(one["jsonPath"][1:] for one in version.get("selectableFields", ())),
        content=_content(version["schema"]["openAPIV3Schema"]),
        stored_version=next(one["name"] for one in spec["versions"] if one.get("storage")),
        webhook=spec.get("conversion", {}).get("webhook"),
        reshapes=reshapes,
    )


def _deprecation(version: Document, group: str, kind: str) -> str:
    if not version.get("deprecated"):
        return ""
    given: str = version.get("deprecationWarning", "")
    return given or f"{group}/{version['name']} {kind} is deprecated"


def _content(schema: Document) -> Document:
    properties = {key: value for key, value in schema.get("properties", {}).items() if key not in _ROOT}
    return {**schema, "properties": properties}


def _subresources(kind: str, parts: Document) -> dict[str, Subresource]:
    found = {}
    if "status" in parts:
        found["status"] = Subresource("status", kind, _PART_VERBS)
    if "scale" in parts:
        found["scale"] = Subresource("scale", "Scale", _PART_VERBS, "autoscaling", "v1")
    return found


def _column(column: Document) -> PrinterColumn:
    path = json_path.parse(column["jsonPath"])
    return PrinterColumn(
        name=column["name"],
        type=column["type"],
        format=column.get("format", ""),
        description=column.get("description", ""),
        priority=column.get("priority", 0),
        find=lambda document: json_path.find(path, document),
    )


def _scale(scale: Document) -> ScalePaths:
    selector = scale.get("labelSelectorPath")
    return ScalePaths(
        wanted=json_path.fields(scale["specReplicasPath"]),
        observed=json_path.fields(scale["statusReplicasPath"]),
        selector=json_path.fields(selector) if selector else (),
    )


def _fields(spec: Document) -> dict[str, Any]:
    """The selectable fields of all versions: objects are the same in all."""
    paths = {one["jsonPath"] for version in spec["versions"] for one in version.get("selectableFields", ())}
    return {path[1:]: _select(json_path.parse(path)) for path in sorted(paths)}


def _select(path: tuple[json_path.Step, ...]) -> Any:
    def select(document: Document) -> str:
        found = json_path.find(path, document)
        value = found[0] if found else ""
        return ("true" if value else "false") if type(value) is bool else str(value)

    return select
