"""Conversion by webhook: objects of a definition whose versions differ in more than their fields' names.

An object is converted when it is written, to each version that is served; all forms are kept with it. So
reading it, and watching it, never has to ask anybody.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/#webhook-conversion
"""

from __future__ import annotations

import uuid
from typing import Any

from proa.controlplane._errors import StatusError
from proa.controlplane._json import Document
from proa.controlplane.admission import WebhookClient
from proa.controlplane.admission._webhook_client import WebhookError
from proa.controlplane.registry import Catalogue, Resource, Review
from proa.controlplane.storage import Store

from ._resource import FORMS, CustomResource

TIMEOUT_SECONDS = 30
_MAY_CHANGE = frozenset({"labels", "annotations"})


class Conversions:
    """Asks the webhooks of definitions."""

    def __init__(self, client: WebhookClient, catalogue: Catalogue) -> None:
        self._client = client
        self._catalogue = catalogue

    async def convert(self, review: Review) -> None:
        """Makes of a new object, in place, what is stored: its form in the stored version, and with it those
        in all versions. What is not changed stays as it is.

        Raises:
            StatusError: 500, the webhook does not answer, or not as it should.
        """
        resource, new = review.resource, review.new
        if (
            not isinstance(resource, CustomResource)
            or not resource.webhook
            or new is None
            or new == review.old
        ):
            return
        forms = await self.forms(resource, new)
        content = forms.get(resource.stored_version) or {}
        metadata = new["metadata"]
        new.clear()
        new |= {"metadata": metadata, **content, FORMS: forms}

    async def convert_stored(self, store: Store, storage: str) -> None:
        """Converts what is there already to versions that are served since.

        Raises:
            StatusError: As `convert`.
            StorageError: The disk did not take it.
        """
        served = [one for one in self._catalogue.custom(storage) if isinstance(one, CustomResource)]
        if not served or not served[0].webhook:
            return
        wanted = {one.version for one in served}
        for stored in list(store.scan(storage)):
            document = stored.document()
            known = set(document.get(FORMS) or ()) or {served[0].stored_version}
            source = next((one for one in served if one.version in known), None)
            if source is not None and wanted - set(document.get(FORMS) or ()):
                document[FORMS] = await self.forms(source, source.served(document))
                if store.latest(stored.key) is stored:
                    await store.put(stored.key, document)

    async def forms(self, resource: CustomResource, document: Document) -> Document:
        """An object's content in all versions, by version; the object is of the resource's version."""
        given = {key: value for key, value in document.items() if key != FORMS}
        forms = {resource.version: _content(given)}
        versions = {one.version for one in self._catalogue.custom(resource.storage)} | {
            resource.stored_version
        }
        whole = {"apiVersion": resource.api_version, "kind": resource.kind, **given}
        for version in sorted(versions - {resource.version}):
            forms[version] = _content(await self._ask(resource, whole, f"{resource.group}/{version}"))
        return forms

    async def converted(self, resource: Resource, document: Document, version: str) -> Document:
        """An object that is of a resource's version, in another one of its group.

        Raises:
            StatusError: As `convert`.
        """
        wanted = f"{resource.group}/{version}"
        if not isinstance(resource, CustomResource) or not resource.webhook:
            return {**document, "apiVersion": wanted}
        found = await self._ask(resource, document, wanted)
        return {**found, "metadata": document["metadata"]}

    async def _ask(self, resource: CustomResource, document: Document, wanted: str) -> Document:
        uid = str(uuid.uuid4())
        webhook: Document = resource.webhook or {}
        versions = webhook.get("conversionReviewVersions") or ["v1"]
        review = {
            "apiVersion": f"apiextensions.k8s.io/{'v1' if 'v1' in versions else versions[0]}",
            "kind": "ConversionReview",
            "request": {"uid": uid, "desiredAPIVersion": wanted, "objects": [document]},
        }
        try:
            answer = await self._client.post(webhook.get("clientConfig", {}), review, TIMEOUT_SECONDS)
            return _converted(answer, uid, wanted, document)
        except WebhookError as error:
            what = f"{resource.api_version}, Kind={resource.kind}"
            message = f"conversion webhook for {what} failed: {error}"
            raise StatusError(500, "InternalError", message, {"causes": [{"message": message}]}) from error


def _content(document: Document) -> Document:
    return {key: value for key, value in document.items() if key not in {"apiVersion", "kind", "metadata"}}


def _converted(answer: Any, uid: str, wanted: str, document: Document) -> Document:
    """The one object of a review's answer, if it is the given one in the wanted version."""
    response = answer.get("response") if type(answer) is dict else None
    if type(response) is not dict or response.get("uid") != uid:
        raise WebhookError("it did not answer this request with a ConversionReview")
    result = response.get("result") or {}
    if result.get("status") != "Success":
        raise WebhookError(str(result.get("message") or "it did not say why"))
    objects = response.get("convertedObjects")
    found = objects[0] if type(objects) is list and len(objects) == 1 else None
    if type(found) is not dict or (found.get("apiVersion"), found.get("kind")) != (wanted, document["kind"]):
        raise WebhookError(f"it did not answer with the object in version {wanted}")
    before, after = document["metadata"], found.get("metadata")
    if type(after) is not dict or _fixed(before) != _fixed(after):
        raise WebhookError("it must not change metadata other than labels and annotations")
    return found


def _fixed(metadata: Document) -> Document:
    return {key: value for key, value in metadata.items() if key not in _MAY_CHANGE}
