"""Who may do what, as clients meet it: roles, nodes, tokens, certificates, the audit log."""

import asyncio
import base64
import json
import re
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from proa.controlplane import ApiServer, ApiServerSettings
from proa.kube import Config
from proa.kube._tls import ssl_context

RBAC = "/apis/rbac.authorization.k8s.io/v1"
CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
DEFAULT = "/api/v1/namespaces/default"
REVIEWS = "/apis/authorization.k8s.io/v1"
Session = aiohttp.ClientSession
Json = dict[str, Any]


async def send(session: Session, method: str, path: str, body: Any = None, expected: int = 200) -> Json:
    headers = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else {}
    async with session.request(method, path, json=body, headers=headers) as response:
        answer: Json = await response.json()
        assert response.status == expected, answer
        return answer


async def post(session: Session, path: str, body: Any, expected: int = 201) -> Json:
    return await send(session, "POST", path, body, expected)


def acting(admin: Session, server: ApiServer, user: str, *groups: str) -> Session:
    """A session of the administrator in another's name."""
    headers = [("Authorization", "Bearer admin-token"), ("Impersonate-User", user)]
    headers += [("Impersonate-Group", group) for group in groups]
    return Session(server.url, headers=headers, connector=aiohttp.TCPConnector(ssl=False))


def bearing(server: ApiServer, token: str) -> Session:
    headers = {"Authorization": f"Bearer {token}"}
    return Session(server.url, headers=headers, connector=aiohttp.TCPConnector(ssl=False))


@asynccontextmanager
async def certified(server: ApiServer, user: str, *groups: str) -> AsyncIterator[Session]:
    config = Config.from_kubeconfig(await asyncio.to_thread(server.kubeconfig_for, user, groups))
    connector = aiohttp.TCPConnector(ssl=await asyncio.to_thread(ssl_context, config))
    async with Session(server.url, connector=connector) as session:
        yield session


def role(name: str, verbs: Sequence[str], *resources: str, group: str = "") -> Json:
    rule = {"verbs": list(verbs), "apiGroups": [group], "resources": list(resources)}
    return {"metadata": {"name": name}, "rules": [rule]}


def binding(name: str, role_name: str, user: str, kind: str = "ClusterRole") -> Json:
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role_name},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}],
    }


async def grant(admin: Session, user: str, verbs: Sequence[str], *resources: str, group: str = "") -> None:
    name = f"{user}-{len(resources)}-{'-'.join(verbs)}-{resources[0].replace('/', '.')}"
    await post(admin, f"{RBAC}/clusterroles", role(name, verbs, *resources, group=group))
    await post(admin, f"{RBAC}/clusterrolebindings", binding(name, name, user))


