"""Webhooks: look at one, and have it sent again."""

from fastapi import APIRouter
from sqlalchemy.orm import Session
from starlette.responses import Response

from ansible_api.api import PREFIX
from ansible_api.api.answers import answer
from ansible_api.api.deps import Service, Submitter, Viewer
from ansible_api.api.openapi import problems
from ansible_api.deliveries import store
from ansible_api.deliveries.schemas import DeliveryView, delivery_view

router = APIRouter(prefix=f"{PREFIX}/deliveries", tags=["webhooks"])


@router.get("/{delivery_id}", response_model=DeliveryView, responses=problems(401, 403, 404, 503))
async def show(caller: Viewer, service: Service, delivery_id: str) -> Response:
    """One webhook, with every attempt."""
    return answer(await service.db.read(_shown, caller.team, delivery_id))


def _shown(session: Session, team: str, delivery_id: str) -> DeliveryView:
    row = store.get_of_team(session, team, delivery_id)
    return delivery_view(row, store.attempts_of(session, delivery_id))


@router.post(
    "/{delivery_id}/redeliver",
    status_code=202,
    response_model=DeliveryView,
    responses=problems(401, 403, 404, 409, 503),
)
async def redeliver(caller: Submitter, service: Service, delivery_id: str) -> Response:
    """Send a webhook again at once, with the same webhook-id and its schedule from the start.

    One that is being sent just now stays as it is, so that asking twice sends it once.
    """
    again = await service.db.write(_again, caller.team, delivery_id)
    if not again.sending:
        await service.publisher.deliver(delivery_id)
    return answer(again, 202)


def _again(session: Session, team: str, delivery_id: str) -> DeliveryView:
    row = store.redeliver(session, team, delivery_id)
    return delivery_view(row, store.attempts_of(session, delivery_id))
