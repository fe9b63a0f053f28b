"""A container's environment, from all the places that Kubernetes lets it come from. Pure."""

import re
from collections.abc import Mapping
from typing import Final

from proa.kube.models.core_v1 import Container, EnvFromSource, EnvVar, EnvVarSource
from proa.kubelet._expansion import expand
from proa.kubelet._fields import PodFields
from proa.kubelet._references import Referenced
from proa.kubelet.errors import ContainerConfigError

_NAME: Final = re.compile(r"[ -<>-~]+")
"""What Kubernetes allows in a name: printable ASCII without `=`."""


def environment(
    container: Container, referenced: Referenced, fields: PodFields, links: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Make the environment.

    `envFrom` comes first, then `env` in its order; what is later wins. `$(NAME)` in a value stands for a
    variable defined before it.

    Args:
        container: Whose environment it is.
        referenced: What was found of the config maps and secrets that it refers to.
        fields: The pod's own facts, for `fieldRef` and `resourceFieldRef`.
        links: The variables that tell of Services: what the container sets itself wins.

    Raises:
        ContainerConfigError: Something that is not optional is missing.
    """
    variables = {**(links or {}), "HOSTNAME": fields.hostname}
    for source in container.env_from:
        variables |= _all_of(source, referenced, fields.namespace)
    for variable in container.env:
        value = _value(variable, variables, referenced, fields, container)
        if value is not None:
            variables[variable.name] = value
    return variables


def _all_of(source: EnvFromSource, referenced: Referenced, namespace: str) -> dict[str, str]:
    data: Mapping[str, str] | None = None
    if (ref := source.config_map_ref) is not None:
        data = _config_map_data(referenced, ref.name or "", namespace, optional=bool(ref.optional))
    elif (secret_ref := source.secret_ref) is not None:
        data = _secret_data(referenced, secret_ref.name or "", namespace, optional=bool(secret_ref.optional))
    prefix = source.prefix or ""
    return {prefix + key: value for key, value in (data or {}).items() if _NAME.fullmatch(prefix + key)}


def _value(
    variable: EnvVar,
    variables: Mapping[str, str],
    referenced: Referenced,
    fields: PodFields,
    container: Container,
) -> str | None:
    if variable.value_from is None:
        return expand(variable.value or "", variables)
    return _value_from(variable.name, variable.value_from, referenced, fields, container)


def _value_from(
    name: str, source: EnvVarSource, referenced: Referenced, fields: PodFields, container: Container
) -> str | None:
    if (field := source.field_ref) is not None:
        return fields.value(field.field_path)
    if (resource := source.resource_field_ref) is not None:
        return fields.resource(resource, container)
    if (key := source.config_map_key_ref) is not None:
        optional = bool(key.optional)
        config_map = _config_map_data(referenced, key.name or "", fields.namespace, optional=optional)
        return _key(config_map, key.key, f"ConfigMap {fields.namespace}/{key.name}", optional=optional)
    if (secret := source.secret_key_ref) is not None:
        optional = bool(secret.optional)
        data = _secret_data(referenced, secret.name or "", fields.namespace, optional=optional)
        return _key(data, secret.key, f"Secret {fields.namespace}/{secret.name}", optional=optional)
    raise ContainerConfigError(f"env {name}: Proa does not support this kind of valueFrom")


def _config_map_data(
    referenced: Referenced, name: str, namespace: str, *, optional: bool
) -> Mapping[str, str] | None:
    found = referenced.config_maps.get(name)
    if found is None and not optional:
        raise ContainerConfigError(f'configmap "{name}" not found in namespace "{namespace}"')
    return found.data if found is not None else None


def _secret_data(
    referenced: Referenced, name: str, namespace: str, *, optional: bool
) -> Mapping[str, str] | None:
    found = referenced.secrets.get(name)
    if found is None and not optional:
        raise ContainerConfigError(f'secret "{name}" not found in namespace "{namespace}"')
    if found is None:
        return None
    # WASI's environment is text. Bytes that are none are passed on as far as text can carry them.
    return {key: value.decode("utf-8", "replace") for key, value in found.data.items()}


def _key(data: Mapping[str, str] | None, key: str, where: str, *, optional: bool) -> str | None:
    if data is None or (optional and key not in data):
        return None
    if key not in data:
        raise ContainerConfigError(f"couldn't find key {key} in {where}")
    return data[key]