class TestRoles:
    async def test_hold_from_the_answer_to_their_creation_until_they_go(
        self, admin: Session, server: ApiServer
    ) -> None:
        await post(admin, f"{RBAC}/clusterroles", role("reader", ["get", "list"], "configmaps"))
        async with acting(admin, server, "ann") as ann:
            await send(ann, "GET", f"{DEFAULT}/configmaps", expected=403)
            bound = f"{RBAC}/namespaces/default/rolebindings"
            await post(admin, bound, binding("b", "reader", "ann"))
            await send(ann, "GET", f"{DEFAULT}/configmaps")
            await send(ann, "GET", "/api/v1/configmaps", expected=403)
            await send(admin, "DELETE", f"{bound}/b")
            await send(ann, "GET", f"{DEFAULT}/configmaps", expected=403)

    async def test_cannot_be_given_by_who_has_not_got_them(self, admin: Session, server: ApiServer) -> None:
        await grant(admin, "ann", ["*"], "roles", "rolebindings", group="rbac.authorization.k8s.io")
        await grant(admin, "ann", ["get"], "configmaps")
        roles, bindings = f"{RBAC}/namespaces/default/roles", f"{RBAC}/namespaces/default/rolebindings"
        async with acting(admin, server, "ann") as ann:
            # '*' on roles is 'escalate' and 'bind', too: take those away.
            await grant(
                admin,
                "bob",
                ["create", "update", "patch"],
                "roles",
                "rolebindings",
                group="rbac.authorization.k8s.io",
            )
            await grant(admin, "bob", ["get"], "configmaps")
            await post(ann, roles, role("wide", ["*"], "*"))
        async with acting(admin, server, "bob") as bob:
            await post(bob, roles, role("same", ["get"], "configmaps"))
            refused = await post(bob, roles, role("more", ["get"], "secrets"), 403)
            assert '"secrets"' in refused["message"]
            assert refused["details"] == {
                "name": "more",
                "group": "rbac.authorization.k8s.io",
                "kind": "roles",
            }
            wider = {"rules": role("x", ["get", "delete"], "configmaps")["rules"]}
            await send(bob, "PATCH", f"{roles}/same", wider, 403)
            await post(bob, bindings, binding("b", "same", "eve", "Role"))
            await post(bob, bindings, binding("c", "cluster-admin", "bob"), 403)
            await post(bob, bindings, binding("d", "no-such", "bob"), 404)

    async def test_can_be_bound_by_who_may_bind_them(self, admin: Session, server: ApiServer) -> None:
        await grant(admin, "ann", ["create"], "rolebindings", group="rbac.authorization.k8s.io")
        bind = role("binder", ["bind"], "clusterroles", group="rbac.authorization.k8s.io")
        bind["rules"][0]["resourceNames"] = ["view"]
        await post(admin, f"{RBAC}/clusterroles", bind)
        await post(admin, f"{RBAC}/clusterrolebindings", binding("binder", "binder", "ann"))
        async with acting(admin, server, "ann") as ann:
            bindings = f"{RBAC}/namespaces/default/rolebindings"
            await post(ann, bindings, binding("a", "view", "eve"))
            await post(ann, bindings, binding("b", "edit", "eve"), 403)

    async def test_gather_the_rules_that_they_aggregate(self, admin: Session, server: ApiServer) -> None:
        more = role("widgets", ["get"], "widgets", group="example.test")
        more["metadata"]["labels"] = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
        await post(admin, f"{RBAC}/namespaces/default/rolebindings", binding("b", "view", "ann"))
        watch = f"{RBAC}/clusterroles?watch=1&fieldSelector=metadata.name%3Dview&timeoutSeconds=20"
        async with admin.get(watch) as events:
            await post(admin, f"{RBAC}/clusterroles", more)
            async for line in events.content:
                if "widgets" in json.dumps(json.loads(line)["object"].get("rules")):
                    break
        question = {"namespace": "default", "verb": "get", "group": "example.test", "resource": "widgets"}
        async with acting(admin, server, "ann") as ann:
            answer = await post(
                ann, f"{REVIEWS}/selfsubjectaccessreviews", {"spec": {"resourceAttributes": question}}
            )
        assert answer["status"]["allowed"]


class TestReviews:
    async def test_say_what_a_request_would_be_told(self, admin: Session, server: ApiServer) -> None:
        await post(admin, f"{RBAC}/namespaces/default/rolebindings", binding("b", "view", "ann"))
        about = {"namespace": "default", "verb": "list", "resource": "pods"}
        spec = {"user": "ann", "resourceAttributes": about}
        answer = await post(admin, f"{REVIEWS}/subjectaccessreviews", {"spec": spec})
        assert answer["status"]["allowed"]
        assert 'RoleBinding "b/default" of ClusterRole "view"' in answer["status"]["reason"]
        local = f"{REVIEWS}/namespaces/default/localsubjectaccessreviews"
        assert (await post(admin, local, {"spec": spec}))["status"]["allowed"]
        await post(admin, local.replace("default", "kube-system"), {"spec": spec}, 400)
        nobody = await post(
            admin, f"{REVIEWS}/subjectaccessreviews", {"spec": {"resourceAttributes": about}}, 422
        )
        assert nobody["details"]["causes"][0]["field"] == "spec.user"
        await post(admin, f"{REVIEWS}/subjectaccessreviews", {"spec": {"user": "ann"}}, 422)
        async with acting(admin, server, "ann") as ann:
            rules = f"{REVIEWS}/selfsubjectrulesreviews"
            status = (await post(ann, rules, {"spec": {"namespace": "default"}}))["status"]
            assert any("pods/log" in rule["resources"] for rule in status["resourceRules"])
            assert any("/version" in rule["nonResourceURLs"] for rule in status["nonResourceRules"])
            assert status["incomplete"] is False
            await post(ann, f"{REVIEWS}/subjectaccessreviews", {"spec": spec}, 403)

    async def test_tell_whose_a_token_is(self, admin: Session) -> None:
        path = "/apis/authentication.k8s.io/v1/tokenreviews"
        known = (await post(admin, path, {"spec": {"token": "viewer-token"}}))["status"]
        assert known["authenticated"]
        assert known["user"]["username"] == "viewer"
        unknown = (await post(admin, path, {"spec": {"token": "x"}}))["status"]
        assert not unknown.get("authenticated")
        assert unknown["error"]
        other = {"spec": {"token": "viewer-token", "audiences": ["vault"]}}
        assert not (await post(admin, path, other))["status"].get("authenticated")


