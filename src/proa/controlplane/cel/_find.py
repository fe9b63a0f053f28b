"""Finding parts of texts by regular expressions, in a time that is bounded by their lengths. Pure.

Python's own engine may take exponentially long; here all ways to match go on side by side, one character at a
time, the preferred one first. The syntax is what Python and RE2 have in common.
https://swtch.com/~rsc/regexp/regexp2.html
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

MAX_STATES = 5000
MAX_STEPS = 2_000_000
_POSIX = {
    "alpha": "A-Za-z", "digit": "0-9", "alnum": "A-Za-z0-9", "upper": "A-Z", "lower": "a-z",
    "space": r"\t\n\v\f\r ", "xdigit": "A-Fa-f0-9", "word": r"\w", "punct": r"!-/:-@\[-`{-~", "blank": r"\t ",
}  # fmt: skip
_CATEGORIES: dict[Any, Callable[[str], bool]] = {
    op.CATEGORY_DIGIT: lambda c: "0" <= c <= "9",
    op.CATEGORY_SPACE: lambda c: c in "\t\n\f\r ",
    op.CATEGORY_WORD: lambda c: c == "_" or (c.isascii() and c.isalnum()),
}
_CATEGORIES |= {
    op.CATEGORY_NOT_DIGIT: lambda c: not "0" <= c <= "9",
    op.CATEGORY_NOT_SPACE: lambda c: c not in "\t\n\f\r ",
    op.CATEGORY_NOT_WORD: lambda c: not (c == "_" or (c.isascii() and c.isalnum())),
}
_Test = Callable[[str], bool]
_Step = tuple[str, Any, Any]


def find(text: str, pattern: str) -> str:
    """The first match, or nothing.

    Raises:
        ValueError: The pattern is none.
    """
    return next((text[start:end] for start, end in _spans(text, pattern)), "")


def find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    """All matches from left to right that do not overlap, or the first few.

    Raises:
        ValueError: The pattern is none.
    """
    found: list[str] = []
    if limit == 0:
        return found
    for start, end in _spans(text, pattern):
        found.append(text[start:end])
        if len(found) == limit:
            break
    return found


def _spans(text: str, pattern: str) -> Iterator[tuple[int, int]]:
    steps, at, last = _compiled(pattern), 0, -1
    left = [MAX_STEPS]
    while at <= len(text):
        span = _search(steps, text, at, left)
        if span is None:
            return
        start, end = span
        if start != end or end != last:  # an empty match right after another one does not count
            yield span
        last = end
        at = end + 1 if start == end else end


@lru_cache(256)
def _compiled(pattern: str) -> list[_Step]:
    plain = re.sub(r"\[:(\^?)(\w+):\]", _posix, pattern).replace(r"\z", r"\Z")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = parser.parse(plain)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"invalid regular expression {pattern!r}: {error}") from error
    steps: list[_Step] = []
    _emit(steps, tree, tree.state.flags)
    return [*steps, ("match", None, None)]


def _posix(match: re.Match[str]) -> str:
    if match[1] or match[2] not in _POSIX:
        raise ValueError(f"invalid character class {match[0]!r}")
    return _POSIX[match[2]]


def _emit(steps: list[_Step], tree: Any, flags: int) -> None:
    for kind, given in tree:
        if len(steps) > MAX_STATES:
            raise ValueError("the regular expression is too large")
        match kind:
            case op.BRANCH:
                _emit_branches(steps, given[1], flags)
            case op.SUBPATTERN:
                _group, added, removed, inner = given
                _emit(steps, inner, (flags | added) & ~removed)
            case op.MAX_REPEAT | op.MIN_REPEAT:
                _emit_repeat(steps, given, flags, lazy=kind is op.MIN_REPEAT)
            case op.AT:
                steps.append(("at", _position(given, multiline=bool(flags & re.MULTILINE)), None))
            case _:
                steps.append(("one", _test(kind, given, flags), None))


def _emit_branches(steps: list[_Step], branches: list[Any], flags: int) -> None:
    jumps = []
    for index, branch in enumerate(branches):
        split = len(steps)
        steps.append(("split", split + 1, None))
        _emit(steps, branch, flags)
        if index < len(branches) - 1:
            jumps.append(len(steps))
            steps.append(("jump", None, None))
            steps[split] = ("split", split + 1, len(steps))
    for jump in jumps:
        steps[jump] = ("jump", len(steps), None)


def _emit_repeat(steps: list[_Step], given: Any, flags: int, *, lazy: bool) -> None:
    least, most, inner = given
    for _ in range(least):
        _emit(steps, inner, flags)
    if most is op.MAXREPEAT:
        split = len(steps)
        steps.append(("split", None, None))
        _emit(steps, inner, flags)
        steps.append(("jump", split, None))
        steps[split] = _split(split + 1, len(steps), lazy=lazy)
        return
    splits = []
    for _ in range(most - least):
        splits.append(len(steps))
        steps.append(("split", None, None))
        _emit(steps, inner, flags)
    for split in splits:
        steps[split] = _split(split + 1, len(steps), lazy=lazy)


def _split(inner: int, after: int, *, lazy: bool) -> _Step:
    return ("split", after, inner) if lazy else ("split", inner, after)


def _test(kind: Any, given: Any, flags: int) -> _Test:
    folds = bool(flags & re.IGNORECASE)
    match kind:
        case op.LITERAL | op.NOT_LITERAL:
            wanted, same = chr(given), kind is op.LITERAL
            both = {wanted.lower(), wanted.upper()} if folds else {wanted}
            return lambda c: (c in both) is same
        case op.ANY:
            return (lambda _c: True) if flags & re.DOTALL else (lambda c: c != "\n")
        case op.IN:
            return _one_of(given, folds=folds)
    raise ValueError("the regular expression uses what RE2 does not have")


def _one_of(given: Any, *, folds: bool) -> _Test:
    negated = given[0][0] is op.NEGATE
    tests: list[_Test] = []
    for kind, value in given[negated:]:
        if kind is op.CATEGORY:
            tests.append(_CATEGORIES[value])
        else:
            tests.append(_between(*((value, value) if kind is op.LITERAL else value)))

    def holds(character: str) -> bool:
        forms = {character, character.lower(), character.upper()} if folds else (character,)
        return any(test(one) for one in forms if len(one) == 1 for test in tests)

    return (lambda c: not holds(c)) if negated else holds


def _between(first: int, last: int) -> _Test:
    return lambda c: first <= ord(c) <= last


def _position(kind: Any, *, multiline: bool) -> Callable[[str, int], bool]:
    word = _CATEGORIES[op.CATEGORY_WORD]

    def boundary(text: str, at: int) -> bool:
        return (at > 0 and word(text[at - 1])) != (at < len(text) and word(text[at]))

    match kind:
        case op.AT_BEGINNING if multiline:
            return lambda text, at: at == 0 or text[at - 1] == "\n"
        case op.AT_END if multiline:
            return lambda text, at: at == len(text) or text[at] == "\n"
        case op.AT_BEGINNING | op.AT_BEGINNING_STRING:
            return lambda _text, at: at == 0
        case op.AT_END | op.AT_END_STRING:
            return lambda text, at: at == len(text)
        case op.AT_BOUNDARY:
            return boundary
    return lambda text, at: not boundary(text, at)


def _search(steps: list[_Step], text: str, start: int, left: list[int]) -> tuple[int, int] | None:
    """The leftmost match, the preferred one of those that begin there."""
    threads: list[tuple[int, int]] = []
    found: tuple[int, int] | None = None
    for at in range(start, len(text) + 1):
        if found is None:
            threads.append((0, at))
        now: list[tuple[int, int]] = []
        seen: set[int] = set()
        for step, began in threads:
            _follow(steps, text, at, step, began, now, seen)
        left[0] -= len(seen) + 1
        if left[0] < 0:
            raise ValueError("the search takes too long")
        threads = []
        for step, began in now:
            kind, given, _ = steps[step]
            if kind == "match":
                found = (began, at)
                break  # what comes after is less preferred
            if at < len(text) and given(text[at]):
                threads.append((step + 1, began))
        if not threads and found is not None:
            break
    return found


def _follow(
    steps: list[_Step], text: str, at: int, step: int, began: int, now: list[tuple[int, int]], seen: set[int]
) -> None:
    """Goes on to all steps that need a character (or that are the end), in order of preference."""
    waiting = [step]
    while waiting:
        step = waiting.pop()
        if step in seen:
            continue
        seen.add(step)
        kind, first, second = steps[step]
        if kind == "jump":
            waiting.append(first)
        elif kind == "split":
            waiting += [one for one in (second, first) if one is not None]
        elif kind == "at":
            waiting += [step + 1] if first(text, at) else []
        else:
            now.append((step, began))
