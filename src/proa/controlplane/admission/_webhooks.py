"""Webhooks that change or refuse writes.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from proa.controlplane._errors import StatusError, bad_request
from proa.controlplane._json import Document, UnreadableError, decode
from proa.controlplane.cel import Budget, EvaluationError, RuleError, compile_rule
from proa.controlplane.patch import PatchError, json_patch
from proa.controlplane.registry import Review
from proa.controlplane.security import request_at_hand
from proa.controlplane.security._context import OWN_WORK
from proa.controlplane.storage import Event, Key, Store

from ._matching import matches_rules, matches_selectors, request_document, shown
from ._webhook_client import WebhookClient, WebhookError

_GROUP = "admissionregistration.k8s.io"
MUTATING = f"mutatingwebhookconfigurations.{_GROUP}"
VALIDATING = f"validatingwebhookconfigurations.{_GROUP}"
CONDITION_VARIABLES = ("object", "oldObject", "request")
_HARMLESS = frozenset({"None", "NoneOnDryRun"})


@dataclass(frozen=True)
class Webhook:
    """One webhook of a configuration."""

    spec: Document

    @property
    def name(self) -> str:
        """Its name, which errors give."""
        return str(self.spec.get("name", ""))

    @property
    def may_fail(self) -> bool:
        """Whether a write goes on if it cannot be asked."""
        return bool(self.spec.get("failurePolicy", "Fail") == "Ignore")


class Webhooks:
    """Asks those whom the configurations name. The server's own work is nobody's business."""

    def __init__(self, store: Store, client: WebhookClient) -> None:
        self._store = store
        self._client = client
        self._hooks: dict[str, list[Webhook]] = {MUTATING: [], VALIDATING: []}

    def follow(self) -> None:
        """Takes in the configurations that there are, and their changes from now on."""
        for storage in self._hooks:
            self._read(storage)
            self._store.subscribe(storage, self._on_change)

    def _on_change(self, event: Event) -> None:
        self._read(event.key.resource)

    def _read(self, storage: str) -> None:
        configurations = [stored.document() for stored in self._store.scan(storage)]
        self._hooks[storage] = [Webhook(hook) for one in configurations for hook in one.get("webhooks", ())]

    def concerned(self, review: Review) -> bool:
        """Whether there is anybody to ask."""
        return (
            bool(self._hooks[MUTATING] or self._hooks[VALIDATING]) and request_at_hand.get() is not OWN_WORK
        )

    async def mutate(self, review: Review) -> None:
        """Asks the mutating webhooks one after the other; those that want to, once more if others changed
        the object after them.
        """
        changes: list[int] = []
        asked = list(self._wanted(MUTATING, review))
        for index, hook in enumerate(asked):
            if await self._change(hook, review):
                changes.append(index)
        for index, hook in enumerate(asked):
            again = hook.spec.get("reinvocationPolicy") == "IfNeeded" and any(one > index for one in changes)
            if again and self._is_wanted(hook, review):
                await self._change(hook, review)

    async def validate(self, review: Review) -> None:
        """Asks all validating webhooks at once; the first that refuses is heard."""
        calls = [self._ask(hook, review) for hook in self._wanted(VALIDATING, review)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _wanted(self, storage: str, review: Review) -> Iterator[Webhook]:
        return (hook for hook in list(self._hooks[storage]) if self._is_wanted(hook, review))

    def _is_wanted(self, hook: Webhook, review: Review) -> bool:
        if not matches_rules(review, hook.spec.get("rules", ())):
            return False
        stored = self._store.latest(Key("namespaces", "", review.namespace)) if review.namespace else None
        if not matches_selectors(review, hook.spec, stored.labels if stored else {}):
            return False
        return self._meets_conditions(hook, review)

    def _meets_conditions(self, hook: Webhook, review: Review) -> bool:
        conditions = hook.spec.get("matchConditions", ())
        if not conditions:
            return True
        variables = {
            "object": shown(review, review.new),
            "oldObject": shown(review, review.old),
            "request": request_document(review, "", request_at_hand.get().user.to_document()),
        }
        failed = ""
        for condition in conditions:
            try:
                rule = compile_rule(condition.get("expression", ""), CONDITION_VARIABLES)
                if rule.evaluate(variables, Budget()) is not True:
                    return False
            except (RuleError, EvaluationError) as error:
                failed = failed or str(error)
        if failed and not hook.may_fail:
            raise StatusError(
                403, "Forbidden", f'webhook "{hook.name}": a match condition failed: {failed}', {}
            )
        return not failed

    async def _change(self, hook: Webhook, review: Review) -> bool:
        response = await self._ask(hook, review)
        if not response.get("patch"):
            return False
        try:
            patch = decode(base64.b64decode(response["patch"]))
            changed = json_patch(shown(review, review.new) or {}, patch)
        except (UnreadableError, PatchError, binascii.Error, TypeError, ValueError) as error:
            if hook.may_fail:
                return False
            raise _failed(hook, f"its patch cannot be used: {error}") from error
        if type(changed) is not dict or type(changed.get("metadata")) is not dict:
            raise _failed(hook, "its patch does not leave an object")
        different = changed != shown(review, review.new)
        content = {key: value for key, value in changed.items() if key not in {"kind", "apiVersion"}}
        review.new = review.resource.stored(content)
        review.conform = review.conform or different
        return different

    async def _ask(self, hook: Webhook, review: Review) -> Document:
        if review.options.dry_run and hook.spec.get("sideEffects") not in _HARMLESS:
            raise bad_request(f'admission webhook "{hook.name}" does not support dry run')
        uid = str(uuid.uuid4())
        request = request_document(review, uid, request_at_hand.get().user.to_document())
        request["object"], request["oldObject"] = shown(review, review.new), shown(review, review.old)
        try:
            body = {
                "kind": "AdmissionReview",
                "apiVersion": f"admission.k8s.io/{_version(hook)}",
                "request": request,
            }
            answer = await self._client.post(
                hook.spec["clientConfig"], body, hook.spec.get("timeoutSeconds", 10)
            )
            response = _checked(answer, uid)
        except WebhookError as error:
            if hook.may_fail:
                return {"allowed": True}
            raise _failed(hook, str(error)) from error
        review.warnings += [str(warning) for warning in response.get("warnings") or ()]
        if not response.get("allowed"):
            raise denied(hook.name, response.get("status") or {})
        return response


def _version(hook: Webhook) -> str:
    versions = hook.spec.get("admissionReviewVersions") or ["v1"]
    return "v1" if "v1" in versions else str(versions[0])


def _checked(answer: Any, uid: str) -> Document:
    response = answer.get("response") if type(answer) is dict else None
    if type(response) is not dict:
        raise WebhookError("it did not answer with an AdmissionReview that has a response")
    if response.get("uid") != uid:
        raise WebhookError("it answered another request: the response's uid is not the request's")
    return response


def _failed(hook: Webhook, why: str) -> StatusError:
    message = f'Internal error occurred: failed calling webhook "{hook.name}": {why}'
    causes = [{"message": f'failed calling webhook "{hook.name}": {why}'}]
    return StatusError(500, "InternalError", message, {"causes": causes})


def denied(name: str, status: Document) -> StatusError:
    """A webhook's refusal, with the code and reason that it gives."""
    said = status.get("message") or status.get("reason")
    why = f": {said}" if said else " without explanation"
    code = status.get("code")
    code = code if type(code) is int and 400 <= code < 600 else 400
    message = f'admission webhook "{name}" denied the request{why}'
    return StatusError(code, str(status.get("reason") or ""), message, status.get("details"))
