"""Storing a product of a job ends with a result, whatever the events look like and wherever the object store is."""

import time
from typing import Any

import pytest
from pydantic import SecretStr

from ansible_api.db import Database
from ansible_api.events import keys
from ansible_api.events.types import Place
from ansible_api.jobs import store
from ansible_api.jobs.state import Status
from ansible_api.objects import s3
from ansible_api.redis import client
from ansible_api.settings import Settings
from ansible_api.tasks import upload
from ansible_api.tasks.upload import outcome
from tests.integration.rows import running
from tests.integration.spools import event
from tests.servers.processes import free_port
from tests.servers.s3 import S3Bucket, S3Server


def test_an_event_that_nobody_can_read_fails_the_upload_and_not_the_closing(
    settings: Settings, db: Database, redis_url: str
) -> None:
    with client(redis_url) as redis:
        redis.xadd(keys.stream("job-1", 1), {keys.EVENT_FIELD: b'{"seq": 1, "broken'}, id="1-0")

    tuned = settings.model_copy(update={"redis_url": SecretStr(redis_url)})

    assert outcome(tuned, db, "job-1", 1, "log") == {"kind": "log", "status": "failed", "expected": None}


def upload_to(bucket: S3Bucket, settings: Settings, db: Database, redis_url: str) -> tuple[dict[str, Any], float]:
    """What became of the log of an ended job with one event, and after how many seconds."""
    fence = running(db)
    db.write(store.finish, fence, Status.SUCCESSFUL, events=1)
    line = event(1).to_line()
    with client(redis_url) as redis:
        place = Place().after(line, event(1).text_size())
        fields = {keys.EVENT_FIELD: line, keys.PLACE_FIELD: b"%d %d" % place[1:]}
        redis.xadd(keys.stream(fence.job_id, 1), fields, id="1-0")
    changed = {
        "redis_url": SecretStr(redis_url),
        "objects_dir": None,
        "s3_bucket": bucket.name,
        "s3_endpoint_url": bucket.endpoint_url,
        "s3_access_key_id": bucket.access_key_id,
        "s3_secret_access_key": SecretStr(bucket.secret_access_key),
    }
    began = time.monotonic()
    return outcome(settings.model_copy(update=changed), db, fence.job_id, 1, "log"), time.monotonic() - began


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
def test_an_object_store_that_hangs_holds_an_upload_for_one_request(
    settings: Settings,
    db: Database,
    redis_url: str,
    s3_bucket: S3Bucket,
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    upload_to(s3_bucket, settings, db, redis_url)  # loads the library, which takes a second
    monkeypatch.setattr(s3, "REQUEST_LIMIT", 3.0)
    monkeypatch.setattr(upload, "AT_ONCE", 1.0)
    s3_server.process.pause()
    try:
        told, seconds = upload_to(s3_bucket, settings, db, redis_url)
    finally:
        s3_server.process.resume()
    assert (told["status"], told["expected"]) == ("failed", 1)
    assert seconds < 5.9


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
def test_an_object_store_that_is_gone_fails_an_upload_soon(settings: Settings, db: Database, redis_url: str) -> None:
    gone = S3Bucket(f"http://127.0.0.1:{free_port()}", "bucket")
    told, seconds = upload_to(gone, settings, db, redis_url)
    assert (told["status"], told["expected"]) == ("failed", 1)
    assert seconds < 12