class TestImpersonation:
    async def test_needs_a_right_for_each_thing_impersonated(self, admin: Session, server: ApiServer) -> None:
        await grant(admin, "viewer", ["impersonate"], "users")
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        async with bearing(server, "viewer-token") as viewer:
            headers = {"Impersonate-User": "ann"}
            async with viewer.post(path, json={}, headers=headers) as response:
                info = (await response.json())["status"]["userInfo"]
                assert info == {"username": "ann", "groups": ["system:authenticated"]}
            headers["Impersonate-Group"] = "system:masters"
            async with viewer.post(path, json={}, headers=headers) as response:
                assert response.status == 403
            async with viewer.post(path, json={}, headers={"Impersonate-Group": "x"}) as response:
                assert response.status == 400
            account = {"Impersonate-User": "system:serviceaccount:default:default"}
            async with viewer.post(path, json={}, headers=account) as response:
                assert response.status == 403


async def bound_token(admin: Session, account: str, pod: str | None = None, **spec: Any) -> str:
    if pod:
        spec["boundObjectRef"] = {"kind": "Pod", "apiVersion": "v1", "name": pod}
    answer = await post(admin, f"{DEFAULT}/serviceaccounts/{account}/token", {"spec": spec})
    token: str = answer["status"]["token"]
    return token


class TestServiceAccountTokens:
    async def test_end_with_what_they_are_bound_to(self, admin: Session, server: ApiServer) -> None:
        await post(admin, f"{DEFAULT}/serviceaccounts", {"metadata": {"name": "bot"}})
        spec = {"serviceAccountName": "bot", "containers": [{"name": "c", "image": "i"}]}
        await post(admin, f"{DEFAULT}/pods", {"metadata": {"name": "p"}, "spec": spec})
        bound = await bound_token(admin, "bot", "p")
        free = await bound_token(admin, "bot")
        who = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        async with bearing(server, bound) as pod, bearing(server, free) as account:
            extra = (await post(pod, who, {}))["status"]["userInfo"]["extra"]
            assert extra["authentication.kubernetes.io/pod-name"] == ["p"]
            await post(account, who, {})
            await send(admin, "DELETE", f"{DEFAULT}/pods/p")
            await post(pod, who, {}, 401)
            await post(account, who, {})
            await send(admin, "DELETE", f"{DEFAULT}/serviceaccounts/bot")
            await post(admin, f"{DEFAULT}/serviceaccounts", {"metadata": {"name": "bot"}})
            await post(account, who, {}, 401)

    async def test_are_good_for_their_audience_only(self, admin: Session, server: ApiServer) -> None:
        await post(admin, f"{DEFAULT}/serviceaccounts", {"metadata": {"name": "bot"}})
        token = await bound_token(admin, "bot", audiences=["vault"])
        async with bearing(server, token) as bot:
            await send(bot, "GET", f"{DEFAULT}/pods", expected=401)
        path = "/apis/authentication.k8s.io/v1/tokenreviews"
        review = {"spec": {"token": token, "audiences": ["vault", "other"]}}
        status = (await post(admin, path, review))["status"]
        assert status["authenticated"]
        assert status["audiences"] == ["vault"]

    async def test_are_not_given_for_what_is_wrong(self, admin: Session) -> None:
        await post(admin, f"{DEFAULT}/serviceaccounts", {"metadata": {"name": "bot"}})
        tokens = f"{DEFAULT}/serviceaccounts/bot/token"
        reference = {"kind": "Pod", "apiVersion": "v1", "name": "p"}
        await post(admin, tokens, {"spec": {"boundObjectRef": reference}}, 404)
        await post(admin, tokens, {"spec": {"expirationSeconds": 10}}, 422)
        await post(admin, tokens, {"spec": {"boundObjectRef": {"kind": "Deployment", "name": "p"}}}, 422)
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        await post(admin, f"{DEFAULT}/pods", pod)
        await post(admin, tokens, {"spec": {"boundObjectRef": reference}}, 400)


