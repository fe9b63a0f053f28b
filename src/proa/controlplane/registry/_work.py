"""Where what is computed of objects is computed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple, Unpack

from ._resource import Resource

_Arguments = TypeVarTuple("_Arguments")
_Result = TypeVar("_Result")


class Work:
    """Runs what is computed of objects alone: in a thread where they are large, for others not to wait.

    What is made of a resource's type when it is first used is made before, for it is shared.
    """

    def __init__(self, resource: Resource, subresource: str = "", *, large: bool) -> None:
        self.large = large
        if large:
            resource.conformer, resource.checker, resource.shape(subresource)

    async def __call__(
        self, function: Callable[[Unpack[_Arguments]], _Result], *arguments: *_Arguments
    ) -> _Result:
        return await asyncio.to_thread(function, *arguments) if self.large else function(*arguments)
