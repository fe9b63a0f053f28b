"""The root of Proa's errors, and how a program ends with one.

Each package derives its own base error from `ProaError`. Anything else that escapes is a defect, and is
reported with its traceback.
"""

import contextlib
import sys
from collections.abc import Iterator
from typing import ClassVar

__all__ = ["ProaError", "leaves", "report"]


class ProaError(Exception):
    """A failure explained to the person who can mend it.

    The message is one line: what was wrong, where, and what to do. It never holds a secret.
    """

    exit_code: ClassVar[int] = 1
    """What a program that ends with this error returns to its shell: 1 for a failure, 2 for wrong usage."""


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions inside nested exception groups, or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        for child in error.exceptions:
            yield from leaves(child)
    else:
        yield error


def report(error: ProaError, program: str = "proa") -> int:
    """Print an error as `program: message` on stderr and return its exit code.

    A closed or broken stderr is no further failure.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"{program}: {error}\n")
        sys.stderr.flush()
    return error.exit_code
