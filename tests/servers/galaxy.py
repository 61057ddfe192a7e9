"""A Galaxy server for ansible-galaxy: collections over API v3, roles over v1, a token, and trouble as told."""

import hashlib
import io
import json
import re
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

TIME = "2026-01-01T00:00:00.000000Z"
Document = dict[str, Any]


class GalaxyRequest(NamedTuple):
    """One request as it came in."""

    path: str
    authorization: str | None


class Artifact(NamedTuple):
    """A packed collection, and what the server says its hash is."""

    data: bytes
    info: Document
    sha256: str


@dataclass
class GalaxyServer:
    """Collections and roles for whoever sends the token (None: for all); behaves as its fields say."""

    token: str | None = None
    port: int = 0
    collections: dict[tuple[str, str], Artifact] = field(default_factory=dict)  # (ns.name, version)
    roles: dict[tuple[str, str], bytes] = field(default_factory=dict)
    requests: list[GalaxyRequest] = field(default_factory=list)
    answer: Callable[[str], tuple[int, dict[str, str]] | None] = lambda _path: None
    download_base: str | None = None
    hang: bool = False
    flood: str | None = None  # the path whose answer never ends
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/"

    @property
    def downloads(self) -> list[str]:
        return [request.path for request in self.requests if request.path.startswith("/download/")]

    def add(self, data: bytes, sha256: str | None = None) -> None:
        """Offer a packed collection."""
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            manifest = archive.extractfile("MANIFEST.json")
            info = json.load(manifest)["collection_info"] if manifest else {}
        known = sha256 or hashlib.sha256(data).hexdigest()
        self.collections[f"{info['namespace']}.{info['name']}", info["version"]] = Artifact(data, info, known)

    def versions(self, name: str) -> list[str]:
        return [version for known, version in self.collections if known == name]

    def asks_for_token(self, path: str) -> bool:
        """Archives of roles lie elsewhere, and ansible-galaxy sends no token there."""
        of_role = [f"/download/{name}-{version}.tar.gz" for name, version in self.roles]
        return self.token is not None and path not in ("/api/", *of_role)

    def serve(self, path: str, query: Mapping[str, list[str]]) -> Document | bytes | None:
        """The answer to a GET; None: not found."""
        if path in ("/api/", "/api"):
            return {"available_versions": {"v1": "v1/", "v3": "v3/"}, "description": "tests"}
        if match := re.fullmatch(r"/api/v3/collections/(\w+)/(\w+)/(versions/(?:([^/]+)/)?)?", path):
            return self._collection(f"{match[1]}.{match[2]}", match[3], match[4])
        if match := re.fullmatch(r"/download/(.+)\.tar\.gz", path):
            name, _, version = match[1].partition("-")
            artifact = self.collections.get((name, version))
            return artifact.data if artifact else self.roles.get((name, version))
        if path == "/api/v1/roles/":
            name = f"{query['owner__username'][0]}.{query['name'][0]}"
            return {"results": [{"id": name}] if any(name == known for known, _ in self.roles) else []}
        if match := re.fullmatch(r"/api/v1/roles/([^/]+)/versions/", path):
            found = [version for known, version in self.roles if known == match[1]]
            base = f"{self.download_base or f'http://127.0.0.1:{self.port}'}/download/{match[1]}"
            return {"results": [{"name": one, "download_url": f"{base}-{one}.tar.gz"} for one in found]}
        return None

    def _collection(self, name: str, versions: str | None, version: str | None) -> Document | None:
        known = self.versions(name)
        if not known or (version and version not in known):
            return None
        if versions is None:
            return {"highest_version": {"version": known[-1]}, "created_at": TIME, "updated_at": TIME}
        if version is None:
            data = [{"version": one, "created_at": TIME, "updated_at": TIME} for one in known]
            return {"meta": {"count": len(data)}, "links": {"next": None}, "data": data}
        artifact = self.collections[name, version]
        base = self.download_base or f"http://127.0.0.1:{self.port}"
        return {
            "version": version,
            "href": f"/api/v3/collections/{name.replace('.', '/')}/versions/{version}/",
            "artifact": {"sha256": artifact.sha256, "size": len(artifact.data)},
            "collection": {"name": artifact.info["name"]},
            "namespace": {"name": artifact.info["namespace"]},
            "download_url": f"{base}/download/{name}-{version}.tar.gz",
            "metadata": {"dependencies": artifact.info["dependencies"]},
            "signatures": [],
        }


