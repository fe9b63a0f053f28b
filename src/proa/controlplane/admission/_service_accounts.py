"""Pods run as a service account of their namespace, and get its token, the cluster's CA and the name of the
namespace as files.

https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#serviceaccount-admission-controller
"""

from __future__ import annotations

from proa.controlplane._json import Document
from proa.controlplane.registry import Review
from proa.controlplane.registry._names import generated
from proa.controlplane.storage import Key, Store

from ._node_restriction import MIRROR
from ._refusal import refused

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
ROOT_CA = "kube-root-ca.crt"
TOKEN_SECONDS = 3607
_VOLUME = "kube-api-access-"
_CONTAINERS = ("containers", "initContainers")


class ServiceAccounts:
    """Gives new pods their service account."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def give(self, review: Review) -> None:
        """Names the account `default` where none is named, and mounts its token unless that is not wanted.

        Raises:
            StatusError: 403, there is no such account.
        """
        pod = review.new
        if review.operation != "CREATE" or pod is None or MIRROR in pod["metadata"].get("annotations", {}):
            return
        spec = pod["spec"]
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
        stored = self._store.latest(Key("serviceaccounts", review.namespace, name))
        if stored is None:
            where = f"{review.namespace}/{name}"
            raise refused(
                review, f'error looking up service account {where}: serviceaccount "{name}" not found'
            )
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = stored.document()
        if "imagePullSecrets" not in spec and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = account["imagePullSecrets"]
        wanted = spec.get("automountServiceAccountToken")
        if wanted is None:
            wanted = account.get("automountServiceAccountToken", True)
        if wanted:
            mount_token(spec)


def mount_token(spec: Document) -> None:
    """Adds the volume with the token, if it is not there yet, and mounts it wherever nothing else is."""
    without = [
        container
        for key in _CONTAINERS
        for container in spec.get(key, ())
        if not any(mount.get("mountPath") == MOUNT_PATH for mount in container.get("volumeMounts", ()))
    ]
    if not without:
        return
    taken = [volume.get("name", "") for volume in spec.get("volumes", ())]
    name = next((one for one in taken if one.startswith(_VOLUME)), "")
    if not name:
        name = generated(_VOLUME)
        spec.setdefault("volumes", []).append(token_volume(name))
    mount = {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}
    for container in without:
        container.setdefault("volumeMounts", []).append(dict(mount))


def token_volume(name: str) -> Document:
    """The volume that Kubernetes gives pods: token, CA, namespace."""
    own_namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    sources: list[Document] = [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": ROOT_CA, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [own_namespace]}},
    ]
    return {"name": name, "projected": {"sources": sources, "defaultMode": 420}}
