"""Compiling and evaluating rules, within bounds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from ._syntax import MalformedError
from ._translation import UNTYPED, Typed, translated

if TYPE_CHECKING:
    from cel_expr_python.cel import Env, Expression

MAX_RULE_LENGTH = 8192
BUDGET_SECONDS = 1.0


class RuleError(ValueError):
    """A rule cannot be compiled, or is not of the type that it must be; the message is the compiler's."""


class EvaluationError(Exception):
    """A rule has no value: a field is not there, a number is divided by zero, the budget is spent."""


class Budget:
    """The time that the rules of one request may take together.

    A single rule is bounded by the runtime itself: its comprehensions may take 10,000 steps in all.
    """

    def __init__(self, seconds: float = BUDGET_SECONDS) -> None:
        self._left = seconds

    def spend(self, seconds: float) -> None:
        """Notes time that was taken.

        Raises:
            EvaluationError: There is none left.
        """
        self._left -= seconds
        if self._left < 0:
            raise EvaluationError(
                "validation failed due to running out of cost budget, no further validation rules will be run"
            )


class Rule:
    """A compiled expression. Pure: the same variables give the same value."""

    __slots__ = ("_compiled", "source")

    def __init__(self, source: str, compiled: Expression) -> None:
        self.source = source
        self._compiled = compiled

    def evaluate(self, variables: Mapping[str, Any], budget: Budget) -> Any:
        """The expression's value, as Python has it.

        Raises:
            EvaluationError: It has none, or the budget is spent.
        """
        began = time.perf_counter()
        try:
            value = self._compiled.eval(data=variables)
            plain = value.plain_value()
        except RuntimeError as error:
            raise EvaluationError(_plainly(str(error))) from error
        finally:
            budget.spend(time.perf_counter() - began)
        if value.type().name() == "ERROR":
            raise EvaluationError(_plainly(str(plain)))
        return plain


def _plainly(message: str) -> str:
    """The runtime's message without the name of its status code."""
    code, colon, rest = message.partition(": ")
    return rest.removesuffix(f" [{code}]") if colon and code.isupper() else message


@lru_cache(4096)
def compile_rule(
    source: str, variables: tuple[str, ...], result: str = "bool", typed: Typed = UNTYPED
) -> Rule:
    """A rule that may use these variables; what it gives must be a bool, a string, or (`any`) anything.
    The schemas of variables say what of them is times.

    Raises:
        RuleError: It is too long, is not CEL, uses what is not declared, or gives something else.
    """
    if len(source) > MAX_RULE_LENGTH:
        raise RuleError(f"an expression may have no more than {MAX_RULE_LENGTH} characters")
    if not source.strip():
        raise RuleError("an expression must not be empty")
    try:
        compiled = _environment(variables).compile(translated(source, typed))
    except (RuntimeError, MalformedError) as error:
        raise RuleError(_plainly(str(error)).strip()) from error
    given = compiled.return_type().name().partition("<")[0]
    if result != "any" and given not in {result.upper(), "DYN"}:
        raise RuleError(f"must evaluate to {result}, and evaluates to {given.lower()}")
    return Rule(source, compiled)


@cache
def _environment(variables: tuple[str, ...]) -> Env:
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_bindings, ext_encoders, ext_math, ext_optional, ext_strings

    from ._functions import declarations

    extensions = [
        ext_bindings.ExtBindings(),
        ext_encoders.ExtEncoders(),
        ext_math.ExtMath(),
        ext_optional.ExtOptional(),
        ext_strings.ExtStrings(),
    ]
    declared = dict.fromkeys(variables, cel.Type.DYN)
    return cel.NewEnv(variables=declared, extensions=extensions, functions=declarations())
