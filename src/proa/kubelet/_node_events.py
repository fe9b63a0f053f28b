"""Events about the node itself."""

from typing import Literal

from proa.kube.models.core_v1 import ObjectReference
from proa.runtime import Recorder


class NodeEvents:
    """Records Events about a node.

    Args:
        recorder: How.
        name: The node's name, which stands for its uid as well: so `kubectl describe node` finds them.
    """

    def __init__(self, recorder: Recorder, name: str) -> None:
        self._recorder = recorder
        self._node = ObjectReference(api_version="v1", kind="Node", name=name, uid=name)

    def event(self, reason: str, message: str, type: Literal["Normal", "Warning"] = "Normal") -> None:  # noqa: A002 - the field's name
        """Record one; never blocks and never fails."""
        self._recorder.event(self._node, reason=reason, message=message, type=type)
