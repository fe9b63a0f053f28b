"""Admission policies: what they change and refuse, for whom, and what becomes of their mistakes."""

import json
from pathlib import Path
from typing import Any

import aiohttp

from proa.controlplane import ApiServer, ApiServerSettings

Json = dict[str, Any]
GROUP = "/apis/admissionregistration.k8s.io/v1"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"


def rules(resource: str, group: str = "", version: str = "v1") -> Json:
    rule = {"operations": ["*"], "apiGroups": [group], "apiVersions": [version], "resources": [resource]}
    return {"resourceRules": [rule]}


async def post(session: aiohttp.ClientSession, path: str, body: Json, expected: int = 201) -> Json:
    async with session.post(path, json=body) as response:
        answer: Json = await response.json()
        assert response.status == expected, answer
        return answer


async def bind(session: aiohttp.ClientSession, kind: str, name: str, spec: Json, **binding: Any) -> None:
    await post(session, f"{GROUP}/{kind}admissionpolicies", {"metadata": {"name": name}, "spec": spec})
    actions = {"validationActions": ["Deny"]} if kind == "validating" else {}
    bound = {"metadata": {"name": name}, "spec": {"policyName": name, **actions, **binding}}
    await post(session, f"{GROUP}/{kind}admissionpolicybindings", bound)


def applied(expression: str) -> Json:
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


def patched(expression: str) -> Json:
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}


def mutating(*mutations: Json, resource: str = "configmaps", **more: Any) -> Json:
    usual = {"matchConstraints": rules(resource), "reinvocationPolicy": "Never"}
    return {**usual, "mutations": list(mutations), **more}


def config_map(name: str, data: Json | None = None, **metadata: Any) -> Json:
    return {"metadata": {"name": name, **metadata}, "data": data or {}}


