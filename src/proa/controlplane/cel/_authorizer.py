"""CEL's `authorizer`, as Kubernetes adds it: what the user of a request may do.

`authorizer.group("apps").resource("deployments").namespace("a").check("create").allowed()`. What is asked
about is gathered in a map; `check` asks the `Judge` of the evaluation that is under way.
https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-authorizer-library
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ._declare import Tagged, function

if TYPE_CHECKING:
    from cel_expr_python.cel import FunctionDecl

_ASKED, _DECISION = "authorizer", "decision"


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody wants to do: the verb, and a resource or a path. An empty `user` is who asks."""

    verb: str
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    service_account: str = ""
    """`namespace/name`: the account that is asked about instead of the user."""
    field_selector: str = ""
    label_selector: str = field(default="")


Judge = Callable[[Question], tuple[bool, str]]
"""Whether something is allowed, and why (not)."""
judge_at_hand: ContextVar[Judge] = ContextVar("judge_at_hand")


def authorizer(**request: str) -> Tagged:
    """The value of the variable `authorizer`; with `requestResource`, what the request is about."""
    return {
        _ASKED: {},
        "requestResource": {_ASKED: {name: value for name, value in request.items() if value}},
    }


def authorizer_functions() -> list[FunctionDecl]:
    """What narrows a question down, what asks it, and what the answer says."""
    narrowing = ("path", "group", "resource", "subresource", "namespace", "name")
    return [
        *(function(name, [("ms", "m", _narrowed(name))]) for name in narrowing),
        function("fieldSelector", [("ms", "m", _narrowed("field_selector"))]),
        function("labelSelector", [("ms", "m", _narrowed("label_selector"))]),
        function("serviceAccount", [("mss", "m", _account)]),
        function("check", [("ms", "m", _check)]),
        function("allowed", [("m", "b", lambda decision: decision[_DECISION]["allowed"])]),
        function("reason", [("m", "s", lambda decision: decision[_DECISION]["reason"])]),
        function("errored", [("m", "b", lambda decision: bool(decision[_DECISION]["error"]))]),
        function("error", [("m", "s", lambda decision: decision[_DECISION]["error"])]),
    ]


def _narrowed(name: str) -> Callable[[Tagged, str], Tagged]:
    return lambda asked, value: {_ASKED: {**asked[_ASKED], name: value}}


def _account(asked: Tagged, namespace: str, name: str) -> Tagged:
    return {_ASKED: {**asked[_ASKED], "service_account": f"{namespace}/{name}"}}


def _check(asked: Tagged, verb: str) -> Tagged:
    judge = judge_at_hand.get(None)
    if judge is None:
        return {_DECISION: {"allowed": False, "reason": "", "error": "nobody can be asked here"}}
    allowed, reason = judge(Question(verb, **asked[_ASKED]))
    return {_DECISION: {"allowed": allowed, "reason": reason, "error": ""}}
