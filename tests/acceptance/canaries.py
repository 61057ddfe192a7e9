"""Secrets that nothing else can be, and the search for them in every place where something is kept or shown."""

import base64
import re
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
from redis import Redis
from sqlalchemy import MetaData, select

from ansible_api.db import Database
from ansible_api.execution.workspace import MARKER
from ansible_api.redis import BROKER_DB, EVENT_DB, RESULT_DB, with_db
from tests.servers.s3 import S3Bucket

Finding = tuple[str, str]  # the canary's name, the place
Allowed = Callable[[str, bytes], bool]  # the canary's name, the environment that it is in


def new_canary(name: str) -> str:
    return f"canary-{name}-{secrets.token_hex(8)}"


@dataclass(frozen=True)
class Values:
    """One secret of each kind, right and wrong."""

    become: str = field(default_factory=lambda: new_canary("become"))
    become_wrong: str = field(default_factory=lambda: new_canary("become-wrong"))
    vault: str = field(default_factory=lambda: new_canary("vault"))
    vault_wrong: str = field(default_factory=lambda: new_canary("vault-wrong"))
    token: str = field(default_factory=lambda: new_canary("token"))
    token_wrong: str = field(default_factory=lambda: new_canary("token-wrong"))
    passphrase: str = field(default_factory=lambda: new_canary("passphrase"))


class Canaries:
    """Finds secrets by name in bytes: as they are, and in base64 wherever they begin in what was encoded."""

    def __init__(self, hidden: Mapping[str, str | bytes]) -> None:
        self._names = {
            needle: name
            for name, secret in hidden.items()
            for needle in _needles(secret.encode() if isinstance(secret, str) else secret)
        }
        self._pattern = re.compile(b"|".join(re.escape(needle) for needle in self._names))
        self._clean: set[tuple[Path, bytes]] = (
            set()
        )  # processes and their arguments: they are looked at again and again

    def find(self, data: bytes | str, place: str) -> Iterator[Finding]:
        """Each canary in the data, once."""
        data = data.encode() if isinstance(data, str) else data
        yield from {(self._names[needle], place) for needle in self._pattern.findall(data)}

    def in_files(self, root: Path, *, but: Iterable[Path] = ()) -> Iterator[Finding]:
        """In names, link targets and contents of all files below a directory, or of one file."""
        for path in [root, *root.rglob("*")]:
            yield from self.find(str(path), str(path))
            if path.is_file() and not path.is_symlink() and path not in but:
                yield from self.find(path.read_bytes(), str(path))

    def in_rows(self, database_url: str) -> Iterator[Finding]:
        """In every column of every row of every table."""
        db = Database(database_url)
        metadata = MetaData()
        try:
            with db.engine.connect() as connection:
                metadata.reflect(connection)
                for table in metadata.sorted_tables:
                    for row in connection.execute(select(table)).mappings():
                        for column, value in row.items():
                            yield from self.find(_bytes(value), f"{table.name}.{column}")
        finally:
            db.close()

    def in_redis(self, url: str) -> Iterator[Finding]:
        """In keys and values of every type, in each of the numbered databases."""
        for number in (BROKER_DB, RESULT_DB, EVENT_DB):
            with Redis.from_url(with_db(url, number)) as client:
                for key in client.scan_iter():
                    yield from self.find(key + b"\n" + _bytes(_value(client, key)), f"redis {number} {key!r}")

    def in_bucket(self, bucket: S3Bucket) -> Iterator[Finding]:
        """In keys and contents of every object."""
        client = boto3.client(
            "s3",
            endpoint_url=bucket.endpoint_url,
            region_name=bucket.region,
            aws_access_key_id=bucket.access_key_id,
            aws_secret_access_key=bucket.secret_access_key,
        )
        try:
            for item in client.list_objects_v2(Bucket=bucket.name).get("Contents", []):
                body = client.get_object(Bucket=bucket.name, Key=item["Key"])["Body"]
                with body:
                    yield from self.find(item["Key"].encode() + b"\n" + body.read(), f"object {item['Key']}")
        finally:
            client.close()

    def in_processes(self, allowed: Allowed = lambda _name, _environ: False) -> Iterator[Finding]:
        """In arguments and environment of every process of this machine, but for what is allowed in a job's own."""
        for process in Path("/proc").glob("[0-9]*"):
            argv = _read(process / "cmdline")
            if (process, argv) in self._clean:
                continue
            environ = _read(process / "environ")
            found = [(name, "argument") for name, _ in self.find(argv, "")]
            found += [
                (name, "environment")
                for name, _ in self.find(environ, "")
                if not (allowed(name, environ) and _is_in_sandbox(argv, environ))
            ]
            if not found:
                self._clean.add((process, argv))
            for name, where in found:
                yield name, f"{where} of {_read(process / 'comm').decode().strip()}"


class ProcessWatch(threading.Thread):
    """Looks at all processes again and again for as long as it is entered."""

    def __init__(self, canaries: Canaries, allowed: Allowed = lambda _name, _environ: False) -> None:
        super().__init__(name="process watch", daemon=True)
        self._canaries, self._allowed = canaries, allowed
        self._over = threading.Event()
        self.looks = 0
        self.found: set[Finding] = set()

    def run(self) -> None:
        while not self._over.wait(0.02):
            self.found.update(self._canaries.in_processes(self._allowed))
            self.looks += 1

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self.join()


def _is_in_sandbox(argv: bytes, environ: bytes) -> bool:
    """Whether it is one of a job's own processes, neither the guardian above them nor bwrap."""
    outside = (b"ansible_api.execution.guardian", b"bwrap", b"ansible_api.cli")
    return f"\0{MARKER}=".encode() in b"\0" + environ and not any(name in argv for name in outside)


def _needles(secret: bytes) -> Iterator[bytes]:
    yield secret
    for before, affected in enumerate((0, 2, 3)):  # bytes in front, and how many characters they have a part in
        data = bytes(before) + secret
        coded = base64.b64encode(data)[affected : len(data) * 8 // 6]
        # A line may end in the middle of it, as in a key file.
        halves = (coded[: len(coded) // 2], coded[len(coded) // 2 :]) if len(coded) >= 40 else (coded,)
        for part in halves:
            yield part
            yield part.replace(b"+", b"-").replace(b"/", b"_")


def _value(client: "Redis", key: bytes) -> Any:
    match client.type(key):
        case b"string":
            return client.get(key)
        case b"list":
            return client.lrange(key, 0, -1)
        case b"set":
            return client.smembers(key)
        case b"zset":
            return client.zrange(key, 0, -1)
        case b"hash":
            return client.hgetall(key)
        case b"stream":
            return client.xrange(key)
        case b"none":  # it ended meanwhile
            return b""
        case kind:
            raise AssertionError(f"{key!r} is of an unknown type {kind!r}")


def _bytes(value: Any) -> bytes:
    """All that is in a value, one part a line."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, Mapping):
        return b"\n".join(_bytes(part) for pair in value.items() for part in pair)
    if isinstance(value, list | tuple | set):
        return b"\n".join(map(_bytes, value))
    return str(value).encode()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
