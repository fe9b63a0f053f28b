"""Rules in the Common Expression Language: custom resources' validations and admission policies.

- `compile_rule`: text to a `Rule`; says what is wrong with it.
- `estimate`: what a rule may cost at most.
- `Budget`: what all the rules of one request may take together.
- the functions that Kubernetes adds to the language stand in `_functions`.

The language is Google's own runtime (cel-expr-python, which is cel-cpp): the same checker and the same
semantics as Kubernetes' cel-go. Variables hold JSON. What the runtime has not is translated
(`_translation`): times that a schema declares, comprehensions with two variables, object initialisers.
https://kubernetes.io/docs/reference/using-api/cel/
"""

from ._authorizer import Judge, Question, authorizer, judge_at_hand
from ._cost import MAX_REQUEST, estimate, smallest
from ._rules import Budget, EvaluationError, Rule, RuleError, compile_rule
from ._translation import UNTYPED, Typed, escaped

__all__ = [
    "MAX_REQUEST",
    "UNTYPED",
    "Budget",
    "EvaluationError",
    "Judge",
    "Question",
    "Rule",
    "RuleError",
    "Typed",
    "authorizer",
    "compile_rule",
    "escaped",
    "estimate",
    "judge_at_hand",
    "smallest",
]
