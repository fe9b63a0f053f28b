"""Rules of roles, and the policy that they make: pure."""

from typing import Any

import msgspec
import pytest

from proa.controlplane.security import Attributes, RolePolicy, Rule, User, default_policy, uncovered

ANN = User("ann", groups=("devs", "system:authenticated"))


def rule(**document: Any) -> Rule:
    return Rule.parse(document)


def attributes(user: User, verb: str, **where: str) -> Attributes:
    wanted = Attributes(user, verb)
    return msgspec.structs.replace(wanted, **where)


def policy(*bindings: dict[str, Any], **roles: list[dict[str, Any]]) -> RolePolicy:
    made = RolePolicy()
    for name, rules in roles.items():
        made.put_role("", name, {"rules": rules})
    for number, binding in enumerate(bindings):
        made.put_binding(binding.pop("namespace", ""), f"b{number}", binding)
    return made


def binding(role: str, kind: str, name: str, **more: str) -> dict[str, Any]:
    subject = {"kind": kind, "name": name, **{key: value for key, value in more.items() if key == "of"}}
    subject["namespace"] = subject.pop("of", "")
    role_ref = {"kind": "ClusterRole", "name": role}
    return {"roleRef": role_ref, "subjects": [subject], "namespace": more.get("namespace", "")}


PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}


@pytest.mark.parametrize(
    ("document", "wanted", "allowed"),
    [
        (PODS, {"resource": "pods"}, True),
        (PODS, {"resource": "pods", "subresource": "log"}, False),
        (PODS, {"resource": "pods", "verb": "list"}, False),
        (PODS, {"resource": "pods", "group": "apps"}, False),
        ({**PODS, "verbs": ["*"]}, {"resource": "pods", "verb": "list"}, True),
        ({**PODS, "apiGroups": ["*"]}, {"resource": "pods", "group": "apps"}, True),
        ({**PODS, "resources": ["*"]}, {"resource": "secrets", "subresource": "x"}, True),
        ({**PODS, "resources": ["*/scale"]}, {"resource": "deployments", "subresource": "scale"}, True),
        ({**PODS, "resources": ["*/scale"]}, {"resource": "deployments"}, False),
        ({**PODS, "resourceNames": ["a"]}, {"resource": "pods", "name": "a"}, True),
        ({**PODS, "resourceNames": ["a"]}, {"resource": "pods", "name": "b"}, False),
        ({**PODS, "resourceNames": ["a"]}, {"resource": "pods"}, False),
        ({"verbs": ["get"], "nonResourceURLs": ["/logs/*"]}, {"path": "/logs/a"}, True),
        ({"verbs": ["get"], "nonResourceURLs": ["/logs/*"]}, {"path": "/log"}, False),
        ({"verbs": ["get"], "nonResourceURLs": ["/logs"]}, {"path": "/logs/a"}, False),
        ({"verbs": ["*"], "nonResourceURLs": ["*"]}, {"resource": "pods"}, False),
    ],
)
def test_a_rule_allows_what_it_says_and_no_more(
    document: dict[str, Any], wanted: dict[str, str], *, allowed: bool
) -> None:
    asked = attributes(ANN, wanted.pop("verb", "get"), **wanted)
    assert rule(**document).allows(asked) is allowed
    given = policy(binding("r", "User", "ann"), r=[document])
    assert given.decide(asked).allowed is allowed


def test_a_binding_reaches_users_groups_and_service_accounts_where_it_is() -> None:
    wanted = {"resource": "pods", "namespace": "here"}
    bot = User("system:serviceaccount:home:bot", groups=("system:serviceaccounts",))
    for user, one in [
        (ANN, binding("r", "User", "ann", namespace="here")),
        (ANN, binding("r", "Group", "devs", namespace="here")),
        (bot, binding("r", "ServiceAccount", "bot", of="home", namespace="here")),
    ]:
        given = policy(one, r=[PODS])
        assert given.decide(attributes(user, "get", **wanted)).allowed
        assert not given.decide(attributes(user, "get", **{**wanted, "namespace": "there"})).allowed
        assert not given.decide(attributes(User("bob"), "get", **wanted)).allowed
    decision = policy(binding("r", "Group", "devs"), r=[PODS]).decide(attributes(ANN, "get", **wanted))
    assert decision.reason == 'RBAC: allowed by ClusterRoleBinding "b0" of ClusterRole "r" to Group "devs"'


