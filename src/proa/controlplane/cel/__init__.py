"""Rules in the Common Expression Language: custom resources' validations and admission policies.

- `compile_rule`: text to a `Rule`; says what is wrong with it.
- `Budget`: what all the rules of one request may take together.
- the functions that Kubernetes adds to the language stand in `_functions`.

The language is Google's own runtime (cel-expr-python, which is cel-cpp): the same checker and the same
semantics as Kubernetes' cel-go. What differs: variables hold JSON, so a string whose format is `date-time`
is a string (compare `timestamp(self.when)`), and macros with two variables are not known.
https://kubernetes.io/docs/reference/using-api/cel/
"""

from ._rules import Budget, EvaluationError, Rule, RuleError, compile_rule

__all__ = ["Budget", "EvaluationError", "Rule", "RuleError", "compile_rule"]
