"""Which Service a request is for."""

from __future__ import annotations

import pytest

from proa.controlplane.network._ingress_rules import CONTROLLER, Rules, Target, served
from proa.kube.models.meta_v1 import ObjectMeta
from proa.kube.models.networking_v1 import (
    HTTPIngressPath,
    HTTPIngressRuleValue,
    Ingress,
    IngressBackend,
    IngressClass,
    IngressClassSpec,
    IngressRule,
    IngressServiceBackend,
    IngressSpec,
    ServiceBackendPort,
)


def backend(name: str) -> IngressBackend:
    return IngressBackend(service=IngressServiceBackend(name=name, port=ServiceBackendPort(number=80)))


def ingress(*rules: tuple[str, str, str, str], default: str | None = None, cls: str | None = None) -> Ingress:
    made = [
        IngressRule(
            host=host or None,
            http=HTTPIngressRuleValue(
                paths=[HTTPIngressPath(path=path, path_type=kind, backend=backend(name))]
            ),
        )
        for host, path, kind, name in rules
    ]
    spec = IngressSpec(
        rules=made, default_backend=backend(default) if default else None, ingress_class_name=cls
    )
    return Ingress(metadata=ObjectMeta(name="i", namespace="shop"), spec=spec)


RULES = Rules(
    [
        ingress(
            ("shop.test", "/", "Prefix", "root"),
            ("shop.test", "/api", "Prefix", "api"),
            ("shop.test", "/api/v1", "Exact", "v1"),
            ("*.shop.test", "/", "Prefix", "wild"),
            ("in.shop.test", "/", "Prefix", "inside"),
            ("", "/any", "Prefix", "any"),
            default="last",
        ),
    ]
)


@pytest.mark.parametrize(
    ("host", "path", "service"),
    [
        ("shop.test", "/", "root"),
        ("shop.test", "/apis", "root"),
        ("shop.test", "/api", "api"),
        ("shop.test", "/api/", "api"),
        ("shop.test", "/api/v1", "v1"),
        ("shop.test", "/api/v1/", "api"),
        ("a.shop.test", "/x", "wild"),
        ("in.shop.test", "/x", "inside"),
        ("a.b.shop.test", "/", "last"),
        ("elsewhere.test", "/any/thing", "any"),
        ("elsewhere.test", "/", "last"),
        ("other.test", "/", "last"),
    ],
)
def test_the_host_comes_first_and_then_the_longest_path(host: str, path: str, service: str) -> None:
    assert RULES.find(host, path) == Target("shop", service, 80)


def test_a_name_below_localhost_is_a_service_s() -> None:
    assert RULES.find("web.default.localhost", "/any") == Target("default", "web")
    assert Rules(()).find("web.default.localhost", "/") == Target("default", "web")
    assert Rules(()).find("default.localhost", "/") is None
    assert Rules(()).find("a.b.c.localhost", "/") is None


def test_an_ingress_for_such_a_name_takes_its_place() -> None:
    own = Rules([ingress(("web.default.localhost", "/", "Prefix", "mine"))])
    assert own.find("web.default.localhost", "/x") == Target("shop", "mine", 80)


def test_ingresses_are_served_by_their_class_s_controller() -> None:
    rule = ("shop.test", "/", "Prefix", "shop")
    none, own, nginx = ingress(rule), ingress(rule, cls="proa"), ingress(rule, cls="nginx")

    def made(name: str, controller: str) -> IngressClass:
        return IngressClass(metadata=ObjectMeta(name=name), spec=IngressClassSpec(controller=controller))

    every = [none, own, nginx]
    assert served(every, []) == [none, own]
    assert served(every, [made("nginx", "k8s.io/ingress-nginx")]) == [none, own]
    assert served(every, [made("nginx", CONTROLLER)]) == every
    assert served(every, [made("proa", "example.com/other")]) == [none]
    nginx.spec.ingress_class_name = None
    nginx.metadata.annotations = {"kubernetes.io/ingress.class": "nginx"}
    assert served([nginx], []) == []
