"""Sending Standard Webhooks (standardwebhooks.com, the specification of 2023): the headers `webhook-id`, `webhook-timestamp` and
`webhook-signature`. When to send what, and how often, is in `app.services.webhooks`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time

from app import log, trace
from app.errors import Unavailable

TIMEOUT_SECONDS = 10.0
SECRET_PREFIX = "whsec_"  # noqa: S105 - what secrets begin with, not one


class HttpxWebhooks:
    """`app.ports.WebhookSender`. Redirects are not followed: a webhook goes where the operator said and nowhere else."""

    def __init__(self, secret: str) -> None:
        """`secret` is `whsec_` and base64, as receivers know it; empty: nothing is signed."""
        self._key = base64.b64decode(secret.removeprefix(SECRET_PREFIX)) if secret else b""

    def send(self, url: str, delivery_id: str, body: bytes) -> None:
        import httpx  # late: it is slow to load, and few installations have a receiver

        timestamp = str(int(time.time()))
        headers = {"Content-Type": "application/json", "webhook-id": delivery_id, "webhook-timestamp": timestamp}
        trace_id = log.current_labels().get("trace_id")
        if trace_id:
            headers[trace.HEADER] = trace.parent(trace_id)
        if self._key:
            headers["webhook-signature"] = self.signature(delivery_id, timestamp, body)
        try:
            answer = httpx.post(url, content=body, headers=headers, timeout=TIMEOUT_SECONDS, follow_redirects=False)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable("webhook_failed", f"The receiver did not answer: {type(error).__name__}.") from error
        if not answer.is_success:
            raise Unavailable("webhook_failed", f"The receiver answered {answer.status_code}.")

    def signature(self, delivery_id: str, timestamp: str, body: bytes) -> str:
        """Return `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`."""
        signed = b".".join((delivery_id.encode(), timestamp.encode(), body))
        return "v1," + base64.b64encode(hmac.new(self._key, signed, hashlib.sha256).digest()).decode()