def test_what_was_decided_is_forgotten_when_a_role_or_binding_changes() -> None:
    given = policy(binding("r", "User", "ann"), r=[PODS])
    wanted = Attributes(ANN, "get", resource="pods")
    assert given.decide(wanted).allowed
    given.put_role("", "r", {"rules": []})
    assert not given.decide(wanted).allowed
    given.put_role("", "r", {"rules": [PODS]})
    assert given.decide(wanted).allowed
    given.put_binding("", "b0", None)
    assert not given.decide(wanted).allowed


@pytest.mark.parametrize(
    ("held", "wanted", "left"),
    [
        ([PODS], [PODS], 0),
        ([PODS], [{**PODS, "verbs": ["get", "list"]}], 1),
        ([PODS], [{**PODS, "verbs": ["*"]}], 1),
        ([PODS], [{**PODS, "resources": ["*"]}], 1),
        ([{**PODS, "resources": ["*"], "verbs": ["*"]}], [{**PODS, "resources": ["pods/log"]}], 0),
        ([{**PODS, "resourceNames": ["a"]}], [PODS], 1),
        ([PODS], [{**PODS, "resourceNames": ["a", "b"]}], 0),
        ([{**PODS, "resourceNames": ["a"]}], [{**PODS, "resourceNames": ["a", "b"]}], 1),
        (
            [{"verbs": ["get"], "nonResourceURLs": ["/a/*"]}],
            [{"verbs": ["get"], "nonResourceURLs": ["/a/b", "/c"]}],
            1,
        ),
        ([PODS, {**PODS, "verbs": ["list"]}], [{**PODS, "verbs": ["get", "list"]}], 0),
    ],
)
def test_rules_cover_others_only_if_they_allow_all_of_them(
    held: list[dict[str, Any]], wanted: list[dict[str, Any]], left: int
) -> None:
    assert len(uncovered(map(Rule.parse, held), map(Rule.parse, wanted))) == left


def cluster() -> RolePolicy:
    made = RolePolicy()
    for _, plural, namespace, document in default_policy():
        put = made.put_binding if "binding" in plural else made.put_role
        put(namespace, document["metadata"]["name"], document)
    return made


def test_the_default_policy_gives_each_component_what_it_is_for() -> None:
    made = cluster()
    scheduler, manager = User("system:kube-scheduler"), User("system:kube-controller-manager")
    everybody = User("x", groups=("system:authenticated",))
    nobody = User("system:anonymous", groups=("system:unauthenticated",))
    deployer = User("system:serviceaccount:kube-system:deployment-controller")
    for user, verb, where, allowed in [
        (scheduler, "create", {"resource": "pods", "subresource": "binding"}, True),
        (scheduler, "create", {"resource": "pods"}, False),
        (scheduler, "get", {"resource": "secrets"}, False),
        (manager, "create", {"resource": "pods"}, True),
        (manager, "update", {"resource": "deployments", "group": "apps", "subresource": "status"}, True),
        (manager, "create", {"resource": "clusterroles", "group": "rbac.authorization.k8s.io"}, False),
        (deployer, "create", {"resource": "replicasets", "group": "apps"}, True),
        (deployer, "create", {"resource": "pods"}, False),
        (everybody, "get", {"path": "/apis/apps/v1"}, True),
        (everybody, "get", {"path": "/metrics"}, False),
        (everybody, "get", {"resource": "pods"}, False),
        (nobody, "get", {"path": "/healthz"}, True),
        (nobody, "get", {"path": "/version"}, True),
        (nobody, "get", {"path": "/apis"}, False),
        (User("m", groups=("system:masters",)), "delete", {"resource": "nodes"}, True),
    ]:
        assert made.decide(attributes(user, verb, **where)).allowed is allowed, (user, verb, where)


def test_admin_edit_and_view_differ_as_they_should() -> None:
    made = cluster()
    for role, verb, resource, allowed in [
        ("view", "get", "pods", True),
        ("view", "get", "secrets", False),
        ("view", "create", "pods", False),
        ("edit", "get", "secrets", True),
        ("edit", "create", "pods", True),
        ("edit", "create", "roles", False),
        ("admin", "create", "roles", True),
        ("admin", "update", "resourcequotas", False),
    ]:
        made.put_binding("team", "b", binding(role, "User", "ann"))
        group = "rbac.authorization.k8s.io" if resource == "roles" else ""
        wanted = Attributes(ANN, verb, group, resource, namespace="team")
        assert made.decide(wanted).allowed is allowed, (role, verb, resource)
