"""Lists of jobs: pages, filters, and what is refused."""

import pytest

from ansible_api.jobs import listing
from tests.integration.api.conftest import JOB, Api

pytestmark = pytest.mark.anyio
JOBS = "/api/v1/jobs"


async def test_pages_hold_every_job_once_newest_first(api: Api) -> None:
    async with api.client() as client:
        made = [(await client.post(JOBS, json=JOB)).json()["id"] for _ in range(7)]
        seen, address, links = list[str](), f"{JOBS}?limit=3&status=queued&status=running", 0
        while address:
            page = await client.get(address)
            assert page.status_code == 200, page.text
            seen += [job["id"] for job in page.json()["items"]]
            address = page.links.get("next", {}).get("url", "")
            links += bool(address)
            assert bool(address) == (page.json()["next_cursor"] is not None)
    # Jobs of one millisecond have no order of their own.
    assert (sorted(seen), links) == (sorted(made), 2)
    assert seen == sorted(seen, reverse=True)


async def test_lists_are_filtered_by_status_and_queue(api: Api) -> None:
    async with api.client() as client:
        waiting = (await client.post(JOBS, json=JOB)).json()["id"]
        running = (await client.post(JOBS, json=JOB)).json()["id"]
        long = (await client.post(JOBS, json=JOB | {"options": {"timeout": 7200}})).json()["id"]
        api.worker(running)

        async def ids(query: str) -> set[str]:
            return {job["id"] for job in (await client.get(f"{JOBS}?{query}")).json()["items"]}

        assert await ids("status=running") == {running}
        assert await ids("status=queued") == {waiting, long}
        assert await ids("status=queued&status=running&queue=default") == {waiting, running}
        assert await ids("queue=long-running") == {long}
        assert await ids("status=lost") == set()


async def test_lists_are_filtered_by_what_a_request_says_and_when_it_came(api: Api) -> None:
    role = {"source": {"type": "role", "repo": "https://git.example.com/roles.git", "path": "roles/Nginx"}}
    async with api.client() as client, api.client() as other:
        first = (await client.post(JOBS, json=JOB)).json()
        second = (await other.post(JOBS, json=JOB | role)).json()

        async def ids(**query: str) -> list[str]:
            answer = await client.get(JOBS, params=query)
            assert answer.status_code == 200, answer.text
            return [job["id"] for job in answer.json()["items"]]

        assert await ids(repo=role["source"]["repo"]) == [second["id"]]
        assert await ids(repo="https://git.example.com/absent.git") == []
        assert await ids(key=first["key_id"]) == [first["id"]]
        assert await ids(text="nginx") == [second["id"]]
        assert await ids(text="nginx", key=first["key_id"]) == []
        assert await ids(created_after=first["created_at"], created_before=second["created_at"]) == [first["id"]]
        assert await ids(created_after="2099-01-01T00:00:00+01:00") == []
        assert await ids(created_before="1970-01-02T00:00:00Z") == []


async def test_the_next_page_of_a_rare_job_begins_behind_those_that_were_looked_at(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "LOOKED_AT", 2)
    async with api.client() as client:
        rare = (await client.post(JOBS, json=JOB | {"options": {"labels": {"kind": "rare"}}})).json()["id"]
        for _ in range(5):
            await client.post(JOBS, json=JOB)
        pages, address = list[list[str]](), f"{JOBS}?text=rare&limit=1"
        while address:
            page = await client.get(address)
            pages.append([job["id"] for job in page.json()["items"]])
            address = page.links.get("next", {}).get("url", "")
    assert len(pages) > 2
    assert [job for page in pages for job in page] == [rare]


WRONG_PARAMETERS = {
    "repo=": "/query/repo",
    "repo=--upload-pack=x": "/query/repo",
    "key=ci": "/query/key",
    "created_after=yesterday": "/query/created_after",
    "created_after=2026-01-15T10:00:00": "/query/created_after",
    "created_before=2026-13-01T00:00:00Z": "/query/created_before",
    "created_before=0001-01-01T00:00:00Z": "/query/created_before",
    "created_after=9999-12-31T23:59:59-14:00": "/query/created_after",
    "text=": "/query/text",
    "text=%00": "/query/text",
    "label=env": "/query/label/0",
    "limit=0": "/query/limit",
    "limit=101": "/query/limit",
    "status=done": "/query/status/0",
    "queue=x": "/query/queue",
    "cursor=x": "/query/cursor",
    "cursor=%00%ff": "/query/cursor",
    "stauts=queued": "/query/stauts",
}


async def test_wrong_parameters_of_a_list_are_named(api: Api, subtests: pytest.Subtests) -> None:
    async with api.client() as client:
        for query, pointer in WRONG_PARAMETERS.items():
            with subtests.test(query=query):
                refused = await client.get(f"{JOBS}?{query}")
                assert refused.status_code == 422
                assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]