class TestBootstrapTokens:
    async def test_let_a_node_join_until_they_expire(self, admin: Session, server: ApiServer) -> None:
        until = datetime.now(UTC) + timedelta(hours=1)
        data = {
            "token-id": "abcdef",
            "token-secret": "0123456789abcdef",
            "usage-bootstrap-authentication": "true",
            "expiration": until.isoformat(),
        }
        secret = {
            "metadata": {"name": "bootstrap-token-abcdef"},
            "type": "bootstrap.kubernetes.io/token",
            "stringData": data,
        }
        secrets = "/api/v1/namespaces/kube-system/secrets"
        await post(admin, secrets, secret)
        who = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        async with (
            bearing(server, "abcdef.0123456789abcdef") as node,
            bearing(server, "abcdef.0123456789abcdee") as wrong,
        ):
            info = (await post(node, who, {}))["status"]["userInfo"]
            assert info["username"] == "system:bootstrap:abcdef"
            assert "system:bootstrappers" in info["groups"]
            await post(wrong, who, {}, 401)
            await send(node, "GET", secrets, expected=403)
            past = {"stringData": {"expiration": "2020-01-01T00:00:00Z"}}
            await send(admin, "PATCH", f"{secrets}/bootstrap-token-abcdef", past)
            await post(node, who, {}, 401)


def pod_on(name: str, node: str, **spec: Any) -> Json:
    container = {"name": "c", "image": "i"}
    return {"metadata": {"name": name}, "spec": {"nodeName": node, "containers": [container], **spec}}


