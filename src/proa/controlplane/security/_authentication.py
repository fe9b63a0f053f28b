"""A request's credentials to a user: certificates, and static, bootstrap and service-account tokens."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from proa.controlplane._errors import ControlPlaneError, unauthorized
from proa.controlplane._json import Document
from proa.controlplane.storage import Key, Store

from ._bootstrap_tokens import bootstrap_identity, secret_name
from ._tokens import ISSUER, InvalidTokenError, TokenIssuer

AUTHENTICATED = "system:authenticated"
_EXTRA = "authentication.kubernetes.io/"


class User(msgspec.Struct, frozen=True):
    """Who asks. `groups` includes `system:authenticated` for all but the anonymous user."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, Sequence[str]] = {}

    def to_document(self) -> dict[str, Any]:
        """The user as a `UserInfo`."""
        info: dict[str, Any] = {"username": self.name, "uid": self.uid, "groups": list(self.groups)}
        info["extra"] = {key: list(values) for key, values in self.extra.items()}
        return {key: value for key, value in info.items() if value}


ANONYMOUS = User("system:anonymous", groups=("system:unauthenticated",))


class Authenticator:
    """Finds out who asks.

    A request without credentials is the anonymous user's. Credentials that are there and wrong are an
    error, never a reason to fall back. Objects that tokens depend on (the service account, the pod that a
    token is bound to, a bootstrap token's secret) are looked up each time: once they are gone, so is the
    token's power.
    """

    def __init__(self, tokens: Mapping[str, User], issuer: TokenIssuer, store: Store) -> None:
        self._tokens = dict(tokens)
        self._issuer = issuer
        self._store = store

    def authenticate(self, authorization: str | None, certificate: Mapping[str, Any] | None) -> User:
        """The user of a request with this `Authorization` header and client certificate (as `ssl` decodes
        it).

        Raises:
            StatusError: 401, the token is not valid.
        """
        if certificate:
            return _user_of_subject(certificate.get("subject", ()))
        if not authorization:
            return ANONYMOUS
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            return ANONYMOUS
        return self.user_of_token(token.strip())[0]

    def user_of_token(self, token: str, audiences: Sequence[str] = ()) -> tuple[User, list[str]]:
        """The user whom a bearer token stands for, and for which of the audiences (by default, this API).

        Raises:
            StatusError: 401, nobody, or not for any of these audiences.
        """
        wanted = list(audiences) or [ISSUER]
        user = self._tokens.get(token) or self._of_bootstrap_token(token)
        if user is not None:
            if ISSUER not in wanted:
                raise unauthorized()
            return user, [ISSUER]
        try:
            claims = self._issuer.verify(token, wanted)
            self._check_bound_objects(claims["kubernetes.io"])
        except (InvalidTokenError, KeyError, TypeError):
            raise unauthorized() from None
        return user_of_claims(claims), [one for one in wanted if one in claims["aud"]]

    def _of_bootstrap_token(self, token: str) -> User | None:
        name = secret_name(token)
        stored = self._store.get(Key("secrets", "kube-system", name)) if name else None
        identity = bootstrap_identity(stored.document(), token) if stored else None
        return User(identity[0], groups=(*identity[1], AUTHENTICATED)) if identity else None

    def _check_bound_objects(self, about: Document) -> None:
        namespace = about["namespace"]
        self._check_object("serviceaccounts", namespace, about["serviceaccount"])
        if "pod" in about:  # the node is named besides, and the token depends on it no more than the pod does
            self._check_object("pods", namespace, about["pod"])
        elif "secret" in about:
            self._check_object("secrets", namespace, about["secret"])
        elif "node" in about:
            self._check_object("nodes", "", about["node"])

    def _check_object(self, storage: str, namespace: str, reference: Document) -> None:
        stored = self._store.get(Key(storage, namespace, reference["name"]))
        if stored is None or stored.uid != reference["uid"]:
            raise InvalidTokenError(f"the token's {storage} is gone")


def groups_of_account(namespace: str) -> tuple[str, ...]:
    """The groups that a namespace's service accounts are in."""
    return ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)


def user_of_claims(claims: Mapping[str, Any]) -> User:
    """The service account that a verified token speaks of."""
    about = claims["kubernetes.io"]
    namespace, account = about["namespace"], about["serviceaccount"]
    extra = {f"{_EXTRA}credential-id": [f"JTI={claims['jti']}"]} if "jti" in claims else {}
    for kind in ("node", "pod"):
        if kind in about:
            extra[f"{_EXTRA}{kind}-name"] = [about[kind]["name"]]
            extra[f"{_EXTRA}{kind}-uid"] = [about[kind]["uid"]]
    name = f"system:serviceaccount:{namespace}:{account['name']}"
    return User(name, account["uid"], groups_of_account(namespace), extra)


@lru_cache(1024)
def _user_of_subject(subject: tuple[tuple[tuple[str, str], ...], ...]) -> User:
    """The user whom a certificate's subject names."""
    name, groups = "", []
    for part in subject:
        for key, value in part:
            if key == "commonName":
                name = value
            elif key == "organizationName":
                groups.append(value)
    if not name:
        raise unauthorized()
    return User(name, groups=(*groups, AUTHENTICATED))


def load_tokens(path: Path) -> dict[str, User]:
    """Users by token, from a file in Kubernetes' form: lines of `token,user,uid[,"group1,group2"]`.

    Raises:
        ControlPlaneError: The file cannot be read, or a line has too few columns.
    """
    users: dict[str, User] = {}
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            for number, row in enumerate(csv.reader(lines, skipinitialspace=True), 1):
                if row and not row[0].startswith("#"):
                    token, user = _user_of_row(row, f"{path}, line {number}")
                    users[token] = user
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ControlPlaneError(
            f"cannot read the token file {path}: {error}; check --token-auth-file"
        ) from error
    return users


def _user_of_row(row: list[str], where: str) -> tuple[str, User]:
    columns = [column.strip() for column in row]
    if len(columns) < 3 or not all(columns[:2]):
        raise ControlPlaneError(f'{where}: expected token,user,uid and perhaps "group1,group2"')
    # An empty fourth column is one group without a name, as Kubernetes reads it.
    groups = [group.strip() for group in columns[3].split(",")] if len(columns) > 3 else []
    return columns[0], User(columns[1], columns[2], (*groups, AUTHENTICATED))
