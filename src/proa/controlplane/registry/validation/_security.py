"""Security contexts, of pods and of containers. Pure."""

from __future__ import annotations

import re
from typing import Any

from proa.controlplane._errors import (
    Cause,
    duplicate,
    forbidden,
    invalid_value,
    not_supported,
    required,
    too_long,
)
from proa.controlplane._json import Document
from proa.controlplane.registry._checks import Check, named, one_of
from proa.controlplane.registry._names import dns_subdomain, user_id

from ._parts import each, relative_path

_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_SYSCTL = re.compile(r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?")
_IPC = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")
_POD_FORBIDDEN_ON_WINDOWS = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls",
    "runAsUser", "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy", "seLinuxChangePolicy",
)  # fmt: skip
_SPEC_FORBIDDEN_ON_WINDOWS = ("hostUsers", "hostPID", "hostIPC", "shareProcessNamespace")
_FORBIDDEN_ON_WINDOWS = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem",
    "privileged", "allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup",
)  # fmt: skip


def _identifier(value: Any, path: str) -> list[Cause]:
    return [] if value is None else [invalid_value(path, value, why) for why in user_id(value)]


def _identifiers(value: Any, path: str) -> list[Cause]:
    return [
        cause for index, item in enumerate(value or ()) for cause in _identifier(item, f"{path}[{index}]")
    ]


def _profile_type(profile: Any, path: str) -> list[Cause]:
    kind = profile.get("type", "")
    if not kind:
        return [required(f"{path}.type", "type is required when a profile is set")]
    return [] if kind in _PROFILES else [not_supported(f"{path}.type", kind, _PROFILES)]


def _seccomp(profile: Any, path: str) -> list[Cause]:
    local, at = profile.get("localhostProfile"), f"{path}.localhostProfile"
    found = _profile_type(profile, path)
    if profile.get("type") == "Localhost":
        why = "must be set when seccomp type is Localhost"
        return found + ([required(at, why)] if local is None else relative_path(local, at))
    if local is not None:
        found.append(invalid_value(at, profile, "can only be set when seccomp type is Localhost"))
    return found


def _app_armor(profile: Any, path: str) -> list[Cause]:
    kind, local = profile.get("type", ""), profile.get("localhostProfile")
    at = f"{path}.localhostProfile"
    if kind != "Localhost":
        found = _profile_type(profile, path)
        if kind in _PROFILES and local is not None:
            found.append(invalid_value(at, local, "can only be set when AppArmor type is Localhost"))
        return found
    if local is None:
        return [required(at, "must be set when AppArmor type is Localhost")]
    found = []
    if local.strip() != local:
        found.append(invalid_value(at, local, "must not be padded with whitespace"))
    elif not local:
        found.append(required(at, "must be set when AppArmor type is Localhost"))
    return found + ([too_long(at, 4095)] if len(local) > 4095 else [])


def _windows(options: Any, path: str) -> list[Cause]:
    found, text, user = [], options.get("gmsaCredentialSpec"), options.get("runAsUserName")
    if text is not None and not 0 < len(text) <= 64 * 1024:
        found.append(invalid_value(f"{path}.gmsaCredentialSpec", "", "must have between 1 and 65536 bytes"))
    if user is not None and (not user or user.count("\\") > 1 or re.search(r"[\x00-\x1f\x7f]", user)):
        why = "must be a user's name, with at most one domain in front of a backslash"
        found.append(invalid_value(f"{path}.runAsUserName", user, why))
    return found


def _container(context: Any, path: str) -> list[Cause]:
    if context.get("allowPrivilegeEscalation") is not False:
        return []
    found = []
    if context.get("privileged"):
        why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        found.append(invalid_value(path, context, why))
    for capability in (context.get("capabilities") or {}).get("add", ()):
        if capability == "CAP_SYS_ADMIN":
            why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            found.append(invalid_value(path, context, why))
    return found


