"""The index of every table, for Alembic."""

from ansible_api.credentials.model import Credential, JobSecret
from ansible_api.db import Base
from ansible_api.deliveries.model import Delivery, DeliveryAttempt, SlowReceiver, WebhookSecret
from ansible_api.jobs.model import IdempotencyKey, Job, JobHost, JobLabel, JobObject
from ansible_api.keys.model import ApiKey

__all__ = [
    "ApiKey",
    "Base",
    "Credential",
    "Delivery",
    "DeliveryAttempt",
    "IdempotencyKey",
    "Job",
    "JobHost",
    "JobLabel",
    "JobObject",
    "JobSecret",
    "SlowReceiver",
    "WebhookSecret",
]

metadata = Base.metadata
