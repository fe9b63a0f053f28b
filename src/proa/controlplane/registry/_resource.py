"""What a served resource is: names, scope, verbs, and the strategy that says what is special about it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from proa.controlplane._errors import Cause, Qualified
from proa.controlplane._json import Document, decode, encode
from proa.controlplane.apply import Shapes, Struct
from proa.controlplane.schema import Conformer, Problems, definitions, nulls, problems

from ._checks import Checker
from ._conversions import Conversion
from ._metadata import ONCE, Rechecks
from ._names import NameRule, dns_subdomain
from ._warnings import Warn
from .validation import AFTERWARDS, RULES

Prepare = Callable[[Document], None]
PrepareUpdate = Callable[[Document, Document], None]
Validate = Callable[[Document], list[Cause]]
ValidateUpdate = Callable[[Document, Document], list[Cause]]
Select = Callable[[Document], str]


def _prepared(_document: Document) -> None: ...


def _updated(_new: Document, _old: Document) -> None: ...


def _valid(_document: Document) -> list[Cause]:
    return []


def _unremarkable(_document: Document) -> list[str]:
    return []


def _validly_updated(_new: Document, _old: Document) -> list[Cause]:
    return []


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """What is special about a resource; each part has Kubernetes' usual behaviour as its default.

    `prepare_*` may change the (new) document; `validate` runs for creations and updates (after the rules of
    the object's type), `validate_new` for creations only, `validate_update` for updates only, and
    `validate_part` instead of all of them where a subresource is written.
    """

    name_rule: NameRule = dns_subdomain
    fields: Mapping[str, Select] = field(default_factory=dict)
    """What field selectors can select by, besides the name and the namespace."""
    generation: bool = False
    """Whether `metadata.generation` counts changes of what is not metadata or status."""
    annotations_count: bool = False
    """Whether a changed annotation counts as a change, too."""
    keeps_status: bool = False
    """Whether status given on creation is kept."""
    status_keeps: tuple[str, ...] = ()
    """What of the metadata the status subresource cannot change."""
    graceful: bool = False
    """Whether deletion waits for a node (pods)."""
    returns_deleted: bool = False
    """Whether a deletion answers with the object, rather than with a Status that names it."""
    rechecks: Rechecks = ONCE
    """How often what an update makes of an object is checked."""
    standard_finalizers: bool = True
    """Whether finalizers without a domain have to be Kubernetes' own."""
    creates_on_update: bool = False
    """Whether a PUT of an object that is not there creates it."""
    prepare_create: Prepare = _prepared
    prepare_update: PrepareUpdate = _updated
    prepare_delete: Prepare = _prepared
    validate: Validate = _valid
    validate_new: Validate = _valid
    validate_update: ValidateUpdate = _validly_updated
    validate_part: Mapping[str, ValidateUpdate] = field(default_factory=dict)
    """By subresource."""
    whole_parts: frozenset[str] = frozenset()
    """Subresources that write what the rules of the type are about."""
    unconditional: bool = True
    """Whether a PUT need not say which version it replaces."""
    warn: Warn = _unremarkable
    """What to warn of about a valid object."""


PLAIN = Strategy()
_SHAPES = Shapes(lambda name: definitions()[name], nulls)
_SYSTEM = (
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "generation",
    "managedFields",
    "resourceVersion",
)
_IDENTITY = (("apiVersion",), ("kind",), *(("metadata", name) for name in _SYSTEM))
"""What nobody owns."""


@dataclass(frozen=True)
class Subresource:
    """A part of a resource's objects with a path of its own; group and version are of its kind, where
    they differ.
    """

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""


@dataclass(frozen=True)
class PrinterColumn:
    """A column of a custom resource's table: `find` gives all values that stand in it."""

    name: str
    type: str
    format: str
    description: str
    priority: int
    find: Callable[[Document], list[Any]]


@dataclass(frozen=True)
class ScalePaths:
    """Where an object says how many replicas it wants and has, and (as text) what selects them."""

    wanted: tuple[str, ...] = ("spec", "replicas")
    observed: tuple[str, ...] = ("status", "replicas")
    selector: tuple[str, ...] = ("spec", "selector")

    def count(self, document: Document) -> Any:
        """How many replicas an object wants; None if it doesn't say."""
        value: Any = document
        for name in self.wanted:
            value = value.get(name) if type(value) is dict else None
        return value


@dataclass(frozen=True)
class Resource:
    """A resource in one version, as it is served."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    verbs: tuple[str, ...]
    type_name: str | None
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: Mapping[str, Subresource] = field(default_factory=dict)
    strategy: Strategy = PLAIN
    conversion: Conversion | None = None
    """How objects are converted, if they are kept in another form than they are served in."""
    storage: str = ""
    """The name under which the objects are kept; versions of one resource share it."""
    columns: tuple[PrinterColumn, ...] | None = None
    """What tables show besides the name, where the definition says so."""
    scale: ScalePaths = ScalePaths()
    deprecation: str = ""
    """What clients are to be warned of."""

    is_custom: ClassVar[bool] = False
    """Whether it has been defined by an object of the cluster."""

    @property
    def list_kind(self) -> str:
        """The kind of lists."""
        return f"{self.kind}List"

    @cached_property
    def api_version(self) -> str:
        """`apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @cached_property
    def prefix(self) -> bytes:
        """The beginning of an encoded object, before its stored tail."""
        return encode({"kind": self.kind, "apiVersion": self.api_version})[:-1] + b","

    @cached_property
    def qualified(self) -> Qualified:
        """The resource as most errors name it."""
        return Qualified(self.group, self.plural)

    @cached_property
    def qualified_kind(self) -> Qualified:
        """The kind as errors about an object's content name it."""
        return Qualified(self.group, self.kind)

    @cached_property
    def conformer(self) -> Conformer:
        """What makes documents of this type conform."""
        assert self.type_name is not None
        return Conformer(self.type_name)

    @cached_property
    def status_conformer(self) -> Conformer | None:
        """What makes the status of this type conform; None where more than the type has a say in that."""
        reference = self.definition.get("properties", {}).get("status", {}).get("$ref")
        return Conformer(reference) if reference and not self.is_custom and self.conversion is None else None

    @property
    def definition(self) -> Document:
        """The type as OpenAPI has it; empty if there is none."""
        return definitions().get(self.type_name or "", {})

    def problems(self, document: Any) -> Problems:
        """All that does not fit the type: slowly, for when the conformer has noticed something."""
        return problems(self.type_name or "", document)

    def check(self, new: Document, old: Document | None) -> list[Cause]:
        """What the type itself says against an object, besides its form."""
        del new, old
        return []

    def shape(self, subresource: str = "") -> Struct:
        """How objects divide into fields that can be owned; what the subresource cannot write has no
        owner.
        """
        if subresource not in self._shapes:
            name = self.type_name or ""
            ignored = [*_IDENTITY, *self._out_of_reach(subresource)]
            self._shapes[subresource] = _SHAPES.root(name, self.definition, ignored)
        return self._shapes[subresource]

    @cached_property
    def _shapes(self) -> dict[str, Struct]:
        return {}

    def _out_of_reach(self, subresource: str) -> list[tuple[str, ...]]:
        if subresource != "status":
            return [("status",)] if self.has_status else []
        return [("spec",), *(("metadata", name) for name in self.strategy.status_keeps)]

    def served(self, document: Document) -> Document:
        """A stored object in the form in which it is served."""
        return document if self.conversion is None else self.conversion.to_served(document)

    def stored(self, document: Document) -> Document:
        """An object in the form in which it is stored, complete with that form's defaults."""
        if self.conversion is None:
            return document
        return self.stored_conformer(self.conversion.to_stored(document))

    @cached_property
    def stored_conformer(self) -> Conformer:
        """What makes documents of the stored form conform, where that is another."""
        assert self.conversion is not None
        return Conformer(self.conversion.stored_type)

    def served_tail(self, tail: bytes) -> bytes:
        """An encoded object in the form in which it is served."""
        if self.conversion is None:
            return tail
        document: Document = decode(b"{" + tail)
        return encode(self.conversion.to_served(document))[1:]

    @cached_property
    def checker(self) -> Checker | None:
        """What checks stored objects against the rules of their types; None for types without any."""
        name = self.conversion.stored_type if self.conversion else self.type_name
        return Checker(name, RULES, AFTERWARDS) if name else None

    @cached_property
    def storage_version_hash(self) -> str:
        """The hash by which clients notice that objects are stored in another version."""
        digest = hashlib.sha256(f"{self.group}/{self.version}/{self.kind}".encode()).digest()
        return base64.b64encode(digest[:8]).decode()

    @cached_property
    def is_stored(self) -> bool:
        """Whether there are objects of it; reviews, for example, are only answered."""
        return "list" in self.verbs and self.kind != "ComponentStatus"

    @cached_property
    def has_status(self) -> bool:
        """Whether its status has a path of its own."""
        return "status" in self.subresources

    @cached_property
    def field_names(self) -> tuple[str, ...]:
        """What its field selectors can select by."""
        own = tuple(self.strategy.fields)
        if self.namespaced or not own:
            return ("metadata.name", "metadata.namespace", *own)
        return ("metadata.name", *own)

    def select_fields(self, document: Document) -> Mapping[str, str]:
        """What field selectors see of an object."""
        metadata = document["metadata"]
        fields = {"metadata.name": metadata["name"], "metadata.namespace": metadata.get("namespace", "")}
        return fields | {name: select(document) for name, select in self.strategy.fields.items()}
