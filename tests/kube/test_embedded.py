"""The whole verb surface against the embedded API server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proa.controlplane.testing import api_server
from proa.kube import (
    AlreadyExistsError,
    Api,
    Apply,
    Client,
    Config,
    ConflictError,
    DynamicObject,
    InvalidRequestError,
    Json,
    Merge,
    NotFoundError,
    PartialObjectMetadata,
    Strategic,
    TooManyRequestsError,
    WatchEvent,
    manifests,
)
from proa.kube.applying import apply, delete
from proa.kube.discovery import Discovery, discover
from proa.kube.errors import BadRequestError, InvalidError, UnknownResourceError
from proa.kube.models import Quantity
from proa.kube.models.apps_v1 import Deployment, DeploymentSpec
from proa.kube.models.authentication_v1 import SelfSubjectReview, TokenReview, TokenReviewSpec
from proa.kube.models.authorization_v1 import (
    ResourceAttributes,
    SubjectAccessReview,
    SubjectAccessReviewSpec,
)
from proa.kube.models.autoscaling_v1 import Scale
from proa.kube.models.certificates_v1 import CertificateSigningRequest, CertificateSigningRequestSpec
from proa.kube.models.core_v1 import (
    ConfigMap,
    Container,
    EphemeralContainer,
    Namespace,
    Node,
    Pod,
    PodSpec,
    PodTemplateSpec,
    ResourceRequirements,
    ServiceAccount,
)
from proa.kube.models.meta_v1 import LabelSelector, ObjectMeta
from proa.kube.models.policy_v1 import PodDisruptionBudget, PodDisruptionBudgetSpec


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with api_server(tmp_path) as server:
        config = await asyncio.to_thread(Config.from_kubeconfig, server.kubeconfig)
        async with Client(config) as opened:
            accounts = Api(opened, ServiceAccount, namespace="default")
            await accounts.entry("default").or_create(ServiceAccount).commit()
            yield opened


def config_map(name: str, **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, labels={"app": "test"}), data=data)


def pod(name: str = "p") -> Pod:
    return Pod(
        metadata=ObjectMeta(name=name, labels={"app": "test"}),
        spec=PodSpec(containers=[Container(name="c", image="i")]),
    )


async def test_reading_writing_and_deleting(client: Client) -> None:
    maps = Api(client, ConfigMap, namespace="default")
    created = await maps.create(config_map("a", x="1"))
    with pytest.raises(AlreadyExistsError):
        await maps.create(config_map("a"))
    created.data["x"] = "2"
    replaced = await maps.replace(created)
    with pytest.raises(ConflictError):
        await maps.replace(created)
    assert (await maps.get("a")).data == {"x": "2"}
    assert await maps.get_opt("b") is None
    assert (await maps.patch("a", Merge({"data": {"x": None, "y": "3"}}))).data == {"y": "3"}
    assert (await maps.patch("a", Strategic({"data": {"z": "4"}}))).data == {"y": "3", "z": "4"}
    guarded = Json([{"op": "test", "path": "/data/y", "value": "0"}, {"op": "remove", "path": "/data/y"}])
    with pytest.raises(InvalidError):
        await maps.patch("a", guarded)
    with pytest.raises(ConflictError):
        await maps.delete("a", resource_version=replaced.metadata.resource_version)
    await maps.delete("a", uid=replaced.metadata.uid)
    with pytest.raises(NotFoundError):
        await maps.delete("a")


async def test_a_dry_run_stores_nothing(client: Client) -> None:
    maps = Api(client, ConfigMap, namespace="default")
    made = await maps.create(config_map("a"), dry_run=True)
    assert made.metadata.uid
    assert await maps.get_opt("a") is None
    await maps.create(config_map("a", x="1"))
    await maps.patch("a", Merge({"data": {"x": "2"}}), dry_run=True)
    await maps.delete("a", dry_run=True)
    assert (await maps.get("a")).data == {"x": "1"}


async def test_unknown_fields_are_warned_of_or_refused(client: Client) -> None:
    heard: list[str] = []
    async with Client(client.config, on_warning=heard.append) as listening:
        maps = Api(listening, DynamicObject.of(ConfigMap), namespace="default")
        obj = DynamicObject(
            api_version="v1", kind="ConfigMap", metadata=ObjectMeta(name="a"), data={"typo": {"x": "1"}}
        )
        with pytest.raises(BadRequestError, match=r"unknown field .*typo"):
            await maps.create(obj, field_validation="Strict")
        assert heard == []
        await maps.create(obj, field_validation="Warn")
        assert len(heard) == 1
        assert 'unknown field "typo"' in heard[0]


async def test_lists_go_page_by_page_and_watches_go_on_from_there(client: Client) -> None:
    maps = Api(client, ConfigMap, namespace="default")
    for number in range(7):
        await maps.create(config_map(f"m{number}"))
    names = [found.metadata.name async for found in maps.list(label_selector="app=test", page_size=3)]
    assert names == [f"m{number}" for number in range(7)]
    page = await maps.list_page(label_selector="app=test", limit=3)
    assert page.continue_
    await maps.delete_collection(label_selector="app=test")
    version = (await maps.list_page()).resource_version
    async with aclosing(maps.watch(version, label_selector="app=test")) as events:
        await maps.create(config_map("new"))
        found = await anext(events)
    assert isinstance(found, WatchEvent)
    assert (found.type, found.object.metadata.name) == ("ADDED", "new")


async def test_a_watch_that_begins_with_all_there_is(client: Client) -> None:
    maps = Api(client, ConfigMap, namespace="default")
    await maps.create(config_map("a"))
    seen = []
    async with aclosing(maps.watch("", initial_events=True)) as events:
        async for event in events:
            seen.append(event)
            if event.type == "BOOKMARK" and event.initial_events_end:
                break
    assert [event.type for event in seen] == ["ADDED", "BOOKMARK"]


async def test_a_version_that_never_was_is_an_error_of_the_tree(client: Client) -> None:
    with pytest.raises(InvalidError, match="resourceVersion"):
        await anext(Api(client, ConfigMap).watch("nonsense"))


async def test_get_modify_commit(client: Client) -> None:
    maps = Api(client, ConfigMap, namespace="default")
    entry = maps.entry("a").modify(lambda found: found.data.update(x="1"))
    with pytest.raises(NotFoundError):
        await entry.commit()
    made = await entry.or_create(lambda: config_map("ignored", y="0")).commit()
    assert (made.metadata.name, made.data) == ("a", {"x": "1", "y": "0"})
    same = await entry.commit()
    assert same.metadata.resource_version == made.metadata.resource_version

    calls = 0

    def racing(found: ConfigMap) -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            found.metadata.resource_version = "1"
        found.data["z"] = str(calls)

    assert (await maps.entry("a").modify(racing).commit()).data["z"] == "3"
    calls = 0
    with pytest.raises(ConflictError):
        await maps.entry("a").modify(racing).commit(attempts=2)


async def test_metadata_alone(client: Client) -> None:
    await Api(client, ConfigMap, namespace="default").create(config_map("a", big="x" * 1000))
    maps = Api(client, PartialObjectMetadata.of(ConfigMap), namespace="default")
    found = await maps.get("a")
    assert (found.kind, found.metadata.labels) == ("PartialObjectMetadata", {"app": "test"})
    assert [item.metadata.name async for item in maps.list(label_selector="app=test")] == ["a"]
    async with aclosing(maps.watch("")) as events:
        first = await anext(events)
        assert isinstance(first, WatchEvent)
        assert first.object.kind == "PartialObjectMetadata"
    patched = await maps.patch("a", Merge({"metadata": {"labels": {"b": "c"}}}))
    assert patched.metadata.labels == {"app": "test", "b": "c"}
    with pytest.raises(InvalidRequestError, match="would wipe the rest"):
        await maps.replace(found)
    await maps.delete("a")


async def test_objects_of_kinds_known_at_run_time_only(client: Client) -> None:
    discovery = await discover(client)
    resource = discovery.resolve("cm")
    maps = Api(client, DynamicObject.of(resource), namespace="default")
    obj = DynamicObject(
        api_version="v1", kind="ConfigMap", metadata=ObjectMeta(name="a"), data={"data": {"x": "1"}}
    )
    created = await maps.create(obj)
    created.data["data"]["x"] = "2"
    assert (await maps.replace(created)).data["data"] == {"x": "2"}
    assert [item.data["data"] async for item in maps.list(field_selector="metadata.name=a")] == [{"x": "2"}]
    nodes = DynamicObject.of(discovery.resolve("nodes"))
    with pytest.raises(InvalidRequestError, match="belong to the cluster, not to a namespace"):
        Api(client, nodes, namespace="default")


async def test_discovery_takes_two_requests_and_knows_all_names(client: Client) -> None:
    discovery: Discovery = await discover(client)
    assert len(discovery) > 30
    for name in ("deploy", "deployment", "Deployments", "deployments.apps", "deployments.v1.apps"):
        assert discovery.resolve(name) == Deployment.resource
    assert discovery.of_kind("v1", "Pod").short_names == ("po",)
    assert "pods" in {resource.plural for resource in discovery.in_category("all")}
    (pods,) = [item for item in discovery if item.resource.plural == "pods" and not item.resource.group]
    assert {"log", "status", "eviction"} <= pods.subresources
    assert "watch" in pods.verbs
    with pytest.raises(UnknownResourceError, match="no resource 'deploymint'; did you mean 'deployment'"):
        discovery.resolve("deploymint")
    with pytest.raises(
        UnknownResourceError, match=r"no kind 'Deployment' in 'v1'; it has Deployment in apps/v1"
    ):
        discovery.of_kind("v1", "Deployment")


def deployment() -> Deployment:
    labels = {"app": "test"}
    template = PodTemplateSpec(
        metadata=ObjectMeta(labels=labels), spec=PodSpec(containers=[Container(name="c", image="i")])
    )
    spec = DeploymentSpec(replicas=1, selector=LabelSelector(match_labels=labels), template=template)
    return Deployment(metadata=ObjectMeta(name="d"), spec=spec)


async def test_scale_status_and_restart(client: Client) -> None:
    deployments = Api(client, Deployment, namespace="default")
    made = await deployments.create(deployment())
    assert (await deployments.scale("d", 3)).spec.replicas == 3
    scale = await deployments.get_scale("d")
    scale.spec.replicas = 2
    assert (await deployments.replace_subresource("d", "scale", scale)).spec.replicas == 2
    assert isinstance(await deployments.get_subresource("d", "scale", Scale), Scale)
    restarted = await deployments.restart("d")
    assert restarted.spec.template.metadata.annotations.keys() == {"kubectl.kubernetes.io/restartedAt"}
    made = await deployments.get("d")
    made.status.replicas = 7
    assert (await deployments.replace_status(made)).status.replicas == 7
    assert (await deployments.patch_status("d", Merge({"status": {"replicas": 8}}))).status.replicas == 8


async def test_the_subresources_of_pods(client: Client) -> None:
    pods = Api(client, Pod, namespace="default")
    await Api(client, Node).create(Node(metadata=ObjectMeta(name="n")))
    burstable = pod()  # which it must stay when it is resized
    burstable.spec.containers[0].resources = ResourceRequirements(requests={"cpu": Quantity("50m")})
    await pods.create(burstable)
    await pods.bind("p", "n")
    assert (await pods.get("p")).spec.node_name == "n"
    with pytest.raises(ConflictError):
        await pods.bind("p", "n")
    debugged = await pods.add_ephemeral_container("p", EphemeralContainer(name="debug", image="busybox"))
    assert [found.name for found in debugged.spec.ephemeral_containers] == ["debug"]
    wanted = ResourceRequirements(requests={"cpu": Quantity("100m")})
    resized = await pods.resize("p", {"c": wanted})
    assert resized.spec.containers[0].resources.requests == {"cpu": Quantity("100m")}

    budgets = Api(client, PodDisruptionBudget, namespace="default")
    selector = LabelSelector(match_labels={"app": "test"})
    await budgets.create(
        PodDisruptionBudget(metadata=ObjectMeta(name="b"), spec=PodDisruptionBudgetSpec(selector=selector))
    )
    await pods.patch_status("p", Merge({"status": {"phase": "Running"}}))
    with pytest.raises(TooManyRequestsError, match="disruption budget") as caught:
        await pods.evict("p", grace_period=0)
    assert caught.value.retry_after
    await budgets.delete("b")
    await pods.evict("p", grace_period=0, dry_run=True)
    assert await pods.get_opt("p")
    await pods.evict("p", grace_period=0)
    assert await pods.get_opt("p") is None


async def test_cordoning_a_node(client: Client) -> None:
    nodes = Api(client, Node)
    await nodes.create(Node(metadata=ObjectMeta(name="n")))
    assert (await nodes.cordon("n")).spec.unschedulable is True
    assert not (await nodes.uncordon("n")).spec.unschedulable


async def test_a_token_of_a_service_account_is_one_to_call_with(client: Client) -> None:
    accounts = Api(client, ServiceAccount, namespace="default")
    token = (await accounts.create_token("default", expiration_seconds=600)).status.token
    assert token
    assert token.count(".") == 2


async def test_reviews_are_answered_though_they_have_no_names(client: Client) -> None:
    me = await Api(client, SelfSubjectReview).create(SelfSubjectReview())
    assert me.status.user_info is not None
    assert me.status.user_info.username == "admin"
    token = (await Api(client, ServiceAccount, namespace="default").create_token("default")).status.token
    told = await Api(client, TokenReview).create(TokenReview(spec=TokenReviewSpec(token=token or "")))
    assert told.status.user is not None
    assert told.status.user.username == "system:serviceaccount:default:default"
    spec = SubjectAccessReviewSpec(
        user="nobody", resource_attributes=ResourceAttributes(verb="get", resource="pods")
    )
    asked = await Api(client, SubjectAccessReview).create(SubjectAccessReview(spec=spec))
    assert asked.status.allowed is False
    with pytest.raises(InvalidRequestError, match="neither a name nor a generateName"):
        await Api(client, ServiceAccount, namespace="default").create(ServiceAccount())


async def test_requests_for_certificates_are_approved_or_denied(client: Client) -> None:
    requests = Api(client, CertificateSigningRequest)
    for name, decide in (("a", requests.approve), ("b", requests.deny)):
        spec = CertificateSigningRequestSpec(
            request=_certificate_request(), signer_name="example.com/signer", usages=["client auth"]
        )
        await requests.create(CertificateSigningRequest(metadata=ObjectMeta(name=name), spec=spec))
        decided = await decide(name, reason="Test", message="because")
        (condition,) = decided.status.conditions
        assert (condition.type, condition.reason) == ("Approved" if name == "a" else "Denied", "Test")


def _certificate_request() -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "me")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    signed = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


async def test_a_pod_that_nobody_runs_has_said_nothing(client: Client) -> None:
    pods = Api(client, Pod, namespace="default")
    await pods.create(pod())
    assert [line async for line in pods.logs("p", since_time=datetime.now(UTC), limit_bytes=10)] == []
    with pytest.raises(NotFoundError):
        await anext(pods.logs("nobody"))


async def test_namespaces_are_cluster_scoped(client: Client) -> None:
    namespaces = Api(client, Namespace)
    await namespaces.create(Namespace(metadata=ObjectMeta(name="team")))
    everywhere = Api(client, ConfigMap)
    await everywhere.create(config_map("a"), namespace="team")
    assert (await everywhere.get("a", namespace="team")).metadata.namespace == "team"
    with pytest.raises(InvalidRequestError, match="live in namespaces"):
        await everywhere.get("a")


async def test_server_side_apply_owns_what_it_says(client: Client) -> None:
    maps = Api(client, ConfigMap, namespace="default")
    mine = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1", "b": "1"}}
    assert (await maps.patch("m", Apply(mine, manager="me"))).data == {"a": "1", "b": "1"}
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "2"}}
    with pytest.raises(ConflictError, match="conflict"):
        await maps.patch("m", Apply(theirs, manager="you"))
    assert (await maps.patch("m", Apply(theirs, manager="you", force=True))).data == {"a": "2", "b": "1"}
    less = {"apiVersion": "v1", "kind": "ConfigMap", "data": {}}
    assert (await maps.patch("m", Apply(less, manager="me"))).data == {"a": "2"}


async def test_mixed_manifests_are_applied_pruned_and_deleted(client: Client) -> None:
    text = """
{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: team, labels: {app: web}}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: b, namespace: team, labels: {app: web}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: team, labels: {app: web}}}
"""
    objects = manifests.parse(text)
    first = [str(outcome) async for outcome in apply(client, objects, prune="app=web")]
    assert first == ["namespace/team created", "configmap/a created", "configmap/b created"]
    second = [str(outcome) async for outcome in apply(client, [objects[0], objects[2]], prune="app=web")]
    assert second == ["namespace/team applied", "configmap/a applied", "configmap/b pruned"]
    gone = [str(outcome) async for outcome in delete(client, [objects[0], objects[1]])]
    assert gone == ["configmap/b absent", "configmap/a deleted"]
