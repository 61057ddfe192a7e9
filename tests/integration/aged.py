"""Jobs that ended long ago, with their objects, for the tests of retention."""

from typing import Any

from pydantic import SecretStr
from sqlalchemy import select

from ansible_api.db import Database, now_plus
from ansible_api.events import keys
from ansible_api.jobs import closing, store
from ansible_api.jobs.model import Job, JobObject
from ansible_api.jobs.state import LogStatus, Status
from ansible_api.objects import ObjectStore, with_store
from ansible_api.settings import Settings
from ansible_api.tasks.retention import Retention
from tests.integration.rows import past, put, running
from tests.servers.s3 import S3Bucket

DAY = 86_400.0


def on_s3(settings: Settings, bucket: S3Bucket) -> Settings:
    place = {
        "s3_bucket": bucket.name,
        "s3_endpoint_url": bucket.endpoint_url,
        "s3_access_key_id": bucket.access_key_id,
        "s3_secret_access_key": SecretStr(bucket.secret_access_key),
    }
    return settings.model_copy(update={**place, "objects_dir": None})


def keep(settings: Settings, *names: str) -> None:
    async def put_all(objects: ObjectStore) -> None:
        for name in names:
            await objects.put(name, b"x")

    with_store(settings, put_all)


def kept(settings: Settings) -> set[str]:
    """The jobs that have any object."""

    async def look(objects: ObjectStore) -> set[str]:
        return {key.split("/")[1] async for key in objects.keys("jobs/")}

    return with_store(settings, look)


def there(db: Database) -> set[str]:
    return set(db.read(lambda session: session.scalars(select(Job.id)).all()))


def closed(
    db: Database,
    settings: Settings,
    days: float,
    *,
    retain_days: int | None = None,
    status: str = "stored",
    **more: Any,
) -> str:
    """A job that was closed so many days ago, with a log, events and a file."""
    fence = running(db)
    job_id, given = fence.job_id, db.read(store.get, fence.job_id)
    assert given is not None
    put(db, job_id, spec={**given.spec, "options": {} if retain_days is None else {"retain_days": retain_days}})
    db.write(store.add_labels, given, {"env": "prod"})
    db.write(store.save_hosts, fence, {"web1": {"ok": 1}})
    db.write(store.finish, fence, Status.SUCCESSFUL, events=1)
    names = [keys.log_object(job_id, 1), keys.events_object(job_id, 1), keys.artifact(job_id, 1, 0)]
    keep(settings, *names)
    products = [
        JobObject(job_id=job_id, attempt=1, kind=kind, key=name, size=1, sha256="x", created_at=now_plus())
        for kind, name in zip(("log", "events"), names, strict=False)
    ]
    assert db.write(closing.close, job_id, 1, log_status=LogStatus(status), events=1, products=products)
    aged = {"closed_at": past(days * DAY), "finished_at": past(days * DAY)}
    if retain_days is not None:
        aged["log_expires_at"] = past((days - retain_days) * DAY)
    put(db, job_id, **(aged | more))
    return job_id


def rounds(db: Database, settings: Settings) -> None:
    """As many as there is work for."""
    work = Retention(db, settings)
    while work.round():
        pass
