"""Secrets and signatures of webhooks, as Standard Webhooks has them (standardwebhooks.com): `v1`, HMAC-SHA256."""

import base64
import os
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from standardwebhooks import Webhook as Signer

SECRET_BYTES = 32  # the specification wants 24 to 64


def new_webhook_secret() -> str:
    """`whsec_` and 32 random bytes in Base64."""
    return "whsec_" + base64.b64encode(os.urandom(SECRET_BYTES)).decode()


def message_id(event_id: UUID) -> str:
    """`webhook-id`: the same at each attempt, by which a receiver tells a message it has had."""
    return f"msg_{event_id.hex}"


def signed_headers(secrets: Sequence[str], id: str, body: str, *, at: datetime) -> dict[str, str]:
    """The three headers of a message sent at that instant. While a secret is rotated there are two signatures."""
    return {
        "webhook-id": id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Signer(secret).sign(id, at, body) for secret in secrets),
    }
