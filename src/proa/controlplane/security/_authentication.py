"""A request's credentials to a user: client certificates, static tokens, service-account tokens."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proa.controlplane._errors import ControlPlaneError, unauthorized

from ._tokens import InvalidTokenError, TokenIssuer

AUTHENTICATED = "system:authenticated"


@dataclass(frozen=True)
class User:
    """Who asks. `groups` includes `system:authenticated` for all but the anonymous user."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def to_document(self) -> dict[str, Any]:
        """The user as a `UserInfo`."""
        info: dict[str, Any] = {"username": self.name, "uid": self.uid, "groups": list(self.groups)}
        info["extra"] = {key: list(values) for key, values in self.extra.items()}
        return {key: value for key, value in info.items() if value}


ANONYMOUS = User("system:anonymous", groups=("system:unauthenticated",))


class Authenticator:
    """Finds out who asks.

    A request without credentials is the anonymous user's. Credentials that are there and wrong are an
    error, never a reason to fall back.
    """

    def __init__(self, tokens: Mapping[str, User], issuer: TokenIssuer) -> None:
        self._tokens = dict(tokens)
        self._issuer = issuer

    def authenticate(self, authorization: str | None, certificate: Mapping[str, Any] | None) -> User:
        """The user of a request with this `Authorization` header and client certificate (as `ssl` decodes
        it).

        Raises:
            StatusError: 401, the token is not valid.
        """
        if certificate:
            return _user_of_certificate(certificate)
        if not authorization:
            return ANONYMOUS
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            return ANONYMOUS
        return self.user_of_token(token.strip())

    def user_of_token(self, token: str) -> User:
        """The user whom a bearer token stands for.

        Raises:
            StatusError: 401, nobody.
        """
        user = self._tokens.get(token)
        if user is not None:
            return user
        try:
            claims = self._issuer.verify(token)
        except InvalidTokenError:
            raise unauthorized() from None
        return user_of_claims(claims)


def user_of_claims(claims: Mapping[str, Any]) -> User:
    """The service account that a verified token speaks of."""
    about = claims["kubernetes.io"]
    namespace, account = about["namespace"], about["serviceaccount"]
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(f"system:serviceaccount:{namespace}:{account['name']}", account["uid"], groups)


def _user_of_certificate(certificate: Mapping[str, Any]) -> User:
    name, groups = "", []
    for part in certificate.get("subject", ()):
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
    groups = [group.strip() for group in columns[3].split(",") if group.strip()] if len(columns) > 3 else []
    return columns[0], User(columns[1], columns[2], (*groups, AUTHENTICATED))
