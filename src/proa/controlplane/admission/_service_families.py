"""Of which address families a service is, in a cluster that has IPv4 only. Pure.

https://kubernetes.io/docs/concepts/services-networking/dual-stack/
"""

from __future__ import annotations

import ipaddress

from proa.controlplane._errors import Cause, invalid_value
from proa.controlplane._json import Document

FAMILY = "IPv4"
_POLICY = "spec.ipFamilyPolicy"


def settle_families(spec: Document, old: Document | None) -> list[Cause]:
    """Gives a service the families and the policy that it leaves out; what is wrong with those it has."""
    if old is not None and _stays_preferring(spec, old):
        return []
    selectorless = spec.get("clusterIP") == "None" and not spec.get("selector")
    default = "RequireDualStack" if selectorless else "SingleStack"
    policy = str(spec.setdefault("ipFamilyPolicy", (old or {}).get("ipFamilyPolicy", default)))
    found = _change(spec, old, policy) if old is not None else []
    if policy == "SingleStack":
        for field, what in (("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")):
            if len(spec.get(field, ())) == 2:
                why = f"must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
                found.append(invalid_value(_POLICY, policy, why))
    found += _infer(spec)
    if found:
        return found
    if selectorless:
        families = spec.setdefault("ipFamilies", [FAMILY])
        if len(families) == 1 and policy != "SingleStack":
            spec["ipFamilies"] = [*families, "IPv6" if families[0] == FAMILY else FAMILY]
        return []
    if policy == "RequireDualStack":
        why = "this cluster is not configured for dual-stack services"
        found.append(invalid_value(_POLICY, policy, why))
    found += [
        invalid_value(f"spec.ipFamilies[{index}]", family, "not configured on this cluster")
        for index, family in enumerate(spec.get("ipFamilies", ()))
        if family != FAMILY
    ]
    if not found:
        spec.setdefault("ipFamilies", [FAMILY])
    return found


def _stays_preferring(spec: Document, old: Document) -> bool:
    fields = ("ipFamilyPolicy", "clusterIPs", "ipFamilies")
    same = all(spec.get(field) == old.get(field) for field in fields)
    return same and spec.get("ipFamilyPolicy") == "PreferDualStack"


def _change(spec: Document, old: Document, policy: str) -> list[Cause]:
    """With one family wanted, what was the second goes; with two, it cannot just be left out."""
    found = []
    for field, what in (("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")):
        new, was = spec.get(field, []), old.get(field, [])
        if policy == "SingleStack" and new == was and len(new) > 1:
            spec[field] = new[:1]
        elif policy != "SingleStack" and new and len(new) < len(was):
            why = f"must be 'SingleStack' to release the secondary {what}"
            found.append(invalid_value(_POLICY, policy, why))
    return found


def _infer(spec: Document) -> list[Cause]:
    """Addresses that a service asks for say of which families it is."""
    found = []
    addresses, families = spec.get("clusterIPs", []), list(spec.get("ipFamilies", ()))
    for index, address in enumerate(addresses):
        family = _family(address)
        if index < len(families) or not family:
            continue
        if family == FAMILY:
            families.append(family)
        else:
            why = f"{family} is not configured on this cluster"
            found.append(invalid_value(f"spec.clusterIPs[{index}]", addresses, why))
    if families:
        spec["ipFamilies"] = families
    return found


def _family(address: str) -> str:
    try:
        return f"IPv{ipaddress.ip_address(address).version}"
    except ValueError:
        return ""  # headless, or refused for what it is
