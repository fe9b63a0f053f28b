"""Return annotations to the states that they name. Pure."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Callable, Iterator
from typing import (
    Any,
    ForwardRef,
    Generic,
    Never,
    NoReturn,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from proa.statemachine._state import Done, State

Target = type[State[Any]] | type[Done]


class AnnotationError(Exception):
    """An annotation does not say which states it means; the message is a clause without its subject."""


def targets(function: Callable[..., object], of: type[State[Any]] | None = None) -> tuple[Target, ...]:
    """Return the states that the return annotation of a function names, in its order.

    Args:
        function: `next` of a state, or a function that chooses a state. A class stands for itself.
        of: The class that inherits `function`: it says what the type variables stand for.

    Raises:
        AnnotationError: there is no annotation, it cannot be resolved, or it names something else.
    """
    if isinstance(function, type):
        return (_target(function),)
    annotation = _return_annotation(function)
    bound = variables(of, _definer(of, function)) if of is not None else {}
    module = of.__module__ if of is not None else function.__module__
    return tuple(dict.fromkeys(_target(part) for part in _parts(annotation, bound, module)))


def _return_annotation(function: Callable[..., object]) -> object:
    written = getattr(function, "__annotations__", {})
    if "return" not in written:
        raise AnnotationError("has no return annotation: it is what says where the edges lead")
    # Only the return type: types of parameters are often imported for type checkers alone.
    return _resolved(written["return"], inspect.unwrap(function).__module__)


def _resolved(annotation: object, module: str) -> object:
    holder = types.SimpleNamespace(__annotations__={"return": annotation})
    try:
        return get_type_hints(holder, globalns=vars(sys.modules[module]))["return"]
    except (NameError, AttributeError, SyntaxError) as error:
        raise AnnotationError(
            f"is annotated with what cannot be resolved in {module}: {error}; define and import states at "
            "module level"
        ) from error


def _parts(annotation: object, bound: dict[TypeVar, object], module: str) -> Iterator[object]:
    """Take a union apart and put in what type variables stand for."""
    if isinstance(annotation, TypeVar) and annotation in bound:
        annotation = bound[annotation]
    if isinstance(annotation, str | ForwardRef):
        annotation = _resolved(annotation, module)
    if annotation in {Never, NoReturn}:
        return
    if get_origin(annotation) in {Union, types.UnionType}:
        for part in get_args(annotation):
            yield from _parts(part, bound, module)
    else:
        yield annotation


def _target(part: object) -> Target:
    kind = get_origin(part) or part
    if kind is Done:
        return Done
    if not (isinstance(kind, type) and issubclass(kind, State)):
        name = "None" if part is type(None) else getattr(part, "__name__", str(part))
        hint = "; say Done for the end" if part is type(None) else ""
        raise AnnotationError(f"is annotated with {name}, which is no state{hint}")
    if inspect.isabstract(kind):
        raise AnnotationError(f"is annotated with {kind.__name__}, which stands for any state: name each one")
    return kind


def _definer(cls: type, function: Callable[..., object]) -> type:
    name = function.__name__
    return next(base for base in cls.__mro__ if base.__dict__.get(name) is function)


def variables(cls: type, ancestor: type) -> dict[TypeVar, object]:
    """Return what the type variables of `ancestor` stand for in its descendant `cls`."""
    found: dict[TypeVar, object] = {}
    for base in cls.__dict__.get("__orig_bases__", cls.__bases__) if cls is not ancestor else ():
        origin = get_origin(base) or base
        if origin is Generic or not issubclass(origin, ancestor):
            continue
        own: dict[object, object] = dict(zip(origin.__parameters__, get_args(base), strict=False))
        found |= {name: own.get(value, value) for name, value in variables(origin, ancestor).items()}
        found |= {name: value for name, value in own.items() if isinstance(name, TypeVar)}
    return found
