"""Where a container sees its pod's volumes. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from proa.controlplane._errors import Cause, forbidden, invalid_value, required, value_not_found
from proa.controlplane._json import Document
from proa.controlplane.registry._checks import one_of

from ._parts import each, no_backsteps, relative_path


def mounts(container: Document, path: str, volumes: Mapping[str, Document]) -> list[Cause]:
    """A container's volume mounts."""
    found: list[Cause] = []
    points: set[str] = set()
    attached = container.get("volumeDevices", ())
    everywhere = f"{path}.volumeMounts"
    for mount, at in each(container, "volumeMounts", path):
        name, point = mount.get("name", ""), mount.get("mountPath", "")
        found += [] if name else [required(f"{at}.name")]
        found += [] if name in volumes else [value_not_found(f"{at}.name", name)]
        found += [] if point else [required(f"{at}.mountPath")]
        if point in points:
            found.append(invalid_value(f"{at}.mountPath", point, "must be unique"))
        points.add(point)
        if any(device.get("name", "") == name for device in attached):
            found.append(invalid_value(f"{at}.name", name, "must not already exist in volumeDevices"))
        if any(device.get("devicePath", "") == point for device in attached):
            why = "must not already exist as a path in volumeDevices"
            found.append(invalid_value(f"{at}.mountPath", point, why))
        if "subPath" in mount or "subPathExpr" in mount:
            found += _sub_paths(mount, at, everywhere)
        if "mountPropagation" in mount or "recursiveReadOnly" in mount:
            found += _propagation(mount, container, everywhere)
    return found


def _sub_paths(mount: Document, path: str, everywhere: str) -> list[Cause]:
    """Kubernetes names the list of mounts where a path is wrong, not the mount."""
    plain, expression = mount.get("subPath", ""), mount.get("subPathExpr", "")
    found = relative_path(plain, f"{everywhere}.subPath")
    if expression and plain:
        why = "subPathExpr and subPath are mutually exclusive"
        found.append(invalid_value(f"{path}.subPathExpr", expression, why))
    return found + relative_path(expression, f"{everywhere}.subPathExpr")


def _propagation(mount: Document, container: Document, everywhere: str) -> list[Cause]:
    mode, at = mount.get("mountPropagation"), f"{everywhere}.mountPropagation"
    found = one_of("Bidirectional", "HostToContainer", "None")(mode, at)
    if mode == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
        found.append(forbidden(at, "is available only to privileged containers"))
    recursive, at = mount.get("recursiveReadOnly"), f"{everywhere}.recursiveReadOnly"
    found += one_of("Disabled", "Enabled", "IfPossible")(recursive, at)
    if recursive in {"Enabled", "IfPossible"}:
        if not mount.get("readOnly"):
            found.append(forbidden(at, "may only be specified when readOnly is true"))
        if mode not in {None, "None"}:
            found.append(forbidden(at, "may only be specified when mountPropagation is None"))
    return found


def devices(container: Document, path: str, volumes: Mapping[str, Document]) -> list[Cause]:
    """A container's block devices."""
    found: list[Cause] = []
    seen: set[str] = set()
    places: set[str] = set()
    mounted = container.get("volumeMounts", ())
    for device, at in each(container, "volumeDevices", path):
        name, place = device.get("name", ""), device.get("devicePath", "")
        found += [] if name else [required(f"{at}.name")]
        wrong = {
            "must be unique": name in seen,
            "must be a volume of a claim for block mode": name in volumes
            and not {"persistentVolumeClaim", "ephemeral"} & volumes[name].keys(),
            "must not already exist in volumeMounts": any(one.get("name", "") == name for one in mounted),
        }
        found += [invalid_value(f"{at}.name", name, why) for why, holds in wrong.items() if holds]
        found += [] if name in volumes else [value_not_found(f"{at}.name", name)]
        found += [] if place else [required(f"{at}.devicePath")]
        wrong = {
            "must be unique": place in places,
            "can not contain backsteps ('..')": bool(no_backsteps(place, at)),
            "must not already exist as a path in volumeMounts": any(
                one.get("mountPath", "") == place for one in mounted
            ),
        }
        found += [invalid_value(f"{at}.devicePath", place, why) for why, holds in wrong.items() if holds]
        seen.add(name)
        places.add(place)
    return found
