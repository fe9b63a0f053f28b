"""The objects that tell the API server of webhooks. Pure."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

from proa.kube.models.admissionregistration_v1 import (
    MutatingWebhook,
    MutatingWebhookConfiguration,
    RuleWithOperations,
    ValidatingWebhook,
    ValidatingWebhookConfiguration,
    WebhookClientConfig,
)
from proa.kube.models.meta_v1 import ObjectMeta
from proa.runtime.admission._webhooks import Webhook

ClientConfig = Callable[[str], WebhookClientConfig]


def validating(
    name: str, webhooks: Sequence[Webhook], client: ClientConfig
) -> ValidatingWebhookConfiguration:
    """Return the configuration of the validating webhooks."""
    hooks = [
        ValidatingWebhook(
            name=_name(hook, name),
            rules=[_rule(hook)],
            client_config=client(hook.path),
            side_effects="NoneOnDryRun",
            admission_review_versions=["v1"],
            failure_policy="Fail",
            timeout_seconds=10,
        )
        for hook in webhooks
        if hook.kind == "validate"
    ]
    return ValidatingWebhookConfiguration(metadata=ObjectMeta(name=name), webhooks=hooks)


def mutating(name: str, webhooks: Sequence[Webhook], client: ClientConfig) -> MutatingWebhookConfiguration:
    """Return the configuration of the mutating webhooks."""
    hooks = [
        MutatingWebhook(
            name=_name(hook, name),
            rules=[_rule(hook)],
            client_config=client(hook.path),
            side_effects="NoneOnDryRun",
            admission_review_versions=["v1"],
            failure_policy="Fail",
            timeout_seconds=10,
            reinvocation_policy="IfNeeded",
        )
        for hook in webhooks
        if hook.kind == "mutate"
    ]
    return MutatingWebhookConfiguration(metadata=ObjectMeta(name=name), webhooks=hooks)


def conversion(client: WebhookClientConfig) -> dict[str, Any]:
    """Return the merge patch that gives a CRD its conversion webhook."""
    config: dict[str, Any] = {"caBundle": base64.b64encode(client.ca_bundle or b"").decode()}
    if client.service is not None:
        config["service"] = client.service
    else:
        config["url"] = client.url
    webhook = {"clientConfig": config, "conversionReviewVersions": ["v1"]}
    return {"spec": {"conversion": {"strategy": "Webhook", "webhook": webhook}}}


def _name(hook: Webhook, name: str) -> str:
    return f"{hook.type.resource.singular}.{hook.type.resource.version}.{name}"


def _rule(hook: Webhook) -> RuleWithOperations:
    resource = hook.type.resource
    return RuleWithOperations(
        operations=list(hook.operations),
        api_groups=[resource.group],
        api_versions=[resource.version],
        resources=[resource.plural],
        scope="Namespaced" if resource.namespaced else "Cluster",
    )
