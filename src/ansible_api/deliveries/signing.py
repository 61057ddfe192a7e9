"""Signatures as Standard Webhooks define them, with every secret that is valid now."""

import base64
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime

from pydantic import SecretStr
from standardwebhooks import Webhook

PREFIX = "whsec_"
SECRET_BYTES = 32


def make_secret() -> SecretStr:
    """A new signing secret, in the form that receivers' libraries take."""
    return SecretStr(PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode())


def signed_headers(
    message_id: str, time: datetime, body: str, signing_secrets: Sequence[SecretStr]
) -> Mapping[str, str]:
    """The headers of one attempt: receivers may verify with any of the secrets."""
    signatures = [Webhook(secret.get_secret_value()).sign(message_id, time, body) for secret in signing_secrets]
    return {
        "content-type": "application/json",
        "user-agent": "ansible-api",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(time.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
