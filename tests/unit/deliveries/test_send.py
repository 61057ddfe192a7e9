"""What follows an attempt to deliver a webhook."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from ansible_api.deliveries.send import LONGEST_RETRY_AFTER, decide
from ansible_api.deliveries.store import Decision
from ansible_api.egress import Answer
from ansible_api.errors import Unavailable
from ansible_api.settings import Settings

SCHEDULE: tuple[float, ...] = Settings.model_fields["webhook_schedule"].default


def answered(status: int, **headers: str) -> Answer:
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, b"", 0.1)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_2xx_delivers(status: int) -> None:
    assert decide(answered(status), 1, SCHEDULE, 0.2) == Decision("delivered")


def test_410_stops_at_once() -> None:
    assert decide(answered(410), 1, SCHEDULE, 0.2) == Decision("failed")


@pytest.mark.parametrize("answer", [answered(s) for s in (199, 301, 302, 400, 404, 429, 500, 503)] + [Unavailable()])
def test_anything_else_follows_the_schedule(answer: Answer | Unavailable) -> None:
    pauses = [decide(answer, number, SCHEDULE, 0.0).pause for number in range(1, len(SCHEDULE))]
    assert pauses == list(SCHEDULE[1:])
    assert decide(answer, len(SCHEDULE), SCHEDULE, 0.0) == Decision("failed")


def test_jitter_only_adds_and_by_its_share_at_the_most() -> None:
    pauses = {decide(answered(500), 2, (0, 5, 100), 0.2).pause for _ in range(200)}
    assert len(pauses) > 20
    assert all(pause is not None and 100 <= pause <= 120 for pause in pauses)


@pytest.mark.parametrize(
    ("text", "pause"),
    [("30", 30), ("1", 5), ("999999999", LONGEST_RETRY_AFTER), ("soon", 5), ("-7", 5), ("", 5), ("²", 5)],
)
def test_retry_after_in_seconds_is_honoured_within_limits(text: str, pause: float) -> None:
    assert decide(answered(503, retry_after=text), 1, SCHEDULE, 0.0).pause == pause


@pytest.mark.parametrize(("ahead", "low", "high"), [(60, 55, 61), (-60, 5, 5), (90 * 3600, 86400, 86400)])
def test_retry_after_as_a_date_is_honoured_within_limits(ahead: float, low: float, high: float) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)
    pause = decide(answered(503, retry_after=date), 1, SCHEDULE, 0.0).pause
    assert pause is not None
    assert low <= pause <= high
