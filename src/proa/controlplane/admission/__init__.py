"""Who has a say in a write, besides the rules of its type: what depends on other objects and on who asks.

Each plug-in is a function (or a small class that has what it must look at) from a `Review` to nothing: it
changes the new object, or refuses with a StatusError. `Chain` runs those that are concerned, in order;
`admission` lists them all. `Webhooks`, `Policies` and `MutatingPolicies` are asked by the chain as well;
`QuotaKeeper` counts what quotas limit. Start reading at `_plugins.py`.
"""

from ._chain import Chain
from ._mutating_policies import MutatingPolicies
from ._plugins import admission
from ._policies import Policies
from ._priority import PRIORITIES
from ._quota_room import QuotaKeeper
from ._versions import Versions
from ._webhook_client import WebhookClient
from ._webhooks import Webhooks

__all__ = [
    "PRIORITIES",
    "Chain",
    "MutatingPolicies",
    "Policies",
    "QuotaKeeper",
    "Versions",
    "WebhookClient",
    "Webhooks",
    "admission",
]
