"""The list that every object has which leaves a list out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn, Self


class _Absent(list[Any]):
    """A list that stays empty, so that all objects can share it."""

    __slots__ = ()

    def __iadd__(self, others: Iterable[Any]) -> list[Any]:  # type: ignore[override, misc]
        return list(others) or self  # which the attribute then is

    def _refuse(self, *_: object) -> NoReturn:
        raise TypeError(
            "an absent list is shared by all objects and cannot be changed: write `obj.items += [item]`"
        )

    append = extend = insert = __setitem__ = __imul__ = _refuse

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self

    def __reduce__(self) -> str:
        return "ABSENT"


ABSENT: list[Any] = _Absent()
"""The default of a list.

A pod leaves out some forty. Lists of its own would be an eighth of its memory, and two thirds of what the
cyclic garbage collector has to look at.
"""