class TestMutatingPolicies:
    async def test_put_configurations_over_objects_and_patch_them(self, admin: aiohttp.ClientSession) -> None:
        sidecar = 'Object.spec.initContainers{name: "proxy", image: "p:1", restartPolicy: "Always"}'
        spec = mutating(
            applied(
                "has(object.metadata.labels) ? Object{spec: Object.spec{initContainers: ["
                f"{sidecar}]}}}} : Object{{}}"
            ),
            patched(
                '[JSONPatch{op: "test", path: "/metadata/name", value: "a"},'
                ' JSONPatch{op: "add", path: "/metadata/labels/" + jsonpatch.escapeKey("x.y/z"), '
                "value: string(size(object.spec.initContainers))}]"
            ),
            resource="pods",
            matchConditions=[{"name": "a", "expression": 'object.metadata.name != "exempt"'}],
        )
        await bind(admin, "mutating", "sidecars", spec)
        pod: Json = {"spec": {"containers": [{"name": "c", "image": "i:1"}]}}
        made = await post(admin, PODS, {**pod, "metadata": {"name": "a", "labels": {"l": "1"}}})
        assert made["metadata"]["labels"] == {"l": "1", "x.y/z": "1"}
        (proxy,) = made["spec"]["initContainers"]
        assert (proxy["name"], proxy["imagePullPolicy"]) == ("proxy", "IfNotPresent")  # with its defaults
        other = await post(admin, PODS, {**pod, "metadata": {"name": "b", "labels": {"l": "1"}}})
        assert other["metadata"]["labels"] == {"l": "1"}  # the patch's test failed, and so changed nothing
        exempt = await post(admin, PODS, {**pod, "metadata": {"name": "exempt", "labels": {"l": "1"}}})
        assert "initContainers" not in exempt["spec"]

    async def test_have_variables_parameters_and_an_order(self, admin: aiohttp.ClientSession) -> None:
        await post(admin, CONFIG_MAPS, config_map("settings", {"team": "red"}, labels={"for": "policies"}))
        spec = mutating(
            applied("Object{data: {'team': variables.team, 'seen': string('first' in object.data)}}"),
            paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
            variables=[{"name": "team", "expression": "params.data.team"}],
            matchConditions=[
                {"name": "new", "expression": "params == null || object.metadata.name != 'settings'"}
            ],
        )
        await bind(admin, "mutating", "a", mutating(applied("Object{data: {'first': 'yes'}}")))
        reference = {"selector": {"matchLabels": {"for": "policies"}}, "parameterNotFoundAction": "Deny"}
        await bind(admin, "mutating", "b", spec, paramRef=reference)
        made = await post(admin, CONFIG_MAPS, config_map("x"))
        assert made["data"] == {"first": "yes", "team": "red", "seen": "true"}

    async def test_are_asked_again_if_others_changed_the_object_after_them(
        self, admin: aiohttp.ClientSession
    ) -> None:
        counting = "Object{data: {'times': (has(object.data.times) ? object.data.times : '') + '%s'}}"
        once = mutating(applied(counting % "n"))
        again = mutating(applied(counting % "i"), reinvocationPolicy="IfNeeded")
        for name, spec in (("a", once), ("b", again), ("c", once)):
            await bind(admin, "mutating", name, spec)
        assert (await post(admin, CONFIG_MAPS, config_map("x", {"a": "b"})))["data"]["times"] == "nini"

    async def test_fail_a_write_or_not_when_they_have_no_answer(self, admin: aiohttp.ClientSession) -> None:
        mistakes = {
            "unknown": applied("Object{spec: Object.spec{nothing: 1}}"),
            "absent": applied("Object{data: {'a': object.data.nothing}}"),
            "atomic": applied("Object{metadata: Object.metadata{ownerReferences: [1]}}"),
            "unfit": patched('[JSONPatch{op: "remove", path: "/nothing"}]'),
        }
        for name, mutation in mistakes.items():
            condition = [{"name": "c", "expression": f"object.metadata.name == '{name}'"}]
            await bind(admin, "mutating", name, mutating(mutation, matchConditions=condition))
        for name in mistakes:
            refused = await post(admin, CONFIG_MAPS, config_map(name), 422)
            assert f"MutatingAdmissionPolicy '{name}' with binding '{name}'" in refused["message"]
        lenient = mutating(
            patched('[JSONPatch{op: "remove", path: "/nothing"}]'),
            applied("Object{data: {'second': 'yes'}}"),
            failurePolicy="Ignore",
        )
        await bind(admin, "mutating", "lenient", lenient)
        assert (await post(admin, CONFIG_MAPS, config_map("x")))["data"] == {"second": "yes"}

    async def test_change_what_is_written_of_a_status(self, admin: aiohttp.ClientSession) -> None:
        pod: Json = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
        await post(admin, PODS, pod)
        reason = applied("Object{status: Object.status{reason: object.status.message}}")
        await bind(admin, "mutating", "reasons", mutating(reason, resource="pods/status"))
        look = {
            "matchConstraints": rules("pods/status"),
            "validations": [{"expression": "object.status.phase != 'Failed'"}],
        }
        await bind(admin, "validating", "phases", look)
        merge = {"Content-Type": "application/merge-patch+json"}
        for phase, code in (("Running", 200), ("Failed", 422)):
            status = {"status": {"phase": phase, "message": "m"}}
            async with admin.patch(f"{PODS}/a/status", json=status, headers=merge) as response:
                answer = await response.json()
                assert response.status == code, str(answer)
            if code == 200:
                assert (answer["status"]["reason"], answer["spec"]["containers"][0]["name"]) == ("m", "c")

    async def test_are_refused_when_they_make_no_sense(self, admin: aiohttp.ClientSession) -> None:
        cases: list[tuple[Json, set[str]]] = [
            ({}, {"spec.matchConstraints", "spec.reinvocationPolicy", "spec.mutations"}),
            (mutating({"patchType": "Odd"}), {"spec.mutations[0].patchType"}),
            (mutating({"patchType": "JSONPatch"}), {"spec.mutations[0].jsonPatch"}),
            (mutating(applied("[]")), {"spec.mutations[0].applyConfiguration.expression"}),
            (mutating(patched("Object{}")), {"spec.mutations[0].jsonPatch.expression"}),
            (mutating(applied("Object{a: Object.b{}}")), {"spec.mutations[0].applyConfiguration.expression"}),
            (mutating(applied("Object{a: params}")), {"spec.mutations[0].applyConfiguration.expression"}),
            (
                mutating(applied("Object{}"), variables=[{"name": "if", "expression": "1"}]),
                {"spec.variables[0].name"},
            ),
        ]
        for spec, fields in cases:
            body = {"metadata": {"name": "p"}, "spec": spec}
            refused = await post(admin, f"{GROUP}/mutatingadmissionpolicies", body, 422)
            assert {cause["field"] for cause in refused["details"]["causes"]} == fields, refused