class _Handler(BaseHTTPRequestHandler):
    galaxy: GalaxyServer

    def log_message(self, *arguments: Any) -> None:
        """Be quiet."""

    def do_GET(self) -> None:
        galaxy, parts = self.galaxy, urlsplit(self.path)
        authorization = self.headers.get("Authorization")
        galaxy.requests.append(GalaxyRequest(self.path, authorization))
        if galaxy.hang:
            galaxy.released.wait(60)
        if galaxy.flood and parts.path.startswith(galaxy.flood):
            self._flood()
        elif told := galaxy.answer(parts.path):
            self._send(told[0], b"{}", told[1])
        elif authorization != f"Token {galaxy.token}" and galaxy.asks_for_token(parts.path):
            self._send(401, json.dumps({"errors": [{"title": "Authentication required"}]}).encode())
        elif (found := galaxy.serve(parts.path, parse_qs(parts.query))) is None:
            self._send(404, json.dumps({"errors": [{"title": "Not found"}]}).encode())
        else:
            self._send(200, found if isinstance(found, bytes) else json.dumps(found).encode())

    def _flood(self) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.galaxy.released.is_set():
            self.wfile.write(b" " * 1024 * 1024)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that go away are what some tests are about."""


@contextmanager
def galaxy_server(token: str | None = None) -> Iterator[GalaxyServer]:
    """A server with nothing in it."""
    galaxy = GalaxyServer(token)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"galaxy": galaxy}))
    galaxy.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield galaxy
    finally:
        galaxy.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def pack(
    name: str, version: str, files: Mapping[str, str | bytes], dependencies: Mapping[str, str] | None = None
) -> bytes:
    """A collection as `ansible-galaxy collection build` packs it."""
    namespace, own = name.split(".")
    info = {"namespace": namespace, "name": own, "version": version, "dependencies": dict(dependencies or {})}
    info |= {"authors": ["tests"], "description": "tests", "license": ["MIT"], "readme": "README.md", "tags": []}
    contents = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
    directories = {str(parent) for path in contents for parent in Path(path).parents}
    listed: list[Document] = [_listed(path, "dir") for path in sorted(directories)]
    listed += [_listed(path, "file", hashlib.sha256(data).hexdigest()) for path, data in contents.items()]
    index = json.dumps({"files": listed, "format": 1}).encode()
    of_index = _listed("FILES.json", "file", hashlib.sha256(index).hexdigest())
    manifest = json.dumps({"collection_info": info, "file_manifest_file": of_index, "format": 1}).encode()
    return archive({"MANIFEST.json": manifest, "FILES.json": index, **contents}, directories - {"."})


def _listed(path: str, kind: str, sha256: str | None = None) -> Document:
    return {"name": path, "ftype": kind, "chksum_type": sha256 and "sha256", "chksum_sha256": sha256, "format": 1}


def archive(files: Mapping[str, bytes], directories: set[str] = frozenset()) -> bytes:
    """A tar.gz with these members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        for path in sorted(directories):
            member = tarfile.TarInfo(path)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(member)
        for path, data in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def pack_installed(name: str) -> bytes:
    """A collection of the installed `ansible` distribution."""
    origin = find_spec("ansible_collections")
    assert origin is not None
    assert origin.submodule_search_locations is not None
    root = Path(next(iter(origin.submodule_search_locations))) / name.replace(".", "/")
    info = json.loads((root / "MANIFEST.json").read_text())["collection_info"]
    left_out = ("MANIFEST.json", "FILES.json")
    paths = [path for path in root.rglob("*") if path.is_file() and path.name not in left_out and path.suffix != ".pyc"]
    files = {str(path.relative_to(root)): path.read_bytes() for path in sorted(paths)}
    return pack(name, info["version"], files, info["dependencies"])
