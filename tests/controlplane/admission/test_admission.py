"""What depends on other objects and on who asks: accounts, ranges, quotas, levels, classes, webhooks,
policies.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proa.controlplane import ApiServer, ApiServerSettings

DEFAULT = "/api/v1/namespaces/default"
HOOKS = "/apis/admissionregistration.k8s.io/v1"
Session = aiohttp.ClientSession
Json = dict[str, Any]


async def send(
    session: Session, method: str, path: str, body: Any = None, expected: int = 200
) -> tuple[Json, list[str]]:
    """The answer, and what it warns of."""
    headers = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else {}
    async with session.request(method, path, json=body, headers=headers) as response:
        answer: Json = await response.json()
        assert response.status == expected, answer
        return answer, response.headers.getall("Warning", [])


async def post(session: Session, path: str, body: Any, expected: int = 201) -> Json:
    return (await send(session, "POST", path, body, expected))[0]


def pod(name: str, requests: Json | None = None, limits: Json | None = None, **spec: Any) -> Json:
    container: Json = {"name": "c", "image": "i"}
    resources = {"requests": requests, "limits": limits}
    if requests or limits:
        container["resources"] = {key: value for key, value in resources.items() if value}
    return {"metadata": {"name": name}, "spec": {"containers": [container], **spec}}


async def seen(session: Session, path: str, wanted: Callable[[Json], object]) -> Json:
    """An object as soon as it is as it should be."""
    collection, _, name = path.rpartition("/")
    async with session.get(
        f"{collection}?watch=1&fieldSelector=metadata.name%3D{name}&timeoutSeconds=20"
    ) as events:
        async for line in events.content:
            found: Json = json.loads(line)["object"]
            if wanted(found):
                return found
    raise AssertionError("it did not become so")


class TestServiceAccounts:
    @pytest.fixture
    async def strict(self, tmp_path: Path) -> AsyncIterator[Session]:
        tokens = tmp_path / "tokens"
        tokens.write_text('t,admin,1,"system:masters"\n')
        settings = ApiServerSettings(
            data_dir=tmp_path / "state", port=0, token_auth_file=tokens, service_account_admission=True
        )
        headers = {"Authorization": "Bearer t"}
        connector = aiohttp.TCPConnector(ssl=False)
        async with (
            ApiServer(settings) as server,
            Session(server.url, headers=headers, connector=connector) as session,
        ):
            yield session

    async def test_are_given_to_pods_with_a_token(self, strict: Session) -> None:
        refused = await post(strict, f"{DEFAULT}/pods", pod("a"), 403)
        assert 'serviceaccount "default" not found' in refused["message"]
        await post(strict, f"{DEFAULT}/serviceaccounts", {"metadata": {"name": "default"}})
        spec = (await post(strict, f"{DEFAULT}/pods", pod("a")))["spec"]
        assert spec["serviceAccountName"] == "default"
        (volume,) = spec["volumes"]
        kinds = [next(iter(source)) for source in volume["projected"]["sources"]]
        assert kinds == ["serviceAccountToken", "configMap", "downwardAPI"]
        (mount,) = spec["containers"][0]["volumeMounts"]
        assert (mount["name"], mount["readOnly"]) == (volume["name"], True)

    async def test_keep_their_token_to_themselves_if_told_so(self, strict: Session) -> None:
        account = {
            "metadata": {"name": "shy"},
            "automountServiceAccountToken": False,
            "imagePullSecrets": [{"name": "pull"}],
        }
        await post(strict, f"{DEFAULT}/serviceaccounts", account)
        spec = (await post(strict, f"{DEFAULT}/pods", pod("a", serviceAccountName="shy")))["spec"]
        assert "volumes" not in spec
        assert spec["imagePullSecrets"] == [{"name": "pull"}]
        asked = pod("b", serviceAccountName="shy", automountServiceAccountToken=True)
        assert "volumes" in (await post(strict, f"{DEFAULT}/pods", asked))["spec"]


class TestLimitRanges:
    async def test_give_defaults_and_refuse_what_is_out_of_range(self, admin: Session) -> None:
        limit = {
            "type": "Container",
            "default": {"cpu": "500m"},
            "defaultRequest": {"memory": "64Mi"},
            "max": {"cpu": "1"},
            "min": {"memory": "32Mi"},
            "maxLimitRequestRatio": {"cpu": "2"},
        }
        await post(admin, f"{DEFAULT}/limitranges", {"metadata": {"name": "l"}, "spec": {"limits": [limit]}})
        made = await post(admin, f"{DEFAULT}/pods", pod("a"))
        assert made["spec"]["containers"][0]["resources"] == {
            "limits": {"cpu": "500m"},
            "requests": {"cpu": "500m", "memory": "64Mi"},
        }
        assert "limit-ranger" in next(iter(made["metadata"]["annotations"]))
        wrong = pod("b", requests={"memory": "1Mi", "cpu": "100m"}, limits={"cpu": "2"})
        refused = await post(admin, f"{DEFAULT}/pods", wrong, 403)
        for part in ("maximum cpu usage", "minimum memory usage", "max limit to request ratio"):
            assert part in refused["message"]

    async def test_bound_pods_as_a_whole_and_claims(self, admin: Session) -> None:
        limits = [
            {"type": "Pod", "max": {"memory": "100Mi"}},
            {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}},
        ]
        await post(admin, f"{DEFAULT}/limitranges", {"metadata": {"name": "l"}, "spec": {"limits": limits}})
        big = pod("a", limits={"memory": "60Mi"})
        big["spec"]["containers"].append({**big["spec"]["containers"][0], "name": "d"})
        await post(admin, f"{DEFAULT}/pods", big, 403)
        await post(admin, f"{DEFAULT}/pods", pod("b", limits={"memory": "60Mi"}))
        await post(admin, f"{DEFAULT}/persistentvolumeclaims", claim("c", "2Gi"), 403)
        await post(admin, f"{DEFAULT}/persistentvolumeclaims", claim("d", "1Gi"))


def claim(name: str, size: str, **spec: Any) -> Json:
    resources = {"requests": {"storage": size}}
    return {
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": resources, **spec},
    }


def quota(hard: Json, **spec: Any) -> Json:
    return {"metadata": {"name": "q"}, "spec": {"hard": hard, **spec}}


class TestQuotas:
    async def test_hold_however_many_ask_at_once(self, admin: Session) -> None:
        await post(admin, f"{DEFAULT}/resourcequotas", quota({"configmaps": "5", "count/secrets": "2"}))

        async def make(number: int) -> int:
            body = {"metadata": {"name": f"m{number}"}}
            async with admin.post(f"{DEFAULT}/configmaps", json=body) as response:
                return response.status

        statuses = await asyncio.gather(*map(make, range(20)))
        assert sorted(statuses) == [201] * 5 + [403] * 15
        refused = await post(admin, f"{DEFAULT}/configmaps", {"metadata": {"name": "more"}}, 403)
        assert (
            "exceeded quota: q, requested: configmaps=1, used: configmaps=5, limited: configmaps=5"
            in (refused["message"])
        )
        await send(admin, "POST", f"{DEFAULT}/secrets?dryRun=All", {"metadata": {"name": "s"}}, 201)
        found, _ = await send(admin, "GET", f"{DEFAULT}/resourcequotas/q")
        assert found["status"]["used"] == {"configmaps": "5", "count/secrets": "0"}

    async def test_have_room_again_when_things_go(self, admin: Session) -> None:
        await post(admin, f"{DEFAULT}/resourcequotas", quota({"pods": "1", "requests.cpu": "1"}))
        await post(admin, f"{DEFAULT}/pods", pod("a"), 403)  # it does not say what it requests
        await post(admin, f"{DEFAULT}/pods", pod("a", requests={"cpu": "600m"}))
        await post(admin, f"{DEFAULT}/pods", pod("b", requests={"cpu": "100m"}), 403)
        await send(admin, "DELETE", f"{DEFAULT}/pods/a")
        path = f"{DEFAULT}/resourcequotas/q"
        await seen(admin, path, lambda one: one["status"]["used"] == {"pods": "0", "requests.cpu": "0"})
        await post(admin, f"{DEFAULT}/pods", pod("b", requests={"cpu": "100m"}))
        done = {"status": {"phase": "Succeeded"}}
        await send(admin, "PATCH", f"{DEFAULT}/pods/b/status", done)
        await seen(admin, path, lambda one: one["status"]["used"]["pods"] == "0")

    async def test_count_what_a_pod_is_resized_to(self, admin: Session) -> None:
        await post(admin, f"{DEFAULT}/resourcequotas", quota({"requests.cpu": "1"}))
        await post(admin, f"{DEFAULT}/pods", pod("a", requests={"cpu": "600m"}))
        for amount, code in (("2", 403), ("1", 200)):
            container = {"name": "c", "resources": {"requests": {"cpu": amount}}}
            async with admin.patch(
                f"{DEFAULT}/pods/a/resize",
                json={"spec": {"containers": [container]}},
                headers={"Content-Type": "application/strategic-merge-patch+json"},
            ) as response:
                assert response.status == code, await response.text()
        found, _ = await send(admin, "GET", f"{DEFAULT}/resourcequotas/q")
        assert found["status"]["used"] == {"requests.cpu": "1"}

    async def test_do_not_count_what_loses_a_race_while_a_webhook_is_asked(
        self, admin: Session, webhook: Any
    ) -> None:
        await post(admin, f"{DEFAULT}/resourcequotas", quota({"configmaps": "5"}))
        both = asyncio.Barrier(2)

        async def answer(_request: Json) -> Json:
            await asyncio.wait_for(both.wait(), 25)
            return {"allowed": True}

        webhook.answer = answer
        await validating(admin, webhook, timeoutSeconds=30)

        async def make() -> int:
            async with admin.post(f"{DEFAULT}/configmaps", json={"metadata": {"name": "one"}}) as response:
                return response.status

        assert sorted(await asyncio.gather(make(), make())) == [201, 409]
        found, _ = await send(admin, "GET", f"{DEFAULT}/resourcequotas/q")
        assert found["status"]["used"] == {"configmaps": "1"}

    async def test_count_what_was_there_before_and_only_their_scope(self, admin: Session) -> None:
        await post(admin, f"{DEFAULT}/pods", pod("a"))
        await post(admin, f"{DEFAULT}/pods", pod("b", requests={"cpu": "1"}))
        await post(admin, f"{DEFAULT}/resourcequotas", quota({"pods": "1"}, scopes=["BestEffort"]))
        path = f"{DEFAULT}/resourcequotas/q"
        await seen(admin, path, lambda one: one.get("status", {}).get("used") == {"pods": "1"})
        await post(admin, f"{DEFAULT}/pods", pod("c"), 403)
        await post(admin, f"{DEFAULT}/pods", pod("d", requests={"cpu": "1"}))


class TestPodSecurity:
    async def test_levels_are_enforced_and_warned_of(self, admin: Session) -> None:
        labels = {
            "pod-security.kubernetes.io/enforce": "baseline",
            "pod-security.kubernetes.io/warn": "restricted",
        }
        await post(admin, "/api/v1/namespaces", {"metadata": {"name": "safe", "labels": labels}})
        pods = "/api/v1/namespaces/safe/pods"
        refused = await post(admin, pods, pod("a", hostNetwork=True), 403)
        assert (
            'violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
            in (refused["message"])
        )
        _, warnings = await send(admin, "POST", pods, pod("b"), 201)
        assert "allowPrivilegeEscalation != false" in warnings[0]
        tight = pod("c", securityContext={"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}})
        tight["spec"]["containers"][0]["securityContext"] = {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        _, warnings = await send(admin, "POST", pods, tight, 201)
        assert warnings == []
        template = {"metadata": {"labels": {"a": "b"}}, "spec": pod("x")["spec"]}
        spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
        path = "/apis/apps/v1/namespaces/safe/deployments"
        _, warnings = await send(admin, "POST", path, {"metadata": {"name": "d"}, "spec": spec}, 201)
        assert "would violate PodSecurity" in warnings[0]


class TestClasses:
    async def test_of_priority_give_pods_their_number(self, admin: Session) -> None:
        classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
        await post(admin, classes, {"metadata": {"name": "high"}, "value": 7, "preemptionPolicy": "Never"})
        await post(admin, classes, {"metadata": {"name": "usual"}, "value": 3, "globalDefault": True})
        await post(admin, classes, {"metadata": {"name": "two"}, "value": 4, "globalDefault": True}, 403)
        spec = (await post(admin, f"{DEFAULT}/pods", pod("a", priorityClassName="high")))["spec"]
        assert (spec["priority"], spec["preemptionPolicy"]) == (7, "Never")
        spec = (await post(admin, f"{DEFAULT}/pods", pod("b")))["spec"]
        assert (spec["priority"], spec["priorityClassName"]) == (3, "usual")
        await post(admin, f"{DEFAULT}/pods", pod("c", priorityClassName="none"), 403)
        await post(admin, f"{DEFAULT}/pods", pod("d", priorityClassName="high", priority=8), 403)

    async def test_of_runtime_give_pods_overhead_and_nodes(self, admin: Session) -> None:
        runtime = {
            "metadata": {"name": "heavy"},
            "handler": "wasi",
            "overhead": {"podFixed": {"memory": "10Mi"}},
            "scheduling": {"nodeSelector": {"wasm": "yes"}},
        }
        await post(admin, "/apis/node.k8s.io/v1/runtimeclasses", runtime)
        spec = (await post(admin, f"{DEFAULT}/pods", pod("a", runtimeClassName="heavy")))["spec"]
        assert (spec["overhead"], spec["nodeSelector"]) == ({"memory": "10Mi"}, {"wasm": "yes"})
        await post(admin, f"{DEFAULT}/pods", pod("b", runtimeClassName="none"), 403)
        other = pod("c", runtimeClassName="heavy", nodeSelector={"wasm": "no"})
        await post(admin, f"{DEFAULT}/pods", other, 403)

    async def test_of_storage_are_given_to_claims_that_name_none(self, admin: Session) -> None:
        default = {"storageclass.kubernetes.io/is-default-class": "true"}
        storage = {"metadata": {"name": "fast", "annotations": default}, "provisioner": "p.test"}
        await post(admin, "/apis/storage.k8s.io/v1/storageclasses", storage)
        claims = f"{DEFAULT}/persistentvolumeclaims"
        assert (await post(admin, claims, claim("a", "1Gi")))["spec"]["storageClassName"] == "fast"
        none = await post(admin, claims, claim("b", "1Gi", storageClassName=""))
        assert none["spec"].get("storageClassName", "") == ""


MAPS = [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]


def configuration(webhook: Any, name: str = "h.example.test", **more: Any) -> Json:
    one = {
        "name": name,
        "clientConfig": webhook.config,
        "rules": MAPS,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **more,
    }
    return {"metadata": {"name": name}, "webhooks": [one]}


async def mutating(admin: Session, webhook: Any, **more: Any) -> None:
    await post(admin, f"{HOOKS}/mutatingwebhookconfigurations", configuration(webhook, **more))


async def validating(admin: Session, webhook: Any, **more: Any) -> None:
    await post(admin, f"{HOOKS}/validatingwebhookconfigurations", configuration(webhook, **more))


def patched(*operations: Json) -> Json:
    patch = base64.b64encode(json.dumps(list(operations)).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": patch}


class TestWebhooks:
    async def test_change_objects_before_they_are_checked(self, admin: Session, webhook: Any) -> None:
        async def answer(request: Json) -> Json:
            assert request["object"]["kind"] == "ConfigMap"
            assert request["userInfo"]["username"] == "admin"
            add = {"op": "add", "path": "/metadata/labels", "value": {"seen": request["operation"]}}
            return {**patched(add), "warnings": ["mind the gap"]}

        webhook.answer = answer
        await mutating(admin, webhook)
        made, warnings = await send(admin, "POST", f"{DEFAULT}/configmaps", {"metadata": {"name": "a"}}, 201)
        assert made["metadata"]["labels"] == {"seen": "CREATE"}
        assert "mind the gap" in warnings[0]
        changed, _ = await send(admin, "PATCH", f"{DEFAULT}/configmaps/a", {"data": {"k": "v"}})
        assert changed["metadata"]["labels"] == {"seen": "UPDATE"}
        assert webhook.asked[-1]["oldObject"]["metadata"]["labels"] == {"seen": "CREATE"}
        await send(admin, "DELETE", f"{DEFAULT}/configmaps/a")

    async def test_what_they_add_gets_what_it_lacks(self, admin: Session, webhook: Any) -> None:
        async def answer(_request: Json) -> Json:
            extra = {"name": "extra", "image": "i"}
            return patched({"op": "add", "path": "/spec/containers/-", "value": extra})

        webhook.answer = answer
        limit = {"type": "Container", "default": {"cpu": "500m"}}
        await post(admin, f"{DEFAULT}/limitranges", {"metadata": {"name": "l"}, "spec": {"limits": [limit]}})
        await mutating(admin, webhook, rules=[{**MAPS[0], "resources": ["pods"]}])
        made = await post(admin, f"{DEFAULT}/pods", pod("a"))
        limits = [one["resources"]["limits"] for one in made["spec"]["containers"]]
        assert limits == [{"cpu": "500m"}, {"cpu": "500m"}]
        assert len(webhook.asked) == 1  # it does not want to be asked again

    async def test_are_not_asked_about_what_is_refused_anyway(self, admin: Session, webhook: Any) -> None:
        level = {"pod-security.kubernetes.io/enforce": "restricted"}
        await post(admin, "/api/v1/namespaces", {"metadata": {"name": "tight", "labels": level}})
        await validating(admin, webhook, rules=[{**MAPS[0], "resources": ["pods"]}])
        await post(admin, "/api/v1/namespaces/tight/pods", pod("a"), 403)
        assert webhook.asked == []

    async def test_see_other_versions_of_what_they_have_rules_for(self, admin: Session, webhook: Any) -> None:
        versions = [
            {
                "name": name,
                "served": True,
                "storage": name == "v1",
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                },
            }
            for name in ("v1", "v2")
        ]
        definition = {
            "metadata": {"name": "things.x.test"},
            "spec": {
                "group": "x.test",
                "scope": "Namespaced",
                "names": {"plural": "things", "kind": "Thing"},
                "versions": versions,
            },
        }
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        await post(admin, path, definition)
        await seen(
            admin,
            f"{path}/things.x.test",
            lambda one: any(
                condition["type"] == "Established" and condition["status"] == "True"
                for condition in (one.get("status") or {}).get("conditions") or ()
            ),
        )

        async def answer(request: Json) -> Json:
            asked = (request["kind"]["version"], request["requestKind"]["version"])
            assert (*asked, request["object"]["apiVersion"]) == ("v1", "v2", "x.test/v1")
            return patched({"op": "add", "path": "/said", "value": "so"})

        webhook.answer = answer
        await mutating(
            admin,
            webhook,
            rules=[{**MAPS[0], "apiGroups": ["x.test"], "apiVersions": ["v1"], "resources": ["things"]}],
        )
        made = await post(
            admin,
            "/apis/x.test/v2/namespaces/default/things",
            {
                "apiVersion": "x.test/v2",
                "kind": "Thing",
                "metadata": {"name": "a"},
            },
        )
        assert (made["apiVersion"], made["said"]) == ("x.test/v2", "so")
        assert len(webhook.asked) == 1

    async def test_that_leave_something_invalid_are_told_so(self, admin: Session, webhook: Any) -> None:
        async def answer(_request: Json) -> Json:
            return patched({"op": "add", "path": "/metadata/labels", "value": {"a b": "c"}})

        webhook.answer = answer
        await mutating(admin, webhook)
        await post(admin, f"{DEFAULT}/configmaps", {"metadata": {"name": "a"}}, 422)

    async def test_refuse_with_their_own_code_and_words(self, admin: Session, webhook: Any) -> None:
        async def answer(request: Json) -> Json:
            status = {"code": 403, "reason": "Forbidden", "message": f"not {request['operation']}"}
            return {"allowed": False, "status": status}

        await post(admin, f"{DEFAULT}/configmaps", {"metadata": {"name": "a"}})
        webhook.answer = answer
        await validating(admin, webhook)
        refused = await post(admin, f"{DEFAULT}/configmaps", {"metadata": {"name": "b"}}, 403)
        assert refused["message"] == 'admission webhook "h.example.test" denied the request: not CREATE'
        await send(admin, "DELETE", f"{DEFAULT}/configmaps/a", expected=403)
        await post(admin, f"{DEFAULT}/secrets", {"metadata": {"name": "c"}})

    async def test_that_fail_or_are_late_are_treated_by_their_policy(
        self, admin: Session, webhook: Any
    ) -> None:
        released = asyncio.Event()

        async def answer(_request: Json) -> Json:
            await released.wait()
            return {"allowed": True}

        webhook.answer = answer
        await validating(admin, webhook, timeoutSeconds=1)
        refused = await post(admin, f"{DEFAULT}/configmaps", {"metadata": {"name": "a"}}, 500)
        assert 'failed calling webhook "h.example.test"' in refused["message"]
        path = f"{HOOKS}/validatingwebhookconfigurations/h.example.test"
        await send(admin, "DELETE", path)
        webhook.config["url"] = "https://127.0.0.1:1/hook"
        await validating(admin, webhook, failurePolicy="Ignore")
        await post(admin, f"{DEFAULT}/configmaps", {"metadata": {"name": "a"}})
        released.set()

    async def test_whose_certificate_is_not_of_their_bundle_are_not_asked(
        self, admin: Session, webhook: Any, webhooks: Any
    ) -> None:
        async with webhooks("other.test") as other:
            webhook.config["caBundle"] = other.config["caBundle"]
            await validating(admin, webhook)
            await post(admin, f"{DEFAULT}/configmaps", {"metadata": {"name": "a"}}, 500)
            assert webhook.asked == []

    async def test_are_asked_only_about_what_they_select(self, admin: Session, webhook: Any) -> None:
        await validating(
            admin,
            webhook,
            namespaceSelector={"matchLabels": {"kubernetes.io/metadata.name": "default"}},
            objectSelector={"matchLabels": {"app": "x"}},
            matchConditions=[{"name": "c", "expression": "object.metadata.name != 'skip'"}],
        )
        labels = {"app": "x"}
        for namespace, name, given in [
            ("default", "yes", labels),
            ("default", "skip", labels),
            ("default", "plain", {}),
            ("kube-system", "away", labels),
        ]:
            body = {"metadata": {"name": name, "labels": given}}
            await post(admin, f"/api/v1/namespaces/{namespace}/configmaps", body)
        assert [request["name"] for request in webhook.asked] == ["yes"]

    async def test_have_no_side_effects(self, admin: Session, webhook: Any) -> None:
        body = configuration(webhook, sideEffects="Some")
        refused = await post(admin, f"{HOOKS}/validatingwebhookconfigurations", body, 422)
        assert [one["field"] for one in refused["details"]["causes"]] == ["webhooks[0].sideEffects"]

    async def test_never_let_two_writes_overwrite_each_other(self, admin: Session, webhook: Any) -> None:
        await post(admin, f"{DEFAULT}/configmaps", {"metadata": {"name": "a"}, "data": {}})
        await validating(admin, webhook)
        patches = [
            send(admin, "PATCH", f"{DEFAULT}/configmaps/a", {"data": {f"k{number}": "v"}})
            for number in range(8)
        ]
        await asyncio.gather(*patches)
        found, _ = await send(admin, "GET", f"{DEFAULT}/configmaps/a")
        assert len(found["data"]) == 8

    async def test_that_let_another_write_be_faster_leave_quotas_as_they_are(
        self, admin: Session, webhook: Any
    ) -> None:
        await post(admin, f"{DEFAULT}/resourcequotas", quota({"count/configmaps": "5"}))
        others = iter([{"name": "a", "labels": {"faster": "yes"}}])

        async def answer(request: Json) -> Json:
            for metadata in others:
                await post(admin, f"{DEFAULT}/configmaps", {"metadata": metadata})
            return {"allowed": True}

        webhook.answer = answer
        await validating(admin, webhook)
        await post(admin, f"{DEFAULT}/configmaps", {"metadata": {"name": "a"}}, 409)
        await post(admin, f"{DEFAULT}/configmaps", {"metadata": {"name": "b"}})  # on disk after all before it
        found, _ = await send(admin, "GET", f"{DEFAULT}/resourcequotas/q")
        assert found["status"]["used"] == {"count/configmaps": "2"}

    async def test_of_services_are_reached_at_their_endpoints(self, admin: Session, webhooks: Any) -> None:
        async with webhooks("hook.default.svc") as webhook:
            spec = {"ports": [{"port": 443}]}
            await post(admin, f"{DEFAULT}/services", {"metadata": {"name": "hook"}, "spec": spec})
            subset = {"addresses": [{"ip": "127.0.0.1"}], "ports": [{"port": webhook.port}]}
            await post(admin, f"{DEFAULT}/endpoints", {"metadata": {"name": "hook"}, "subsets": [subset]})
            service = {"name": "hook", "namespace": "default", "path": "/hook"}
            webhook.config = {"service": service, "caBundle": webhook.config["caBundle"]}
            await validating(admin, webhook)
            await post(admin, f"{DEFAULT}/configmaps", {"metadata": {"name": "a"}})
            assert len(webhook.asked) == 1


def policy(*validations: Json, **spec: Any) -> Json:
    return {
        "metadata": {"name": "p"},
        "spec": {"matchConstraints": {"resourceRules": MAPS}, "validations": list(validations), **spec},
    }


def bound(**spec: Any) -> Json:
    return {
        "metadata": {"name": "b"},
        "spec": {"policyName": "p", "validationActions": ["Deny"], **spec},
    }


async def establish(admin: Session, policy: Json, binding: Json) -> None:
    await post(admin, f"{HOOKS}/validatingadmissionpolicies", policy)
    await post(admin, f"{HOOKS}/validatingadmissionpolicybindings", binding)


class TestPolicies:
    async def test_refuse_what_their_rules_refuse(self, admin: Session) -> None:
        rule = {
            "expression": "variables.keys <= 1 || request.userInfo.username == 'nobody'",
            "messageExpression": "'too many: ' + string(variables.keys)",
            "reason": "Forbidden",
        }
        variables = [{"name": "keys", "expression": "has(object.data) ? object.data.size() : 0"}]
        await establish(admin, policy(rule, variables=variables), bound())
        await post(admin, f"{DEFAULT}/configmaps", {"metadata": {"name": "a"}, "data": {"x": "1"}})
        two = {"metadata": {"name": "b"}, "data": {"x": "1", "y": "2"}}
        refused = await post(admin, f"{DEFAULT}/configmaps", two, 403)
        assert (
            "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: too many: 2"
            in (refused["message"])
        )

    async def test_compare_with_what_was(self, admin: Session) -> None:
        rule = {"expression": "oldObject == null || object.data.x == oldObject.data.x"}
        matches = [{"name": "named", "expression": "object.metadata.name == 'a'"}]
        await establish(admin, policy(rule, matchConditions=matches), bound())
        await post(admin, f"{DEFAULT}/configmaps", {"metadata": {"name": "a"}, "data": {"x": "1"}})
        await send(admin, "PATCH", f"{DEFAULT}/configmaps/a", {"data": {"x": "2"}}, 422)
        await post(admin, f"{DEFAULT}/configmaps", {"metadata": {"name": "b"}, "data": {"x": "1"}})
        await send(admin, "PATCH", f"{DEFAULT}/configmaps/b", {"data": {"x": "2"}})

    async def test_only_warn_if_their_binding_says_so(self, admin: Session) -> None:
        await establish(admin, policy({"expression": "false"}), bound(validationActions=["Warn"]))
        _, warnings = await send(admin, "POST", f"{DEFAULT}/configmaps", {"metadata": {"name": "a"}}, 201)
        assert "failed expression: false" in warnings[0]

    async def test_take_parameters_from_objects(self, admin: Session) -> None:
        rule = {"expression": "object.metadata.name.startsWith(params.data.prefix)"}
        kind = {"apiVersion": "v1", "kind": "ConfigMap"}
        reference = {"name": "rules", "namespace": "kube-system", "parameterNotFoundAction": "Deny"}
        given = policy(rule, paramKind=kind)
        await establish(admin, given, bound(paramRef=reference, matchResources=in_default()))
        await post(admin, f"{DEFAULT}/configmaps", {"metadata": {"name": "team-a"}}, 422)
        params = {"metadata": {"name": "rules"}, "data": {"prefix": "team-"}}
        await post(admin, "/api/v1/namespaces/kube-system/configmaps", params)
        await post(admin, f"{DEFAULT}/configmaps", {"metadata": {"name": "team-a"}})
        await post(admin, f"{DEFAULT}/configmaps", {"metadata": {"name": "other"}}, 422)

    async def test_whose_rules_have_no_value_are_treated_by_their_policy(self, admin: Session) -> None:
        await establish(admin, policy({"expression": "object.data.none == ''"}), bound())
        await post(admin, f"{DEFAULT}/configmaps", {"metadata": {"name": "a"}}, 422)
        lenient = {"spec": {"failurePolicy": "Ignore"}}
        await send(admin, "PATCH", f"{HOOKS}/validatingadmissionpolicies/p", lenient)
        await post(admin, f"{DEFAULT}/configmaps", {"metadata": {"name": "a"}})

    async def test_that_are_no_rules_are_refused(self, admin: Session) -> None:
        wrong = policy({"expression": "object."}, {"expression": "'x'"})
        refused = await post(admin, f"{HOOKS}/validatingadmissionpolicies", wrong, 422)
        fields = [cause["field"] for cause in refused["details"]["causes"]]
        assert fields == ["spec.validations[0].expression", "spec.validations[1].expression"]


def in_default() -> Json:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}}}
