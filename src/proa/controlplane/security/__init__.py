"""Who asks, and what they may do.

- `Pki`: the cluster's certificate authority, the server's certificate, and kubeconfigs for clients.
- `Authenticator`: a request's credentials to a `User`.
- `authorise`: whether a user may do what a request asks. `Attributes` is what there is to decide on.
- `TokenIssuer`: signs and checks the tokens of service accounts.
"""

from ._authentication import ANONYMOUS, Authenticator, User, load_tokens
from ._authorisation import Attributes, Decision, authorise
from ._pki import Pki
from ._tokens import TokenIssuer

__all__ = [
    "ANONYMOUS",
    "Attributes",
    "Authenticator",
    "Decision",
    "Pki",
    "TokenIssuer",
    "User",
    "authorise",
    "load_tokens",
]
