"""Requests made in another's name, by the `Impersonate-*` headers. Pure.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from multidict import CIMultiDictProxy

from proa.controlplane._errors import bad_request

from ._attributes import Attributes
from ._authentication import ANONYMOUS, AUTHENTICATED, User, groups_of_account
from ._rbac import ACCOUNT_PREFIX

_USER, _UID, _GROUP, _EXTRA = "Impersonate-User", "Impersonate-Uid", "Impersonate-Group", "impersonate-extra-"
_API = "authentication.k8s.io"


def impersonates(headers: Mapping[str, str]) -> bool:
    """Whether a request is to be made in another's name."""
    return _USER in headers or _GROUP in headers or _UID in headers


def impersonated(headers: CIMultiDictProxy[str], asking: User) -> tuple[User, list[Attributes]]:
    """In whose name a request is, and what `asking` has to be allowed for that: all of it.

    Raises:
        StatusError: 400, there are groups or the like without a user.
    """
    name = headers.get(_USER, "")
    if not name:
        raise bad_request("a request to impersonate a group, a uid or the like has to name a user")
    groups, uid = headers.getall(_GROUP, []), headers.get(_UID, "")
    extra: dict[str, list[str]] = {}
    for key, value in headers.items():
        if key.lower().startswith(_EXTRA):
            extra.setdefault(unquote(key[len(_EXTRA) :]).lower(), []).append(value)
    wanted = [_of_user(asking, name)]
    wanted += [Attributes(asking, "impersonate", "", "groups", name=group) for group in groups]
    if uid:
        wanted.append(Attributes(asking, "impersonate", _API, "uids", name=uid))
    wanted += [
        Attributes(asking, "impersonate", _API, "userextras", key, name=value)
        for key, values in extra.items()
        for value in values
    ]
    return User(name, uid, _groups(name, groups), extra), wanted


def _of_user(asking: User, name: str) -> Attributes:
    if name.startswith(ACCOUNT_PREFIX):
        namespace, _, account = name.removeprefix(ACCOUNT_PREFIX).partition(":")
        return Attributes(asking, "impersonate", "", "serviceaccounts", namespace=namespace, name=account)
    return Attributes(asking, "impersonate", "", "users", name=name)


def _groups(name: str, groups: list[str]) -> tuple[str, ...]:
    if name == ANONYMOUS.name:
        return tuple(groups) or ANONYMOUS.groups
    if not groups and name.startswith(ACCOUNT_PREFIX):
        return groups_of_account(name.removeprefix(ACCOUNT_PREFIX).partition(":")[0])
    return tuple(dict.fromkeys((*groups, AUTHENTICATED)))
