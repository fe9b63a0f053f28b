"""All plug-ins, and for what each is asked: the one place to add one."""

from __future__ import annotations

from proa.controlplane.security import Authoriser
from proa.controlplane.storage import Store

from . import _certificates, _priority
from ._certificates import CertificateRequests
from ._chain import Chain
from ._escalation import EscalationCheck
from ._namespaces import NamespaceLifecycle, keep_immortal
from ._node_restriction import restrict_node
from ._priority import Priorities
from ._services import ServiceAddresses

_RBAC = "rbac.authorization.k8s.io"


def admission(store: Store, authoriser: Authoriser) -> Chain:
    """The plug-ins of a server, in the order in which Kubernetes runs them."""
    chain = Chain()
    chain.mutates(None, NamespaceLifecycle(store).check)
    priorities = Priorities(store)
    chain.mutates("pods", priorities.resolve)
    chain.mutates("services", ServiceAddresses(store).give)
    requests = CertificateRequests(authoriser)
    chain.mutates(_certificates.STORAGE, requests.mutate)

    chain.validates("namespaces", keep_immortal)
    chain.validates(None, restrict_node)
    chain.validates(_priority.STORAGE, priorities.check_class)
    chain.validates(_certificates.STORAGE, requests.validate)
    escalation = EscalationCheck(authoriser)
    for plural in ("roles", "clusterroles"):
        chain.validates(f"{plural}.{_RBAC}", escalation.check_role)
    for plural in ("rolebindings", "clusterrolebindings"):
        chain.validates(f"{plural}.{_RBAC}", escalation.check_binding)
    return chain
