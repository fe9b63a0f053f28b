"""Certificate signing requests are approved, signed, and cleaned away.

Approved are, without a person: nodes' client certificates, if roles say that the asker may have them
(`certificatesigningrequests/nodeclient` and `selfnodeclient`), and a node's own serving certificate for
addresses that its `Node` object has. Everything else waits for `kubectl certificate approve`. Signed is what
is approved and for one of the built-in signers.
"""

from __future__ import annotations

import asyncio
import base64
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from proa.app import logs

from ._errors import StatusError
from ._housekeeping import Housekeeper
from ._json import Document
from .registry import Catalogue, Options, Registry
from .registry._deletion import timestamp
from .registry._options import DeleteOptions
from .security import Attributes, Authoriser, Pki, User, node_of
from .security._requests import (
    CLIENT,
    KUBELET_CLIENT,
    KUBELET_SERVING,
    LEGACY,
    CertificateRequest,
    UnreadableRequestError,
    objection,
    read_request,
)
from .storage import Event, Key
from .storage._store import StorageError

GROUP, PLURAL = "certificates.k8s.io", "certificatesigningrequests"
STORAGE = f"{PLURAL}.{GROUP}"
SIGNERS = frozenset({CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY})
DECIDED_KEPT = timedelta(hours=1)
PENDING_KEPT = timedelta(hours=24)
CLEANING_SECONDS = 600.0
USUAL_SECONDS = 365 * 24 * 3600


class Certifier(Housekeeper):
    """Deals with certificate signing requests. Use as an async context manager: it works within.

    A request that cannot be dealt with is left as it is, and looked at again when it changes or the server
    starts anew.
    """

    def __init__(self, registry: Registry, catalogue: Catalogue, authoriser: Authoriser, pki: Pki) -> None:
        super().__init__()
        self._registry = registry
        self._store = registry.store
        self._authoriser = authoriser
        self._pki = pki
        resource = catalogue.find(GROUP, PLURAL)
        assert resource is not None
        self._resource = resource
        self._names: asyncio.Queue[str] = asyncio.Queue()
        self._log = logs.get_logger(__name__)

    def begin(self) -> None:
        for stored in self._store.scan(STORAGE):
            self._names.put_nowait(stored.key.name)
        self.ends.append(self._store.subscribe(STORAGE, self._on_change))

    def _on_change(self, event: Event) -> None:
        if event.current is not None:
            self._names.put_nowait(event.key.name)

    async def run(self) -> None:
        while True:
            try:
                name = await asyncio.wait_for(self._names.get(), CLEANING_SECONDS)
            except TimeoutError:
                await self._clean()
                continue
            try:
                await self._deal_with(name)
            except (StatusError, StorageError, UnreadableRequestError) as error:
                self._log.warning("a certificate request is left as it is", request=name, error=str(error))

    async def _deal_with(self, name: str) -> None:
        stored = self._store.get(Key(STORAGE, "", name))
        if stored is None:
            return
        document = stored.document()
        status = document.get("status", {})
        decided = {one["type"] for one in status.get("conditions", ())}
        if status.get("certificate") or decided & {"Denied", "Failed"}:
            return
        request = await asyncio.to_thread(read_request, document["spec"]["request"])
        if "Approved" in decided:
            await self._sign(name, document["spec"], request)
        elif why := self._approves(document["spec"], request):
            await self._write(name, "approval", {"conditions": [_condition("Approved", "AutoApproved", why)]})

    def _approves(self, spec: Document, request: CertificateRequest) -> str:
        """Why a request is approved; empty if it is not for us to say."""
        signer = spec["signerName"]
        if objection(signer, request, spec.get("usages", ())):
            return ""
        user = User(spec.get("username", ""), spec.get("uid", ""), tuple(spec.get("groups", ())))
        own = user.name == request.common_name
        if signer == KUBELET_CLIENT:
            for kind in ("selfnodeclient", "nodeclient") if own else ("nodeclient",):
                wanted = Attributes(user, "create", GROUP, PLURAL, kind)
                if self._authoriser.authorise(wanted).allowed:
                    return "Auto approving kubelet client certificate after SubjectAccessReview."
        if signer == KUBELET_SERVING and own and set(request.hosts) <= self._addresses(node_of(user)):
            return "The node asks for itself, at addresses that it has."
        return ""

    def _addresses(self, node: str | None) -> set[str]:
        stored = self._store.get(Key("nodes", "", node)) if node else None
        status: Any = stored.document().get("status", {}) if stored else {}
        return {one["address"] for one in status.get("addresses", ())}

    async def _sign(self, name: str, spec: Document, request: CertificateRequest) -> None:
        signer, usages = spec["signerName"], spec.get("usages", [])
        if signer not in SIGNERS:
            return
        why = objection(signer, request, usages)
        if why:
            await self._write(
                name, "status", {"conditions": [_condition("Failed", "SignerValidationFailure", why)]}
            )
            return
        seconds = min(spec.get("expirationSeconds", USUAL_SECONDS), USUAL_SECONDS)
        certificate = await asyncio.to_thread(self._pki.sign, request.encoded, usages, seconds)
        await self._write(name, "status", {"certificate": base64.b64encode(certificate).decode()})

    async def _write(self, name: str, subresource: str, part: Document) -> None:
        def change(old: Document) -> Document:
            status = old.get("status", {})
            conditions = [*status.get("conditions", ()), *part.get("conditions", ())]
            return {**old, "status": {**status, **part, **({"conditions": conditions} if conditions else {})}}

        await self._registry.update(self._resource, "", name, change, Options(), subresource)

    async def _clean(self) -> None:
        now = datetime.now(UTC)
        for stored in list(self._store.scan(STORAGE)):
            document = stored.document()
            decided = document.get("status", {}).get("conditions")
            born = datetime.fromisoformat(document["metadata"]["creationTimestamp"])
            if now - born > (DECIDED_KEPT if decided else PENDING_KEPT):
                with suppress(StatusError):
                    await self._registry.delete(self._resource, "", stored.key.name, DeleteOptions())


def _condition(kind: str, reason: str, message: str) -> Document:
    now = timestamp()
    return {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastUpdateTime": now,
        "lastTransitionTime": now,
    }
