"""How functions are declared to CEL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cel_expr_python.cel import FunctionDecl

Tagged = dict[str, Any]
"""What Kubernetes has a type of its own for: a map with one key, the type's name."""


Overloads = Sequence[tuple[str, str, Callable[..., Any]]]
"""Each is its parameters' types and its result's, by letters, and what it does."""


def function(name: str, members: Overloads = (), free: Overloads = ()) -> FunctionDecl:
    """A function; `members` are called on their first parameter, `free` ones are not."""
    from cel_expr_python import cel

    types = {
        "s": cel.Type.STRING,
        "b": cel.Type.BOOL,
        "i": cel.Type.INT,
        "d": cel.Type.DOUBLE,
        "*": cel.Type.DYN,
        "l": cel.Type.List(cel.Type.DYN),
        "m": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
    }
    made = [
        cel.Overload(
            id=f"proa_{name.replace('.', '_')}_{'member' if member else 'free'}_{index}",
            return_type=types[result],
            parameters=[types[letter] for letter in parameters],
            is_member=member,
            impl=implementation,
        )
        for member, overloads in ((True, members), (False, free))
        for index, (parameters, result, implementation) in enumerate(overloads)
    ]
    return cel.FunctionDecl(name, made)


def holds(parse: Callable[[str], object], text: str) -> bool:
    """Whether a text can be parsed."""
    try:
        parse(text)
    except ValueError:
        return False
    return True