class TestNodes:
    async def test_read_only_what_their_pods_need(self, admin: Session, server: ApiServer) -> None:
        for name in ("mine", "other"):
            await post(admin, f"{DEFAULT}/secrets", {"metadata": {"name": name}})
        volumes = [{"name": "v", "secret": {"secretName": "mine"}}]
        async with certified(server, "system:node:n1", "system:nodes") as node:
            await send(node, "GET", f"{DEFAULT}/secrets/mine", expected=403)
            await post(admin, f"{DEFAULT}/pods", pod_on("p", "n1", volumes=volumes))
            await send(node, "GET", f"{DEFAULT}/secrets/mine")
            await send(node, "GET", f"{DEFAULT}/secrets/other", expected=403)
            await send(node, "GET", f"{DEFAULT}/secrets", expected=403)
            await send(node, "GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1")
            await send(node, "GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn2", expected=403)
            await send(node, "DELETE", f"{DEFAULT}/pods/p")
            await send(admin, "DELETE", f"{DEFAULT}/pods/p?gracePeriodSeconds=0")
            await send(node, "GET", f"{DEFAULT}/secrets/mine", expected=403)

    async def test_change_only_themselves_and_their_pods(self, admin: Session, server: ApiServer) -> None:
        await post(admin, f"{DEFAULT}/pods", pod_on("p1", "n1"))
        await post(admin, f"{DEFAULT}/pods", pod_on("p2", "n2"))
        await post(admin, "/api/v1/nodes", {"metadata": {"name": "n2"}})
        status = {"status": {"phase": "Running"}}
        async with certified(server, "system:node:n1", "system:nodes") as node:
            await post(node, "/api/v1/nodes", {"metadata": {"name": "n1"}})
            await post(node, "/api/v1/nodes", {"metadata": {"name": "n3"}}, 403)
            await send(node, "PATCH", "/api/v1/nodes/n2/status", {"status": {}}, 403)
            labels = {"metadata": {"labels": {"node-restriction.kubernetes.io/x": "y"}}}
            await send(node, "PATCH", "/api/v1/nodes/n1", labels, 403)
            taint = {"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}
            await send(node, "PATCH", "/api/v1/nodes/n1", taint, 403)
            await send(node, "PATCH", "/api/v1/nodes/n1", {"metadata": {"labels": {"mine": "y"}}})
            await send(node, "PATCH", f"{DEFAULT}/pods/p1/status", status)
            await send(node, "PATCH", f"{DEFAULT}/pods/p2/status", status, 403)
            await send(node, "DELETE", f"{DEFAULT}/pods/p2", expected=403)
            await post(node, f"{DEFAULT}/pods", pod_on("p3", "n1"), 403)
            mirror = pod_on("p4", "n1")
            mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
            await post(node, f"{DEFAULT}/pods", mirror)
            leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
            await post(node, leases, {"metadata": {"name": "n1"}})
            await post(node, leases, {"metadata": {"name": "n2"}}, 403)

    async def test_get_tokens_for_their_own_pods_only(self, admin: Session, server: ApiServer) -> None:
        await post(admin, f"{DEFAULT}/serviceaccounts", {"metadata": {"name": "bot"}})
        await post(admin, f"{DEFAULT}/pods", pod_on("p1", "n1", serviceAccountName="bot"))
        await post(admin, f"{DEFAULT}/pods", pod_on("p2", "n2", serviceAccountName="bot"))
        async with certified(server, "system:node:n1", "system:nodes") as node:
            await bound_token(node, "bot", "p1")
            tokens = f"{DEFAULT}/serviceaccounts/bot/token"
            await post(node, tokens, {"spec": {}}, 403)
            reference = {"kind": "Pod", "apiVersion": "v1", "name": "p2"}
            await post(node, tokens, {"spec": {"boundObjectRef": reference}}, 403)


def signing_request(name: str, group: str = "", *hosts: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    parts = [x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, group)] if group else []
    subject = x509.Name([*parts, x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if hosts:
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    return base64.b64encode(builder.sign(key, SHA256()).public_bytes(Encoding.PEM)).decode()


def csr(name: str, signer: str, request: str, purpose: str = "client auth") -> Json:
    spec = {
        "signerName": f"kubernetes.io/{signer}",
        "request": request,
        "usages": ["digital signature", purpose],
        "username": "system:admin",
    }
    return {"metadata": {"name": name}, "spec": spec}


async def settled(admin: Session, name: str, *, approved: bool = True) -> Json:
    """The request once it is signed, or has failed."""
    path = f"{CSRS}?watch=1&fieldSelector=metadata.name%3D{name}&timeoutSeconds=20"
    async with admin.get(path) as events:
        async for line in events.content:
            found: Json = json.loads(line)["object"]
            status = found.get("status", {})
            kinds = {one["type"] for one in status.get("conditions", [])}
            if status.get("certificate") or "Failed" in kinds or (not approved and kinds):
                return found
    raise AssertionError("nothing happened")


class TestCertificates:
    async def test_of_kubelets_are_approved_and_signed(self, admin: Session, server: ApiServer) -> None:
        async with acting(admin, server, "system:bootstrap:abcdef", "system:bootstrappers") as joining:
            request = signing_request("system:node:n1", "system:nodes")
            made = await post(joining, CSRS, csr("join", "kube-apiserver-client-kubelet", request))
        assert made["spec"]["username"] == "system:bootstrap:abcdef"
        status = (await settled(admin, "join"))["status"]
        signed = x509.load_pem_x509_certificate(base64.b64decode(status["certificate"]))
        assert signed.subject.rfc4514_string() == "CN=system:node:n1,O=system:nodes"
        addresses = [{"type": "Hostname", "address": "n1.test"}]
        async with certified(server, "system:node:n1", "system:nodes") as node:
            await post(
                node, "/api/v1/nodes", {"metadata": {"name": "n1"}, "status": {"addresses": addresses}}
            )
            request = signing_request("system:node:n1", "system:nodes", "n1.test")
            await post(node, CSRS, csr("serve", "kubelet-serving", request, "server auth"))
            assert (await settled(admin, "serve"))["status"]["certificate"]
            other = signing_request("system:node:n1", "system:nodes", "bank.test")
            await post(node, CSRS, csr("steal", "kubelet-serving", other, "server auth"))
            later = signing_request("system:node:n1", "system:nodes", "n1.test")
            await post(node, CSRS, csr("serve2", "kubelet-serving", later, "server auth"))
            await settled(admin, "serve2")
        assert "conditions" not in (await send(admin, "GET", f"{CSRS}/steal"))["status"]

    async def test_need_approval_by_who_may(self, admin: Session, server: ApiServer) -> None:
        await grant(
            admin, "ann", ["create", "get"], "certificatesigningrequests", group="certificates.k8s.io"
        )
        await grant(
            admin,
            "ann",
            ["update", "patch"],
            "certificatesigningrequests/approval",
            "certificatesigningrequests/status",
            group="certificates.k8s.io",
        )
        approved = {"type": "Approved", "status": "True", "reason": "x", "message": "y"}
        async with acting(admin, server, "ann") as ann:
            await post(ann, CSRS, csr("mine", "kube-apiserver-client", signing_request("ann")))
            patch = {"status": {"conditions": [approved]}}
            await send(ann, "PATCH", f"{CSRS}/mine/approval", patch, 403)
            sneaky = await send(ann, "PATCH", f"{CSRS}/mine/status", patch)
            assert "conditions" not in sneaky["status"]
            own = {"status": {"certificate": base64.b64encode(b"x").decode()}}
            await send(ann, "PATCH", f"{CSRS}/mine/status", own, 403)
            masters = signing_request("ann", "system:masters")
            await post(ann, CSRS, csr("bad", "kube-apiserver-client", masters), 403)
            await post(ann, CSRS, csr("worse", "kube-apiserver-client", "AAAA"), 422)
        await send(admin, "PATCH", f"{CSRS}/mine/approval", {"status": {"conditions": [approved]}})
        assert (await settled(admin, "mine"))["status"]["certificate"]

    async def test_that_a_signer_does_not_sign_fail_with_the_reason(self, admin: Session) -> None:
        await post(admin, CSRS, csr("odd", "kube-apiserver-client-kubelet", signing_request("ann")))
        approved = {"type": "Approved", "status": "True", "reason": "x", "message": "y"}
        await send(admin, "PATCH", f"{CSRS}/odd/approval", {"status": {"conditions": [approved]}})
        conditions = (await settled(admin, "odd"))["status"]["conditions"]
        assert conditions[-1]["reason"] == "SignerValidationFailure"


async def test_namespaces_that_the_cluster_needs_cannot_be_deleted(admin: Session) -> None:
    await send(admin, "DELETE", "/api/v1/namespaces/kube-system", expected=403)


async def test_the_audit_log_tells_who_did_what_and_no_secret_and_stays_small(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text('t0ken,admin,1,"system:masters"\n')
    log = tmp_path / "audit.log"
    settings = ApiServerSettings(
        data_dir=tmp_path / "state", port=0, token_auth_file=tokens, audit_log=log, audit_log_megabytes=1
    )
    async with ApiServer(settings) as server, bearing(server, "t0ken") as admin:
        secret = {"metadata": {"name": "s"}, "stringData": {"password": "hunter2"}}
        await post(admin, f"{DEFAULT}/secrets", secret)
        async with acting(admin, server, "ann") as ann:
            ann.headers["Authorization"] = "Bearer t0ken"
            await send(ann, "GET", f"{DEFAULT}/secrets/s", expected=403)
        async with bearing(server, "wr0ng") as stranger:
            await send(stranger, "GET", f"{DEFAULT}/secrets/s", expected=401)
        for _ in range(8):
            path = f"{DEFAULT}/configmaps?labelSelector={'x' * 7000}"
            await asyncio.gather(*(admin.get(path) for _ in range(25)))
    text = log.with_name("audit.log.1").read_text() + log.read_text()
    events = [json.loads(line) for line in text.splitlines()]
    seen = [(one["user"]["username"], one["verb"], one["responseStatus"]["code"]) for one in events]
    assert ("admin", "create", 201) in seen
    assert ("system:anonymous", "get", 401) in seen
    refused = next(one for one in events if one["responseStatus"]["code"] == 403)
    assert refused["impersonatedUser"]["username"] == "ann"
    assert refused["objectRef"] == {"resource": "secrets", "namespace": "default", "name": "s"}
    assert not re.search("hunter2|aHVudGVyMg|t0ken|wr0ng", text)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert log.stat().st_size <= 1_000_000
    assert pytest.approx(1_000_000, rel=0.05) == log.with_name("audit.log.1").stat().st_size
