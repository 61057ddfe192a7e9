"""Objects in an S3 bucket; importing this module costs a second and 40 MB."""

import asyncio
import encodings.idna
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import quote

import aioboto3
import aioboto3.s3.inject
from aiohttp import ClientError as ConnectionTrouble
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from ansible_api.errors import NotFound, Unavailable
from ansible_api.objects.base import BLOCK, Reader, Source, Stored, checked_key, reading
from ansible_api.settings import Settings

T = TypeVar("T")
PART = 8 * 1024 * 1024  # of a multipart upload; S3 takes 5 MiB to 5 GiB and 10,000 of them
REQUEST_LIMIT = 20.0  # seconds; waiting for the `100 Continue` of a PUT has no other limit
ABORT_LIMIT = 5.0
MISSING = {"NoSuchKey", "404", "NotFound"}
EXISTS = {"BucketAlreadyOwnedByYou"}
FIRST_REGION = "us-east-1"
# What the first client would import: a child that is forked in the middle of an import waits for its end for ever.
LOADED = (encodings.idna, aioboto3.s3.inject)
_of_thread = threading.local()  # boto3's sessions are not safe to share between threads


@asynccontextmanager
async def open_s3(settings: Settings) -> AsyncIterator["S3Store"]:
    """A store with a client of its own, for one event loop."""
    async with _session(settings).client("s3", endpoint_url=settings.s3_endpoint_url, config=_config()) as client:
        yield S3Store(client, settings.s3_bucket or "")


async def create_bucket(settings: Settings) -> bool:
    """Make the bucket; False when it is there already."""
    async with open_s3(settings) as store:
        return await store.create(settings.s3_region)


def _session(settings: Settings) -> aioboto3.Session:
    """The session of this thread: a new one reads botocore's model of S3 again, 0.2 s of processor time a task."""
    secret = settings.s3_secret_access_key.get_secret_value() if settings.s3_secret_access_key else None
    identity = (settings.s3_access_key_id, secret, settings.s3_region)
    if getattr(_of_thread, "identity", None) != identity:
        _of_thread.session = aioboto3.Session(
            aws_access_key_id=settings.s3_access_key_id, aws_secret_access_key=secret, region_name=settings.s3_region
        )
        _of_thread.identity = identity
    session: aioboto3.Session = _of_thread.session
    return session


def _config() -> Config:
    return Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        connect_timeout=3,
        read_timeout=20,
        retries={"mode": "standard", "total_max_attempts": 3},
        max_pool_connections=32,
        # Many servers that speak S3 do not know the checksums that botocore would add since 1.36.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


class S3Store:
    """See ObjectStore."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    async def put(self, key: str, source: Source) -> Stored:
        place = self._place(key)
        with reading(source) as reader:
            first = await asyncio.to_thread(reader.read, PART)
            if len(first) < PART:
                await _answer(self._client.put_object(**place, Body=first), key)
            else:
                await self._put_parts(place, first, reader)
            return reader.stored()

    async def _put_parts(self, place: dict[str, str], first: bytes, reader: Reader) -> None:
        key = place["Key"]
        begun = await _answer(self._client.create_multipart_upload(**place), key)
        upload = {**place, "UploadId": begun["UploadId"]}
        try:
            parts: list[dict[str, Any]] = []
            block = first
            while block:
                number = len(parts) + 1
                answer = await _answer(self._client.upload_part(**upload, PartNumber=number, Body=block), key)
                parts.append({"PartNumber": number, "ETag": answer["ETag"]})
                block = await asyncio.to_thread(reader.read, PART)
            whole = {"Parts": parts}
            await _answer(self._client.complete_multipart_upload(**upload, MultipartUpload=whole), key)
        except BaseException:
            # Parts of an upload that is neither completed nor aborted are kept, and paid for, unseen.
            with suppress(BotoCoreError, ClientError, ConnectionTrouble, OSError, TimeoutError):
                async with asyncio.timeout(ABORT_LIMIT):
                    await self._client.abort_multipart_upload(**upload)
            raise

    async def get(self, key: str, start: int | None = None, end: int | None = None) -> AsyncIterator[bytes]:
        place = self._place(key)
        first = start or 0
        if end is not None and end <= first:  # S3 has no way to ask for nothing
            await self.size(key)
            return
        wanted = {} if start is None and end is None else {"Range": f"bytes={first}-{'' if end is None else end - 1}"}
        with _errors(key):
            try:
                async with asyncio.timeout(REQUEST_LIMIT):
                    answer = await self._client.get_object(**place, **wanted)
            except ClientError as error:
                if _code(error) == "InvalidRange":  # it begins behind the end
                    return
                raise
            async with (body := answer["Body"]):
                async for block in body.iter_chunks(BLOCK):
                    yield block

    async def size(self, key: str) -> int:
        place = self._place(key)
        return int((await _answer(self._client.head_object(**place), key))["ContentLength"])

    async def delete(self, key: str) -> None:
        place = self._place(key)
        await _answer(self._client.delete_object(**place), key)

    async def keys(self, prefix: str = "") -> AsyncIterator[str]:
        if prefix:
            checked_key(prefix.rstrip("/"))
        pages = aiter(self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix))
        while page := await _answer(anext(pages, None)):
            for item in page.get("Contents", ()):
                yield item["Key"]

    async def presign(self, key: str, expires: int, filename: str) -> str | None:
        download = f"attachment; filename*=UTF-8''{quote(filename, safe='')}"  # RFC 6266, RFC 8187
        what = {**self._place(key), "ResponseContentDisposition": download}
        with _errors(key):
            return str(await self._client.generate_presigned_url("get_object", Params=what, ExpiresIn=expires))

    async def check(self, limit: float = 2.0) -> None:
        try:
            async with asyncio.timeout(limit):
                with _errors():
                    await self._client.head_bucket(Bucket=self._bucket)
        except TimeoutError:
            raise Unavailable(f"object storage did not answer within {limit:g} s") from None

    async def create(self, region: str) -> bool:
        """Make the bucket itself; False when it is there already."""
        # S3 knows us-east-1 by no name in this place, and every other region by its own.
        where = {} if region == FIRST_REGION else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        with _errors():
            try:
                async with asyncio.timeout(REQUEST_LIMIT):
                    await self._client.create_bucket(Bucket=self._bucket, **where)
            except ClientError as error:
                if _code(error) in EXISTS:
                    return False
                raise
        return True

    def _place(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": checked_key(key)}


async def _answer(request: Awaitable[T], key: str | None = None) -> T:
    """What one request brings, in time or not at all; errors as those of `_errors`."""
    with _errors(key):
        async with asyncio.timeout(REQUEST_LIMIT):
            return await request


@contextmanager
def _errors(key: str | None = None) -> Iterator[None]:
    """What S3 says, in our words; only a call about `key` can find it missing."""
    try:
        yield
    except ClientError as error:
        if key is not None and _code(error) in MISSING:
            raise NotFound(f"there is no object {key}") from error
        raise Unavailable(f"object storage refused: {_code(error)}") from error
    except (BotoCoreError, ConnectionTrouble, OSError, TimeoutError) as error:
        raise Unavailable(f"object storage is away: {type(error).__name__}") from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))
