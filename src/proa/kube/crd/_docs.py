"""Docstrings as descriptions: of classes, and of attributes, which stand under them in the source."""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache
from itertools import pairwise


@cache
def class_doc(cls: type) -> str | None:
    """Return the class's own docstring, as paragraphs on one line each."""
    found = cls.__dict__.get("__doc__")
    return _flowed(inspect.cleandoc(found)) if found else None


@cache
def attribute_docs(cls: type) -> dict[str, str]:
    """Return the docstrings under the attributes of a class; of base classes too, the own ones first.

    A class whose source cannot be had (made at run time) has none.
    """
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        found |= _own(base)
    return found


def _own(cls: type) -> dict[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError, SyntaxError):
        return {}
    body = tree.body[0].body if tree.body and isinstance(tree.body[0], ast.ClassDef) else []
    docs = {}
    for before, after in pairwise(body):
        if not isinstance(before, ast.AnnAssign) or not isinstance(before.target, ast.Name):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            text = after.value.value
            if isinstance(text, str):
                docs[before.target.id] = _flowed(inspect.cleandoc(text))
    return docs


def _flowed(text: str) -> str:
    """Join the lines of each paragraph: where a source wraps is no part of what it says."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
