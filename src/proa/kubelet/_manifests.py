"""Manifests of static pods: read, checked and completed as an API server would do it. Pure."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

import yaml
from msgspec.structs import replace

from proa import kube
from proa.kube.models.core_v1 import Container, Pod, PodSpec, Toleration, Volume
from proa.kubelet import _references
from proa.kubelet._images import pull_policy
from proa.kubelet.errors import KubeletError

HASH: Final = "kubernetes.io/config.hash"
SOURCE: Final = "kubernetes.io/config.source"
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME: Final = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_POLICIES: Final = frozenset({"Always", "OnFailure", "Never"})

_SPEC: Final = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "enableServiceLinks": True,
    "securityContext": {},
}
_CONTAINER: Final = {
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "resources": {},
}
_PROBE: Final = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}


def from_manifest(content: bytes, place: str, node: str) -> Pod:
    """The pod that a manifest describes, as it runs on a node.

    Args:
        content: The manifest.
        place: Where it is from: the same manifest elsewhere is another pod.
        node: The node's name, which becomes part of the pod's.

    Raises:
        KubeletError: It describes no pod, or none that can run without an API server; names all problems.
    """
    try:
        document = _without_nulls(json.loads(json.dumps(yaml.safe_load(content))))
        pod = kube.decode(json.dumps(document).encode(), Pod)
    except (yaml.YAMLError, kube.KubeError, TypeError, ValueError) as error:
        raise KubeletError(f"{place} is no manifest of a pod: {error}") from error
    if not isinstance(document, dict) or (document.get("kind"), document.get("apiVersion")) != ("Pod", "v1"):
        raise KubeletError(f"{place} is no manifest of a pod: it must say apiVersion: v1 and kind: Pod")
    if problems := [*_problems(pod)]:
        raise KubeletError(f"{place} describes no pod that can run: {'; '.join(problems)}")
    _complete(document["spec"])
    return _on_node(kube.decode(json.dumps(document).encode(), Pod), content, place, node)


def _on_node(pod: Pod, content: bytes, place: str, node: str) -> Pod:
    digest = hashlib.sha256(b"\0".join((content, place.encode(), node.encode()))).hexdigest()[:32]
    metadata = replace(
        pod.metadata,
        name=f"{pod.metadata.name}-{node}",
        namespace=pod.metadata.namespace or "default",
        uid=digest,
        annotations=pod.metadata.annotations | {HASH: digest, SOURCE: "file"},
    )
    everywhere = Toleration(operator="Exists", effect="NoExecute")
    spec = replace(pod.spec, node_name=node, tolerations=[*pod.spec.tolerations, everywhere])
    return replace(pod, metadata=metadata, spec=spec)


def _complete(spec: dict[str, Any]) -> None:
    """Fill in what the API server would."""
    for key, value in _SPEC.items():
        spec.setdefault(key, value)
    for container in [*spec["containers"], *(spec.get("initContainers") or ())]:
        for key, value in _CONTAINER.items():
            container.setdefault(key, value)
        container.setdefault("imagePullPolicy", pull_policy(Container(name="", image=container["image"])))
        resources = container["resources"] = dict(container["resources"])
        if "limits" in resources:
            resources["requests"] = resources["limits"] | (resources.get("requests") or {})
        for port in container.get("ports") or ():
            port.setdefault("protocol", "TCP")
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            if probe := container.get(kind):
                container[kind] = _PROBE | probe
    for volume in spec.get("volumes") or ():
        if len(volume) == 1:
            volume["emptyDir"] = {}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value


def _problems(pod: Pod) -> Iterator[str]:
    spec = pod.spec
    if not _NAME.fullmatch(pod.metadata.name or ""):
        yield f"metadata.name: {pod.metadata.name or ''!r} is no name"
    if not _LABEL.fullmatch(pod.metadata.namespace or "default"):
        yield f"metadata.namespace: {pod.metadata.namespace!r} is no name"
    if not spec.containers:
        yield "spec.containers: there is none"
    containers = [*spec.init_containers, *spec.containers]
    yield from _wrong_names("container", (one.name for one in containers))
    yield from _wrong_names("volume", (one.name for one in spec.volumes))
    if spec.restart_policy not in {None, *_POLICIES}:
        yield f"spec.restartPolicy: {spec.restart_policy!r} is none of {', '.join(sorted(_POLICIES))}"
    volumes = {volume.name for volume in spec.volumes}
    for container in containers:
        if not container.image:
            yield f"container {container.name}: it has no image"
        for mount in container.volume_mounts:
            if mount.name not in volumes:
                yield f"container {container.name}: the pod has no volume {mount.name!r}"
    if found := [*_references_to_objects(spec)]:
        yield f"a static pod may not refer to {', '.join(found)}: it must run without an API server"


def _wrong_names(what: str, names: Iterable[str]) -> Iterator[str]:
    for name, times in Counter(names).items():
        if not _LABEL.fullmatch(name):
            yield f"{what} {name!r}: that is no name"
        if times > 1:
            yield f"{what} {name!r}: there are {times} of that name"


def _references_to_objects(spec: PodSpec) -> Iterator[str]:
    """What only an API server could give, as Kubernetes refuses it."""
    if spec.service_account_name:
        yield f"the service account {spec.service_account_name}"
    yield from (f"the pull secret {secret.name}" for secret in spec.image_pull_secrets)
    yield from (f"the resource claim {claim.name}" for claim in spec.resource_claims)
    containers = [*spec.init_containers, *spec.containers]
    references = _references.References.union(
        [*map(_references.of_container, containers), *map(_references.of_volume, spec.volumes)]
    )
    yield from (f"the config map {name}" for name in sorted(references.config_maps))
    yield from (f"the secret {name}" for name in sorted(references.secrets))
    yield from (f"what volume {volume.name} is made of" for volume in spec.volumes if _is_claimed(volume))


def _is_claimed(volume: Volume) -> bool:
    sources = volume.projected.sources if volume.projected else []
    has_token = any(source.service_account_token for source in sources)
    return bool(volume.persistent_volume_claim or volume.ephemeral or has_token)
