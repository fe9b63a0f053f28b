"""Webhooks as typed functions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

from proa.kube.models import Resource
from proa.runtime.admission import _reviews
from proa.runtime.admission._reviews import Converter, DeniedError, Document, K, Operation, Request

J = TypeVar("J", bound=Resource)

Validator: TypeAlias = Callable[[Request[K]], Awaitable[None]]
Mutator: TypeAlias = Callable[[Request[K]], Awaitable[K]]


@dataclass(frozen=True)
class Webhook:
    """One webhook: what it is asked about, and the function that answers."""

    kind: Literal["validate", "mutate"]
    type: type[Resource]
    operations: tuple[Operation, ...]
    function: Callable[[Request[Any]], Awaitable[Any]]

    @property
    def path(self) -> str:
        """Where it is served."""
        return f"/{self.kind}/{self.type.resource.qualified_name}/{self.type.resource.version}"

    async def answer(self, body: bytes) -> Document:
        """Answer a review; raises DecodeError and ReviewError."""
        request, before = _reviews.read(body, self.type)
        try:
            result = await self.function(request)
        except DeniedError as error:
            return _reviews.denied(request, error)
        return (
            _reviews.allowed(request, before, result) if self.kind == "mutate" else _reviews.allowed(request)
        )


class Webhooks:
    """The webhooks of a program.

    ::

        hooks = Webhooks()

        @hooks.validate(Moose)
        async def has_legs(request: Request[Moose]) -> None:
            if request.object.spec.legs != 4:
                raise DeniedError("a moose has four legs")

        @hooks.mutate(Moose, operations=["CREATE"])
        async def tag(request: Request[Moose]) -> Moose:
            request.object.metadata.labels["tagged"] = "yes"
            return request.object

        @hooks.convert(OldMoose, Moose)
        def grown(old: OldMoose) -> Moose: ...
    """

    def __init__(self) -> None:
        self.webhooks: list[Webhook] = []
        self.converters: dict[str, dict[tuple[str, str], tuple[type[Resource], Converter]]] = {}
        """By the CRD's name: by the versions from and to."""

    def validate(
        self, type_: type[K], *, operations: Sequence[Operation] = ("CREATE", "UPDATE")
    ) -> Callable[[Validator[K]], Validator[K]]:
        """Ask the decorated function about objects; it raises DeniedError to refuse."""
        return lambda function: self._add("validate", type_, operations, function)

    def mutate(
        self, type_: type[K], *, operations: Sequence[Operation] = ("CREATE", "UPDATE")
    ) -> Callable[[Mutator[K]], Mutator[K]]:
        """Let the decorated function return the object as it is to be; it may change the one it is given."""
        return lambda function: self._add("mutate", type_, operations, function)

    def convert(self, old: type[J], new: type[K]) -> Callable[[Callable[[J], K]], Callable[[J], K]]:
        """Let the decorated function convert objects of one version to another; it may raise DeniedError."""

        def register(function: Callable[[J], K]) -> Callable[[J], K]:
            versions = (old.resource.api_version, new.resource.api_version)
            self.converters.setdefault(new.resource.qualified_name, {})[versions] = (old, function)
            return function

        return register

    def _add(
        self,
        kind: Literal["validate", "mutate"],
        type_: type[Resource],
        operations: Sequence[Operation],
        function: Any,
    ) -> Any:
        webhook = Webhook(kind, type_, tuple(operations), function)
        if any(known.path == webhook.path for known in self.webhooks):
            raise ValueError(f"there is a webhook at {webhook.path} already")
        self.webhooks.append(webhook)
        return function
