"""Webhooks that change or refuse writes.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import asyncio
import base64
import uuid
from dataclasses import dataclass
from typing import Any

from proa.controlplane._errors import StatusError, bad_request
from proa.controlplane._json import Document, UnreadableError, decode
from proa.controlplane.cel import EvaluationError, RuleError
from proa.controlplane.patch import PatchError, json_patch
from proa.controlplane.registry import Resource, Review
from proa.controlplane.schema import NonconformingError
from proa.controlplane.security import Authoriser, audit_annotations, request_at_hand
from proa.controlplane.security._context import OWN_WORK
from proa.controlplane.storage import Event, Key, Store

from ._expressions import Evaluation
from ._matching import match, request_document
from ._rounds import Rounds
from ._versions import Versions
from ._webhook_client import WebhookClient, WebhookError

_GROUP = "admissionregistration.k8s.io"
MUTATING = f"mutatingwebhookconfigurations.{_GROUP}"
VALIDATING = f"validatingwebhookconfigurations.{_GROUP}"
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

    def __init__(
        self, store: Store, client: WebhookClient, authoriser: Authoriser, versions: Versions
    ) -> None:
        self._store = store
        self._authoriser = authoriser
        self._versions = versions
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
        rounds = review.rounds.setdefault("webhooks", Rounds())
        rounds.begin(review.new, again=review.again)
        for hook in list(self._hooks[MUTATING]):
            if not rounds.wants(id(hook), again=review.again):
                continue
            seen = self._seen(hook, review)
            if seen is None or not await self._meets_conditions(hook, review, seen):
                continue
            if await self._change(hook, review, seen):
                review.changed = True
                rounds.changed()
            if hook.spec.get("reinvocationPolicy") == "IfNeeded":
                rounds.asked(id(hook))
        rounds.end(review.new)

    async def validate(self, review: Review) -> None:
        """Asks all validating webhooks at once; the first that refuses is heard."""
        wanted = [(hook, seen) for hook in self._hooks[VALIDATING] if (seen := self._seen(hook, review))]
        calls = [self._ask_if_wanted(hook, review, seen) for hook, seen in wanted]
        results = await asyncio.gather(*calls, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _ask_if_wanted(self, hook: Webhook, review: Review, seen: Resource) -> None:
        if await self._meets_conditions(hook, review, seen):
            await self._ask(hook, review, seen)

    def _seen(self, hook: Webhook, review: Review) -> Resource | None:
        """The resource in the version that a webhook is about; None if the write is not its business."""
        stored = self._store.latest(Key("namespaces", "", review.namespace)) if review.namespace else None
        return match(review, hook.spec, stored.labels if stored else {}, self._versions)

    async def _meets_conditions(self, hook: Webhook, review: Review, seen: Resource) -> bool:
        conditions = hook.spec.get("matchConditions", ())
        if not conditions:
            return True
        known = {
            "object": await self._versions.shown(review, review.new, seen),
            "oldObject": await self._versions.shown(review, review.old, seen),
            "request": request_document(review, "", request_at_hand.get().user.to_document(), seen),
        }
        try:
            return Evaluation(review, known, self._authoriser).meets(conditions)
        except (RuleError, EvaluationError) as error:
            if hook.may_fail:
                return False
            message = f'webhook "{hook.name}": a match condition failed: {error}'
            raise StatusError(403, "Forbidden", message, {}) from error

    async def _change(self, hook: Webhook, review: Review, seen: Resource) -> bool:
        response = await self._ask(hook, review, seen)
        if not response.get("patch"):
            return False
        before = await self._versions.shown(review, review.new, seen) or {}
        try:
            if response.get("patchType") != "JSONPatch":
                raise PatchError("its patchType is not JSONPatch")
            changed = json_patch(before, decode(base64.b64decode(response["patch"])))
            if type(changed) is not dict or type(changed.get("metadata")) is not dict:
                raise PatchError("it does not leave an object")
            if changed == before:
                return False
            review.new = await self._versions.kept(review, changed, seen)
        except (UnreadableError, PatchError, NonconformingError, TypeError, ValueError) as error:
            if hook.may_fail:
                return False
            raise _failed(hook, f"its patch cannot be used: {error}") from error
        review.conform = True
        return True

    async def _ask(self, hook: Webhook, review: Review, seen: Resource) -> Document:
        if review.options.dry_run and hook.spec.get("sideEffects") not in _HARMLESS:
            raise bad_request(f'admission webhook "{hook.name}" does not support dry run')
        uid = str(uuid.uuid4())
        request = request_document(review, uid, request_at_hand.get().user.to_document(), seen)
        request["object"] = await self._versions.shown(review, review.new, seen)
        request["oldObject"] = await self._versions.shown(review, review.old, seen)
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
        notes = response.get("auditAnnotations")
        if type(notes) is dict:
            audit_annotations().update({f"{hook.name}/{key}": str(value) for key, value in notes.items()})
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
