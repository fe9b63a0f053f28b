"""Mutating admission policies: changes in CEL, bound to what they are for.

https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/
"""

from __future__ import annotations

from typing import Any

from proa.controlplane._errors import StatusError, details
from proa.controlplane._json import Document
from proa.controlplane.apply import UndeclaredError, atomics
from proa.controlplane.cel import EvaluationError, RuleError
from proa.controlplane.patch import PatchError, TestFailedError, json_patch
from proa.controlplane.registry import Resource, Review
from proa.controlplane.schema import NonconformingError

from ._bound_policies import BoundPolicies, Invocation
from ._expressions import Evaluation
from ._rounds import Rounds

_GROUP = "admissionregistration.k8s.io"
POLICIES = f"mutatingadmissionpolicies.{_GROUP}"
BINDINGS = f"mutatingadmissionpolicybindings.{_GROUP}"
_PROBLEMS = (RuleError, EvaluationError, PatchError, UndeclaredError, NonconformingError)


class UnusableError(Exception):
    """What a mutation comes to cannot be used."""


class MutatingPolicies(BoundPolicies):
    """Evaluates the mutating policies that are bound, one after the other, each on what the others left."""

    policies, bindings = POLICIES, BINDINGS

    async def validate(self, review: Review) -> None:
        """These policies refuse nothing."""

    async def mutate(self, review: Review) -> None:
        """Lets the policies change an object.

        Raises:
            StatusError: 422, one has no answer, and says that this fails the write.
        """
        if review.new is None:
            return
        rounds = review.rounds.setdefault("policies", Rounds())
        rounds.begin(review.new, again=review.again)
        for one in self._invocations(review):
            try:
                if await self._invoke(review, one, rounds):
                    review.changed = True
                    rounds.changed()
            except (*_PROBLEMS, UnusableError) as error:
                if not one.may_fail:
                    raise _refusal(review, one, str(error)) from error
            if one.policy["spec"].get("reinvocationPolicy") == "IfNeeded":
                rounds.asked(one.key)
        rounds.end(review.new)

    async def _invoke(self, review: Review, one: Invocation, rounds: Rounds) -> bool:
        """Whether the policy has changed the object."""
        if one.problem:
            raise UnusableError(one.problem)
        spec, evaluation = one.policy["spec"], await self._evaluation(review, one)
        if not evaluation.meets(spec.get("matchConditions", ())):
            return False
        if not rounds.wants(one.key, again=review.again):
            return False
        evaluation.declare(spec.get("variables", ()))
        before = evaluation.known["object"]
        for mutation in spec.get("mutations", ()):
            try:
                evaluation.known["object"] = _mutated(review, one, mutation, evaluation)
            except (*_PROBLEMS, UnusableError):
                if not one.may_fail:
                    raise
        current = evaluation.known["object"]
        if current == before:
            return False
        review.new = await self._versions.kept(review, current, one.seen)
        review.conform = True
        return True


def _mutated(review: Review, one: Invocation, mutation: Document, evaluation: Evaluation) -> Document:
    """The object after one mutation."""
    document: Document = evaluation.known["object"]
    if mutation.get("patchType") == "JSONPatch":
        source = (mutation.get("jsonPatch") or {}).get("expression", "")
        return _patched(document, evaluation.value(source, "any"))
    source = (mutation.get("applyConfiguration") or {}).get("expression", "")
    return _applied(one.seen, review.subresource, document, evaluation.value(source, "any"))


def _patched(document: Document, operations: Any) -> Document:
    """The object with a JSON patch applied; one whose test fails changes nothing."""
    if type(operations) is not list or not all(type(one) is dict for one in operations):
        raise UnusableError("the expression must evaluate to a list of JSONPatch")
    try:
        changed = json_patch(document, operations)
    except TestFailedError:
        return document
    if type(changed) is not dict or type(changed.get("metadata")) is not dict:
        raise UnusableError("the patch does not leave an object")
    return changed


def _applied(resource: Resource, subresource: str, document: Document, configuration: Any) -> Document:
    """The object with a configuration put over it, as by server-side apply, but without an owner."""
    if type(configuration) is not dict:
        raise UnusableError("the expression must evaluate to an Object")
    identity = {"kind": resource.kind, "apiVersion": resource.api_version}
    if any(configuration.get(name, value) != value for name, value in identity.items()):
        raise UnusableError("the kind of an object cannot be changed")
    shape = resource.shape(subresource)
    shape.claimed(configuration, "")
    found = atomics(shape, configuration)
    if found:
        raise UnusableError(f"may not mutate atomic arrays, maps or structs: {', '.join(found)}")
    merged: Document = shape.merge(document, configuration)
    return merged


def _refusal(review: Review, one: Invocation, why: str) -> StatusError:
    policy, binding = one.names
    what = review.resource.qualified
    told = f"MutatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {why}"
    message = f'{what} "{review.name}" is forbidden: {told}'
    about = details(what, review.name, causes=[{"message": message}])
    return StatusError(422, "Invalid", message, about)
