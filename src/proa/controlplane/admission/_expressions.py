"""What the expressions of policies and of match conditions see, and what comes of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from proa.controlplane._json import Document
from proa.controlplane.cel import (
    Budget,
    EvaluationError,
    Judge,
    Question,
    RuleError,
    authorizer,
    compile_rule,
    judge_at_hand,
)
from proa.controlplane.registry import Review
from proa.controlplane.security import Attributes, Authoriser, User, request_at_hand

CONDITION_VARIABLES = ("object", "oldObject", "request", "authorizer")
"""What webhooks' match conditions may use."""
POLICY_VARIABLES = (*CONDITION_VARIABLES, "params", "namespaceObject", "variables")
_ACCOUNT = "system:serviceaccount"


class Evaluation:
    """The values of an expression's variables, and what is left of the budget of all the expressions.

    Raises (by each of its methods):
        RuleError: An expression cannot be compiled.
        EvaluationError: One has no value.
    """

    def __init__(self, review: Review, known: Document, authoriser: Authoriser) -> None:
        resource, request = review.resource, request_at_hand.get()
        about = {
            "group": resource.group,
            "resource": resource.plural,
            "subresource": review.subresource,
            "namespace": review.namespace,
            "name": review.name,
        }
        self.known = {**known, "authorizer": authorizer(**about)}
        self._names = POLICY_VARIABLES if "variables" in known else CONDITION_VARIABLES
        self._budget = Budget()
        self._judge = _judge(authoriser, request.user)

    def value(self, source: str, result: str = "bool") -> Any:
        """What an expression comes to."""
        judge_at_hand.set(self._judge)
        return compile_rule(source, self._names, result).evaluate(self.known, self._budget)

    def meets(self, conditions: Iterable[Document]) -> bool:
        """Whether all conditions hold. One that does not hold settles that, even if others have no value."""
        failed: RuleError | EvaluationError | None = None
        for condition in conditions:
            try:
                if self.value(condition.get("expression", "")) is not True:
                    return False
            except (RuleError, EvaluationError) as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return True

    def declare(self, variables: Iterable[Document]) -> None:
        """Adds a policy's variables; one that has no value is left out, and fails whoever uses it."""
        values: Document = {}
        self.known["variables"] = values
        for one in variables:
            try:
                values[one["name"]] = self.value(one.get("expression", ""), "any")
            except EvaluationError:
                continue


def _judge(authoriser: Authoriser, user: User) -> Judge:
    def decide(asked: Question) -> tuple[bool, str]:
        who = _service_account(asked.service_account) if asked.service_account else user
        decision = authoriser.authorise(
            Attributes(
                who,
                asked.verb,
                asked.group,
                asked.resource,
                asked.subresource,
                namespace=asked.namespace,
                name=asked.name,
                path=asked.path,
                field_selector=asked.field_selector,
            )
        )
        return decision.allowed, decision.reason

    return decide


def _service_account(account: str) -> User:
    namespace, _, name = account.partition("/")
    groups = (f"{_ACCOUNT}s", f"{_ACCOUNT}s:{namespace}", "system:authenticated")
    return User(f"{_ACCOUNT}:{namespace}:{name}", groups=groups)
