"""What handlers ask for: the opened parts of the service, and the caller with the role that the call needs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import anyio
import redis.asyncio
from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from structlog.contextvars import bind_contextvars

from ansible_api.api.feed import Feeder
from ansible_api.api.metrics import QueueMetrics
from ansible_api.api.publish import Publisher
from ansible_api.credentials.cipher import Cipher
from ansible_api.db import AsyncDatabase
from ansible_api.dispatch import CeleryQueue
from ansible_api.errors import Forbidden, Unauthenticated
from ansible_api.keys import store as keys
from ansible_api.keys.model import Role
from ansible_api.keys.store import Holder
from ansible_api.objects import ObjectStore
from ansible_api.settings import Settings


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that a process of the API has opened."""

    settings: Settings
    db: AsyncDatabase
    redis: "redis.asyncio.Redis"
    objects: ObjectStore
    cipher: Cipher
    queue: CeleryQueue
    publisher: Publisher
    feeder: Feeder
    queue_metrics: QueueMetrics
    probes: anyio.CapacityLimiter  # threads that ask the broker whether it is there
    trials: anyio.CapacityLimiter  # threads that try credentials out


async def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


Service = Annotated[Parts, Depends(_parts)]


_bearer = HTTPBearer(auto_error=False, description="an API key: `Authorization: Bearer aak_…`")
Bearer: TypeAlias = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]


def _with_role(needed: Role) -> Callable[[Parts, HTTPAuthorizationCredentials | None], Awaitable[Holder]]:
    async def caller(service: Service, given: Bearer) -> Holder:
        if given is None:
            raise Unauthenticated
        holder = await service.db.read(keys.authenticate, given.credentials)
        bind_contextvars(key_id=holder.key_id, team=holder.team)
        if not holder.role.includes(needed):
            raise Forbidden(f"this takes the role {needed}; this API key has the role {holder.role}")
        return holder

    return caller


Viewer = Annotated[Holder, Depends(_with_role(Role.VIEWER))]
Submitter = Annotated[Holder, Depends(_with_role(Role.SUBMITTER))]
Admin = Annotated[Holder, Depends(_with_role(Role.ADMIN))]


async def _operator(service: Service, caller: Admin) -> Holder:
    """What concerns all teams is for the admins of one of them."""
    if caller.team != service.settings.operator_team:
        raise Forbidden(f"this concerns all teams: it takes an admin of the team {service.settings.operator_team}")
    return caller


Operator = Annotated[Holder, Depends(_operator)]
