"""Who asks, and what they may do.

- `Pki`: the cluster's certificate authority, the server's certificate, and kubeconfigs for clients.
- `Authenticator`: a request's credentials to a `User`; `impersonated`: in whose name it is.
- `Authoriser`: whether a user may do what a request asks. `Attributes` is what there is to decide on;
  `RolePolicy` and `NodeAuthoriser` decide, by roles and by the pods that are bound to a node.
- `default_policy`: the roles and bindings that a cluster begins with.
- `TokenIssuer`: signs and checks the tokens of service accounts.
- `request_at_hand`: what the request that is being answered wants.

Start reading at `_authorisation.py`.
"""

from ._attributes import Attributes, Decision
from ._authentication import ANONYMOUS, Authenticator, User, load_tokens
from ._authorisation import MASTERS, Authoriser
from ._context import audit_annotations, audit_notes, request_at_hand
from ._default_roles import default_policy
from ._impersonation import impersonated, impersonates
from ._nodes import NodeAuthoriser, node_of
from ._pki import Pki
from ._policy import RolePolicy
from ._rbac import Rule, uncovered
from ._tokens import TokenIssuer

__all__ = [
    "ANONYMOUS",
    "MASTERS",
    "Attributes",
    "Authenticator",
    "Authoriser",
    "Decision",
    "NodeAuthoriser",
    "Pki",
    "RolePolicy",
    "Rule",
    "TokenIssuer",
    "User",
    "audit_annotations",
    "audit_notes",
    "default_policy",
    "impersonated",
    "impersonates",
    "load_tokens",
    "node_of",
    "request_at_hand",
    "uncovered",
]