class TestValidatingPolicies:
    async def test_ask_who_may_what_and_take_the_object_as_it_was(self, admin: aiohttp.ClientSession) -> None:
        await post(admin, "/api/v1/namespaces", {"metadata": {"name": "n", "labels": {"tier": "gold"}}})
        validations = [
            {
                "expression": "authorizer.serviceAccount('n', 'x').group('').resource('secrets')"
                ".namespace('n').check('get').allowed() || object.metadata.name == 'fine'",
                "reason": "Forbidden",
            },
            {
                "expression": "namespaceObject.metadata.labels.tier == 'gold'",
                "messageExpression": "'no ' + request.name",
            },
        ]
        spec = {"matchConstraints": rules("configmaps"), "validations": validations}
        await bind(admin, "validating", "p", spec)
        path = "/api/v1/namespaces/n/configmaps"
        await post(admin, path, config_map("fine"))
        refused = await post(admin, path, config_map("other"), 403)
        assert refused["reason"] == "Forbidden"

    async def test_a_condition_that_does_not_hold_settles_it(self, admin: aiohttp.ClientSession) -> None:
        conditions = [
            {"name": "broken", "expression": "object.data.nothing == 'x'"},
            {"name": "never", "expression": "object.metadata.name == 'this'"},
        ]
        spec = {
            "matchConstraints": rules("configmaps"),
            "matchConditions": conditions,
            "validations": [{"expression": "false"}],
        }
        await bind(admin, "validating", "p", spec)
        await post(admin, CONFIG_MAPS, config_map("other"))
        await post(admin, CONFIG_MAPS, config_map("this"), 422)

    async def test_say_things_to_the_audit_log(self, tmp_path: Path) -> None:
        tokens, log = tmp_path / "tokens", tmp_path / "audit.log"
        tokens.write_text('t,admin,1,"system:masters"\n')
        settings = ApiServerSettings(
            data_dir=tmp_path / "state", port=0, token_auth_file=tokens, audit_log=log
        )
        headers = {"Authorization": "Bearer t"}
        connector = aiohttp.TCPConnector(ssl=False)
        async with (
            ApiServer(settings) as server,
            aiohttp.ClientSession(server.url, headers=headers, connector=connector) as session,
        ):
            spec = {
                "matchConstraints": rules("configmaps"),
                "validations": [{"expression": "has(object.data)", "message": "it is empty"}],
                "auditAnnotations": [{"key": "size", "valueExpression": "string(has(object.data))"}],
            }
            await bind(session, "validating", "p", spec, validationActions=["Audit", "Warn"])
            async with session.post(CONFIG_MAPS, json=config_map("x")) as response:
                assert response.status == 201
                assert "it is empty" in response.headers["Warning"]
            async with session.get(CONFIG_MAPS) as response:
                assert response.status == 200
        events = [json.loads(line) for line in log.read_text().splitlines()]
        (noted,) = [event["annotations"] for event in events if "annotations" in event]
        assert noted["p/size"] == "false"
        (failure,) = json.loads(noted["validation.policy.admission.k8s.io/validation_failure"])
        assert (failure["message"], failure["expressionIndex"]) == ("it is empty", 0)


class TestEquivalentVersions:
    async def test_a_rule_about_one_version_is_about_all(self, admin: aiohttp.ClientSession) -> None:
        path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
        target = {"scaleTargetRef": {"kind": "Deployment", "name": "d"}}
        body: Json = {"metadata": {"name": "h"}, "spec": {**target, "maxReplicas": 9}}
        older = rules("horizontalpodautoscalers", "autoscaling", "v1")
        said = "request.kind.version + request.requestKind.version + object.apiVersion"
        validation = {
            "expression": "object.spec.targetCPUUtilizationPercentage < 50",
            "messageExpression": said,
        }
        await bind(admin, "validating", "p", {"matchConstraints": older, "validations": [validation]})
        refused = await post(admin, path, body, 422)
        assert refused["message"].endswith("denied request: v1v2autoscaling/v1")
        raise_most = applied("Object{spec: Object.spec{maxReplicas: 7}}")
        await bind(admin, "mutating", "m", {**mutating(raise_most), "matchConstraints": older})
        body["spec"]["metrics"] = [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 20}},
            }
        ]
        assert (await post(admin, path, body))["spec"]["maxReplicas"] == 7
        exact = {**older, "matchPolicy": "Exact"}
        await bind(
            admin,
            "validating",
            "never",
            {"matchConstraints": exact, "validations": [{"expression": "false"}]},
        )
        await post(admin, path, {**body, "metadata": {"name": "i"}})
