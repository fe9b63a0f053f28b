"""Webhooks: functions that validate, change and convert objects before the API server stores them.

`Webhooks` collects the functions, `WebhookServer` serves them; start reading there. Each function gets a
`Request`, and raises `DeniedError` to refuse.
"""

from proa.runtime.admission._reviews import DeniedError, Operation, Request, ReviewError
from proa.runtime.admission._server import Service, WebhookServer
from proa.runtime.admission._webhooks import Webhook, Webhooks

__all__ = [
    "DeniedError",
    "Operation",
    "Request",
    "ReviewError",
    "Service",
    "Webhook",
    "WebhookServer",
    "Webhooks",
]
