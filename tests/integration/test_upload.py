"""Storing a product of a job ends with a result, whatever the events look like."""

from pydantic import SecretStr

from ansible_api.db import Database
from ansible_api.events import keys
from ansible_api.redis import client
from ansible_api.settings import Settings
from ansible_api.tasks.upload import outcome


def test_an_event_that_nobody_can_read_fails_the_upload_and_not_the_closing(
    settings: Settings, db: Database, redis_url: str
) -> None:
    with client(redis_url) as redis:
        redis.xadd(keys.stream("job-1", 1), {keys.EVENT_FIELD: b'{"seq": 1, "broken'}, id="1-0")

    tuned = settings.model_copy(update={"redis_url": SecretStr(redis_url)})

    assert outcome(tuned, db, "job-1", 1, "log") == {"kind": "log", "status": "failed", "expected": None}
