"""All plug-ins, and for what each is asked: the one place to add one."""

from __future__ import annotations

from proa.controlplane.security import Authoriser
from proa.controlplane.storage import Store

from . import _certificates, _priority, _services
from ._certificates import CertificateRequests
from ._chain import Chain, Outside
from ._classes import Classes
from ._escalation import EscalationCheck
from ._limit_ranges import LimitRanger
from ._namespaces import NamespaceLifecycle, keep_immortal
from ._node_restriction import restrict_node
from ._pod_security import WORKLOADS, PodSecurity
from ._priority import Priorities
from ._quota_room import QuotaRoom
from ._service_accounts import ServiceAccounts
from ._services import ServiceAddresses
from ._topology import TopologyLabels

_RBAC = "rbac.authorization.k8s.io"


def admission(
    store: Store, authoriser: Authoriser, *outside: Outside, service_accounts: bool = False
) -> Chain:
    """The plug-ins of a server, in the order in which Kubernetes runs them.

    Args:
        store: What they look at.
        authoriser: Who may do what.
        outside: Webhooks and policies.
        service_accounts: Whether pods get their service account and its token.
    """
    chain = Chain()
    addresses = ServiceAddresses(store)
    _add_mutators(chain, store, addresses, service_accounts=service_accounts)
    requests = CertificateRequests(authoriser)
    chain.mutates(_certificates.STORAGE, requests.mutate)
    for one in outside:
        chain.asks(one)
    chain.validates(_certificates.STORAGE, requests.validate)
    _add_validators(chain, store)
    chain.validates(_services.STORAGE, addresses.check)
    escalation = EscalationCheck(authoriser)
    for plural in ("roles", "clusterroles"):
        chain.validates(f"{plural}.{_RBAC}", escalation.check_role)
    for plural in ("rolebindings", "clusterrolebindings"):
        chain.validates(f"{plural}.{_RBAC}", escalation.check_binding)
    chain.ends(QuotaRoom(store).take)
    return chain


def _add_mutators(chain: Chain, store: Store, addresses: ServiceAddresses, *, service_accounts: bool) -> None:
    chain.mutates(None, NamespaceLifecycle(store).check)
    chain.mutates("pods", LimitRanger(store).put_defaults)
    if service_accounts:
        chain.mutates("pods", ServiceAccounts(store).give)
    classes = Classes(store)
    chain.mutates("pods", Priorities(store).resolve)
    chain.mutates("pods", classes.resolve_runtime)
    chain.mutates("pods", TopologyLabels(store).copy)
    chain.mutates("persistentvolumeclaims", classes.give_storage_class)
    chain.mutates(_services.STORAGE, addresses.give)


def _add_validators(chain: Chain, store: Store) -> None:
    chain.validates("namespaces", keep_immortal)
    chain.validates(None, restrict_node)
    chain.validates(_priority.STORAGE, Priorities(store).check_class)
    limits, security = LimitRanger(store), PodSecurity(store)
    for storage in ("pods", "persistentvolumeclaims"):
        chain.validates(storage, limits.check)
    chain.validates("persistentvolumeclaims", Classes(store).check_size)
    chain.validates("pods", security.check_pod)
    for storage in WORKLOADS:
        chain.validates(storage, security.check_workload)
