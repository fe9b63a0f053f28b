"""Objects in other versions than the request's: those that a webhook or a policy has asked for.

A rule about one version is about all that are the same objects (`matchPolicy: Equivalent`).
https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-matchpolicy
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable

from proa.controlplane._json import Document
from proa.controlplane.registry import Catalogue, Resource, Review

from ._matching import shown

Convert = Callable[[Resource, Document, str], Awaitable[Document]]
"""A custom object that is of a resource's version, in another version of its group."""


class Versions:
    """Which resources are the same objects, and how one looks as another."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._same: dict[str, list[Resource]] | None = None
        self._convert: Convert | None = None
        catalogue.on_change(self._forget)

    def converts(self, convert: Convert) -> None:
        """Says who converts custom objects whose versions differ."""
        self._convert = convert

    def _forget(self) -> None:
        self._same = None

    def equivalents(self, resource: Resource, subresource: str) -> list[Resource]:
        """The resource, and then all others that are the same objects and have the same subresource."""
        if self._same is None:
            self._same = defaultdict(list)
            for group, versions in self._catalogue.groups().items():
                for version in versions:
                    for one in (self._catalogue.served(group, version) or {}).values():
                        self._same[one.storage].append(one)
        others = [
            one
            for one in self._same.get(resource.storage, ())
            if one is not resource and (not subresource or subresource in one.subresources)
        ]
        return [resource, *others]

    async def shown(self, review: Review, document: Document | None, wanted: Resource) -> Document | None:
        """An object of the review in a version.

        Raises:
            StatusError: It cannot be converted.
        """
        if document is None or review.apart or wanted is review.resource:
            return shown(review, document)
        identity = {"kind": wanted.kind, "apiVersion": wanted.api_version}
        if not wanted.is_custom:
            return {**wanted.served(document), **identity}
        if document is review.old:
            return {**wanted.served(document), **identity}
        given = shown(review, document) or {}
        return {**await self._converted(review.resource, given, wanted.version), **identity}

    async def kept(self, review: Review, changed: Document, seen: Resource) -> Document:
        """A changed object as the review has it.

        Raises:
            StatusError: It cannot be converted.
            NonconformingError: It does not have its type's form.
        """
        content = {key: value for key, value in changed.items() if key not in {"kind", "apiVersion"}}
        if not seen.is_custom or seen is review.resource:
            return seen.stored(content)
        whole = {**content, "kind": seen.kind, "apiVersion": seen.api_version}
        back = await self._converted(seen, whole, review.resource.version)
        return {key: value for key, value in back.items() if key not in {"kind", "apiVersion"}}

    async def _converted(self, source: Resource, document: Document, version: str) -> Document:
        if self._convert is None:
            return document
        return await self._convert(source, document, version)
