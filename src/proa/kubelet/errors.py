"""What can go wrong in the kubelet.

::

    KubeletError
    ├── ContainerConfigError   a container's environment, arguments or mounts cannot be made
    ├── VolumeError            a volume cannot be provided
    ├── ActionError            a probe or a hook did not succeed
    ├── ImageNeverPullError    the image is not here and must not be pulled
    └── LogQueryError          a log request that makes no sense
"""

from proa.app import ProaError


class KubeletError(ProaError):
    """Base of the kubelet's errors. What concerns one pod becomes its status and an Event, never more."""


class ContainerConfigError(KubeletError):
    """Something that a container's spec refers to is missing or wrong. Tried again with back-off."""


class VolumeError(KubeletError):
    """A volume cannot be provided, now or ever. Tried again with back-off."""


class ActionError(KubeletError):
    """What a probe or hook asked for was refused, failed or not to be had."""


class ImageNeverPullError(KubeletError):
    """`imagePullPolicy: Never`, and the image is not on the node."""


class LogQueryError(KubeletError):
    """A log request asks for something that cannot be; answered with 400."""