def unmasked(context: Document, path: str) -> list[Cause]:
    """A container sees all of /proc only if its users are not the host's."""
    if context.get("procMount") != "Unmasked":
        return []
    return [invalid_value(f"{path}.procMount", "Unmasked", "`hostUsers` must be false to use `Unmasked`")]


def pod_context(spec: Document, path: str) -> list[Cause]:
    """What of a pod's security context depends on the rest of its spec."""
    context, found = spec.get("securityContext") or {}, []
    at = f"{path}.securityContext"
    names: set[str] = set()
    for sysctl, where in each(context, "sysctls", at):
        name = sysctl.get("name", "")
        if not name:
            found.append(required(f"{where}.name"))
        elif len(name) > 253 or not _SYSCTL.fullmatch(name):
            found.append(invalid_value(f"{where}.name", name, "must be the name of a sysctl"))
        elif name in names:
            found.append(duplicate(f"{where}.name", name))
        names.add(name)
        plain = name.replace("/", ".")
        if spec.get("hostNetwork") and plain.startswith("net."):
            found.append(invalid_value(f"{where}.name", name, "may not be set when 'hostNetwork' is true"))
        elif spec.get("hostIPC") and plain.startswith(_IPC):
            found.append(invalid_value(f"{where}.name", name, "may not be set when 'hostIPC' is true"))
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        why = "ShareProcessNamespace and HostPID cannot both be enabled"
        found.append(invalid_value(f"{at}.shareProcessNamespace", True, why))
    if spec.get("hostUsers") is False:
        for name, field in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
            if spec.get(name):
                found.append(forbidden(f"{path}.{field}", "when `pod.Spec.HostUsers` is false"))
    return found


def operating_system(spec: Document, path: str) -> list[Cause]:
    """A pod's system is one of two, and nothing is set that the other has."""
    if "os" not in spec:
        return []
    name = spec["os"].get("name", "")
    if not name:
        return [required(f"{path}.os.name", "cannot be empty")]
    if name not in {"linux", "windows"}:
        return [not_supported(f"{path}.os", name, ("linux", "windows"))]
    linux = name == "linux"
    why = "windows options cannot be set for a linux pod" if linux else "cannot be set for a windows pod"
    own: tuple[str, ...] = ("windowsOptions",) if linux else _POD_FORBIDDEN_ON_WINDOWS
    found = _set(spec.get("securityContext"), own, f"{path}.securityContext", why)
    if not linux:
        found += _set(spec, _SPEC_FORBIDDEN_ON_WINDOWS, path, why)
    own = ("windowsOptions",) if linux else _FORBIDDEN_ON_WINDOWS
    for group in ("initContainers", "containers", "ephemeralContainers"):
        for container, at in each(spec, group, path):
            found += _set(container.get("securityContext"), own, f"{at}.securityContext", why)
    return found


def _set(holder: Document | None, fields: tuple[str, ...], path: str, why: str) -> list[Cause]:
    return [forbidden(f"{path}.{field}", why) for field in fields if field in (holder or {})]


_USER: dict[str, tuple[Check, ...]] = {"runAsUser": (_identifier,), "runAsGroup": (_identifier,)}
RULES: dict[str, dict[str, tuple[Check, ...]]] = {
    "core.v1.SecurityContext": {
        "": (_container,),
        "procMount": (one_of("Default", "Unmasked"),),
        **_USER,
    },
    "core.v1.PodSecurityContext": {
        **_USER,
        "fsGroup": (_identifier,),
        "supplementalGroups": (_identifiers,),
        "fsGroupChangePolicy": (one_of("Always", "OnRootMismatch"),),
        "supplementalGroupsPolicy": (one_of("Merge", "Strict"),),
        "seLinuxChangePolicy": (one_of("MountOption", "Recursive"),),
    },
    "core.v1.SeccompProfile": {"": (_seccomp,)},
    "core.v1.AppArmorProfile": {"": (_app_armor,)},
    "core.v1.WindowsSecurityContextOptions": {
        "": (_windows,),
        "gmsaCredentialSpecName": (named(dns_subdomain),),
    },
}
