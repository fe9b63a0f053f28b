"""Certificate signing requests say who asks, are approved by those who may, and signed by those who may.

https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/
"""

from __future__ import annotations

from typing import Any

from proa.controlplane._errors import invalid, invalid_value
from proa.controlplane._json import Document
from proa.controlplane.registry import Review
from proa.controlplane.security import MASTERS, Attributes, Authoriser, request_at_hand
from proa.controlplane.security._requests import UnreadableRequestError, read_request

from ._refusal import refused

STORAGE = "certificatesigningrequests.certificates.k8s.io"
CLIENT = "kubernetes.io/kube-apiserver-client"
_GROUP = "certificates.k8s.io"
_ASKING = frozenset({"username", "uid", "groups", "extra"})
_DECISIONS = ("Approved", "Denied")


class CertificateRequests:
    """Checks changes of certificate signing requests."""

    def __init__(self, authoriser: Authoriser) -> None:
        self._authoriser = authoriser

    def mutate(self, review: Review) -> None:
        """Notes who asks: what the client says of that does not count. Afterwards it stays."""
        new, old = review.new, review.old
        if new is None:
            return
        if old is not None:
            new["spec"] = old["spec"]
            if review.subresource == "approval":
                new["status"] = {**old.get("status", {}), **_only(new.get("status", {}), "conditions")}
            elif review.subresource == "status":
                new["status"] = _keep_decisions(new.get("status", {}), old.get("status", {}))
            return
        user = request_at_hand.get().user
        spec = {key: value for key, value in new["spec"].items() if key not in _ASKING}
        asked: dict[str, Any] = {"username": user.name, "uid": user.uid, "groups": list(user.groups)}
        asked["extra"] = {key: list(values) for key, values in user.extra.items()}
        new["spec"] = spec | {key: value for key, value in asked.items() if value}

    def validate(self, review: Review) -> None:
        """Refuses a request that cannot be read, and decisions and signatures by those who may not."""
        new, old = review.new, review.old
        if new is None:
            return
        if old is None:
            _check_request(review, new)
            return
        signer = new["spec"]["signerName"]
        if review.subresource == "approval":
            self._demand(review, "approve", signer)
        elif new.get("status", {}).get("certificate") != old.get("status", {}).get("certificate"):
            self._demand(review, "sign", signer)

    def _demand(self, review: Review, verb: str, signer: str) -> None:
        user = request_at_hand.get().user
        for name in (signer, f"{signer.partition('/')[0]}/*"):
            wanted = Attributes(user, verb, _GROUP, "signers", name=name)
            if self._authoriser.authorise(wanted).allowed:
                return
        raise refused(review, f'user not permitted to {verb} requests with signerName "{signer}"')


def _only(document: Document, field: str) -> Document:
    return {field: document[field]} if field in document else {}


def _keep_decisions(new: Document, old: Document) -> Document:
    """A status update may add that signing failed; approvals and denials come through `approval` only."""
    decided = [one for one in old.get("conditions", ()) if one["type"] in _DECISIONS]
    others = [one for one in new.get("conditions", ()) if one["type"] not in _DECISIONS]
    kept = {key: value for key, value in new.items() if key != "conditions"}
    return kept | ({"conditions": [*decided, *others]} if decided or others else {})


def _check_request(review: Review, new: Document) -> None:
    spec, causes = new["spec"], []
    try:
        request = read_request(spec.get("request", ""))
    except UnreadableRequestError as error:
        causes.append(invalid_value("spec.request", "<request>", str(error)))
    else:
        if spec["signerName"] == CLIENT and MASTERS in request.organisations:
            raise refused(review, f"use of {CLIENT} signer with {MASTERS} group is not allowed")
    if causes:
        raise invalid(review.resource.qualified_kind, review.name, causes)
