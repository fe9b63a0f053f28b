"""The credentials that a pod brings for its images: its `imagePullSecrets`."""

import json
from typing import Final

from proa.kube import Api, Client, KubeError
from proa.kube.models.core_v1 import Pod, Secret
from proa.oci import Credentials, OciError, parse_docker_config

_JSON: Final = ("kubernetes.io/dockerconfigjson", ".dockerconfigjson")
_OLD: Final = ("kubernetes.io/dockercfg", ".dockercfg")


async def credentials(client: Client, pod: Pod) -> tuple[dict[str, Credentials], list[str]]:
    """The credentials in a pod's pull secrets, and what is wrong with those that cannot be used.

    As in Kubernetes, a secret that is missing or broken is no reason not to try the others, or none.
    """
    found: dict[str, Credentials] = {}
    problems = []
    secrets = Api(client, Secret, namespace=pod.metadata.namespace or "")
    for reference in pod.spec.image_pull_secrets:
        name = reference.name or ""
        try:
            secret = await secrets.get_opt(name)
            if secret is None:
                problems.append(f"secret {name} is not there")
            else:
                found = of_secret(secret) | found
        except (KubeError, OciError, ValueError) as error:
            problems.append(f"secret {name}: {error}")
    return found, problems


def of_secret(secret: Secret) -> dict[str, Credentials]:
    """The credentials in a secret. Pure.

    Raises:
        ValueError: It is of another type.
        proa.oci.OciError: What is in it cannot be read.
    """
    if (secret.type, _JSON[1] in secret.data) == (_JSON[0], True):
        return parse_docker_config(secret.data[_JSON[1]])
    if (secret.type, _OLD[1] in secret.data) == (_OLD[0], True):
        return parse_docker_config(json.dumps({"auths": json.loads(secret.data[_OLD[1]])}))
    raise ValueError(f"it is of the type {secret.type}, not {_JSON[0]}")
