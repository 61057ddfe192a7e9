"""Signing secrets of the caller's team: make and list; the two newest sign."""

from fastapi import APIRouter
from sqlalchemy.orm import Session
from starlette.responses import Response

from ansible_api.api import PREFIX
from ansible_api.api.answers import answer
from ansible_api.api.deps import Admin, Service
from ansible_api.api.openapi import problems
from ansible_api.credentials.cipher import Cipher
from ansible_api.deliveries import secrets
from ansible_api.deliveries.schemas import NewSecret, SecretList, SecretView

router = APIRouter(prefix=f"{PREFIX}/webhook-secrets", tags=["webhooks"])


@router.post("", status_code=201, response_model=NewSecret, responses=problems(401, 403, 503))
async def make_secret(caller: Admin, service: Service) -> Response:
    """Make a new signing secret. It is shown in this answer and never again; the one before stays valid beside it."""
    made = await service.db.write(_made, service.cipher, caller.team)
    return answer(made, 201, {"Cache-Control": "no-store"})


def _made(session: Session, cipher: Cipher, team: str) -> NewSecret:
    row, secret = secrets.create_secret(session, cipher, team)
    return NewSecret(id=row.id, created_at=row.created_at, secret=secret.get_secret_value())


@router.get("", response_model=SecretList, responses=problems(401, 403, 503))
async def list_secrets(caller: Admin, service: Service) -> Response:
    """The secrets that sign now, without their values."""
    rows = await service.db.read(secrets.list_secrets, caller.team)
    return answer(SecretList(items=[SecretView.model_validate(row) for row in rows]))
