"""Lists: selectors, pages, and resource versions. Pure.

https://kubernetes.io/docs/reference/using-api/api-concepts/#the-resourceversion-parameter
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from proa.controlplane._errors import Cause, bad_request, forbidden, invalid_value, resource_version_too_large
from proa.controlplane._json import Document, UnreadableError, decode, encode
from proa.controlplane.registry import Resource
from proa.controlplane.registry._options import integer, invalid_options
from proa.controlplane.selectors import Selector, parse_fields, parse_labels
from proa.controlplane.storage import Stored


@dataclass(frozen=True)
class ListOptions:
    """What a list or watch query asks for."""

    labels: Selector
    fields: Selector
    limit: int = 0
    resource_version: str = ""
    match: str = ""
    continued: int = 0
    """The revision of the page before, when this is not the first; `INCONSISTENT` for the present one."""
    after: tuple[str, str] | None = None
    """The namespace and name that the page before ended with."""

    @classmethod
    def parse(cls, query: Mapping[str, str], resource: Resource, *, watches: bool = False) -> ListOptions:
        """The options of a query.

        Args:
            query: The request's query.
            resource: What is listed.
            watches: Whether it is watched, for which there are other rules.

        Raises:
            StatusError: 400 or 422, they are wrong.
        """
        options = cls(
            labels=parse_labels(query.get("labelSelector", "")),
            fields=parse_fields(query.get("fieldSelector", ""), resource.field_names),
            limit=max(0, integer(query, "limit") or 0),
            resource_version=query.get("resourceVersion", ""),
            match=query.get("resourceVersionMatch", ""),
        )
        token = query.get("continue", "")
        if watches:
            return options
        causes = _wrong_match(options, token)
        if "sendInitialEvents" in query:
            causes.append(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
        if causes:
            raise invalid_options("ListOptions", causes)
        if not token:
            return options
        if options.resource_version not in {"", "0"}:
            raise bad_request("specifying resource version is not allowed when using continue")
        revision, after = _read_token(token)
        return cls(options.labels, options.fields, options.limit, "", "", revision, after)

    @property
    def selects_all(self) -> bool:
        """Whether there is nothing to select by."""
        return not self.labels and not self.fields

    def selects(self, resource: Resource, stored: Stored) -> bool:
        """Whether the selectors take an object."""
        if self.labels and not self.labels.matches(stored.labels):
            return False
        return not self.fields or self.fields.matches(stored.fields(resource.select_fields))

    def revision_to_list(self, current: int) -> int | None:
        """The past revision to list at, or None for the present.

        Raises:
            StatusError: 400 the version is not a number, 504 it is in the future.
        """
        if self.continued == INCONSISTENT:
            return None
        if self.continued:
            return self.continued if self.continued != current else None
        wanted = revision_number(self.resource_version)
        if wanted > current:
            raise resource_version_too_large(wanted, current)
        if self.match == "Exact" or (self.limit and wanted and not self.match):
            return wanted if wanted != current else None
        return None


def _wrong_match(options: ListOptions, token: str) -> list[Cause]:
    causes: list[Cause] = []
    if not options.match:
        return causes
    if not options.resource_version:
        why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        causes.append(forbidden("resourceVersionMatch", why))
    if token:
        causes.append(
            forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")
        )
    if options.match not in {"Exact", "NotOlderThan"}:
        message = f'Unsupported value: "{options.match}": supported values: "Exact", "NotOlderThan"'
        causes.append(Cause("FieldValueNotSupported", "resourceVersionMatch", message))
    if options.match == "Exact" and options.resource_version == "0":
        why = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        causes.append(forbidden("resourceVersionMatch", why))
    return causes


def revision_number(text: str) -> int:
    """A resource version as a number; none is 0.

    Raises:
        StatusError: 400.
    """
    if text in {"", "0"}:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise invalid_options(
            "ListOptions", [invalid_value("resourceVersion", text, "must be a whole number")]
        )
    return int(text)


@dataclass(frozen=True)
class Page:
    """A list, or a part of one."""

    items: list[Stored]
    revision: int
    remaining: int = 0

    def metadata(self, options: ListOptions) -> Document:
        """The list's metadata: its version, and how to go on."""
        metadata: Document = {"resourceVersion": str(self.revision)}
        if self.remaining:
            last = self.items[-1].key
            metadata["continue"] = make_token(self.revision, (last.namespace, last.name))
            if not options.labels and not options.fields:
                metadata["remainingItemCount"] = self.remaining
        return metadata


INCONSISTENT = -1
"""In the place of a revision in a continue token: the rest of the list as it is now."""


def make_token(revision: int, after: tuple[str, str]) -> str:
    """What a client goes on with after an object, by namespace and name."""
    token = encode({"v": "proa/v1", "rv": revision, "start": after})
    return base64.urlsafe_b64encode(token).decode()


def _read_token(token: str) -> tuple[int, tuple[str, str]]:
    try:
        content = decode(base64.urlsafe_b64decode(token))
        if type(content) is dict and content.get("v") == "proa/v1" and type(content.get("rv")) is int:
            namespace, name = content["start"]
            return content["rv"], (str(namespace), str(name))
    except (binascii.Error, UnreadableError, ValueError, TypeError, KeyError):
        pass
    raise bad_request("invalid continue token: it is not one that this server has given")


def select(resource: Resource, objects: Iterable[Stored], options: ListOptions, revision: int) -> Page:
    """The page of objects that the options ask for, from objects in list order."""
    if options.after is not None:
        objects = [stored for stored in objects if (stored.key.namespace, stored.key.name) > options.after]
    if not options.selects_all:
        objects = [stored for stored in objects if options.selects(resource, stored)]
    else:
        objects = list(objects)
    if not options.limit or len(objects) <= options.limit:
        return Page(objects, revision)
    return Page(objects[: options.limit], revision, len(objects) - options.limit)
