"""A small Hub on this machine, for the real huggingface_hub client: repositories, commits, large
files, tags, private ones, tokens, and faults to order.

It speaks what the client asks for on its LFS path (HF_HUB_DISABLE_XET=1). Large files lie at
another origin, as those of the Hub do, which takes no token.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

LFS = (".safetensors", ".png")
Answer = tuple[int, dict[str, str], bytes]
PART_BYTES = 40_000  # larger files go up in parts of this size
LICENSES = ("apache-2.0", "mit", "cc-by-4.0", "cc0-1.0", "openrail", "other")


@dataclass
class Repo:
    """Commits as {path: bytes}, and the names that lead to them."""

    private: bool
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """commit -> path -> content"""
    messages: dict[str, str] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    hardware: str | None = None
    sdk: str | None = None

    def commit(self, branch: str, files: dict[str, bytes], message: str) -> str:
        """A new commit on a branch."""
        parent = self.branches.get(branch, "")
        text = repr((parent, sorted(files.items()), message, len(self.files)))
        sha = hashlib.sha1(text.encode()).hexdigest()
        self.files[sha], self.messages[sha] = dict(files), message
        self.branches[branch] = sha
        return sha

    def resolve(self, revision: str) -> str | None:
        """The commit of a branch, a tag, a commit, or the beginning of one."""
        for names in (self.branches, self.tags):
            if revision in names:
                return names[revision]
        if re.fullmatch("[0-9a-f]{7,40}", revision):
            return next((sha for sha in self.files if sha.startswith(revision)), None)
        return None

    def head(self, branch: str = "main") -> dict[str, bytes]:
        """Files at the end of a branch."""
        return self.files[self.branches[branch]]


@dataclass
class Fault:
    """What is to go wrong: an answer of this status, or, with cut, no answer and a closed line."""

    method: str
    pattern: str
    status: int = 500
    cut: bool = False
    times: int = 1


@dataclass
class Hub:
    """All that the server knows."""

    url: str = ""
    storage: str = ""
    users: dict[str, tuple[str, bool]] = field(
        default_factory=lambda: {
            "hf_ann": ("ann", True),
            "hf_ann_reads": ("ann", False),
            "hf_bob": ("bob", True),
        }
    )
    """token -> user, and whether it may write"""
    repos: dict[tuple[str, str], Repo] = field(default_factory=dict)
    """(model or space, user/name) -> repository"""
    blobs: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def fail(self, method: str, pattern: str, status: int = 500, times: int = 1) -> None:
        """The next requests like this are answered with an error."""
        self.faults.append(Fault(method, pattern, status, times=times))

    def cut(self, method: str, pattern: str, times: int = 1) -> None:
        """The next requests like this lose their connection half way."""
        self.faults.append(Fault(method, pattern, cut=True, times=times))

    def fault(self, method: str, path: str) -> Fault | None:
        """The fault that a request meets."""
        for fault in self.faults:
            if fault.times and fault.method == method and re.search(fault.pattern, path):
                fault.times -= 1
                return fault
        return None

    def add(
        self, repo: str, folder: Path, private: bool = False, without: tuple[str, ...] = ()
    ) -> str:
        """A model repository with the files of a folder as its next commit."""
        own = self.repos.setdefault(("model", repo), Repo(private))
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name not in without
        }
        return own.commit("main", files, "put here by a test")

    def asked(self, method: str, pattern: str) -> list[str]:
        """Paths of the requests like this so far."""
        return [p for m, p, _ in self.requests if m == method and re.search(pattern, p)]


@contextmanager
def serving() -> Iterator[Hub]:
    """A Hub and its storage, at two ports of this machine."""
    hub = Hub()
    servers = []
    for handler in (_Api, _Storage):
        server = ThreadingHTTPServer(
            ("127.0.0.1", 0), type(handler.__name__, (handler,), {"hub": hub})
        )
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
    hub.url, hub.storage = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def variables(hub: Hub, home: Path, token: str | None = "hf_ann") -> dict[str, str]:
    """The environment in which another process talks to this Hub."""
    out = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    return out | ({"HF_TOKEN": token} if token else {})


class _Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str, code: str = "", commit: str = "") -> None:
        super().__init__(message)
        self.status = status
        told = {"X-Error-Message": message, "X-Error-Code": code, "X-Repo-Commit": commit}
        self.headers = {name: text for name, text in told.items() if text}


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _handle(self) -> None:
        address = urlsplit(self.path)
        path, self.query = unquote(address.path), parse_qs(address.query)
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.hub.lock:
            self.hub.requests.append((self.command, path, headers))
            fault = self.hub.fault(self.command, path)
        if fault and fault.cut:
            self._cut()
            return
        body = self._body()
        try:
            if fault:
                raise _Refused(fault.status, "ordered by the test")
            with self.hub.lock:
                answer = self.answer(self.command, path, body)
        except _Refused as refused:
            answer = refused.status, refused.headers, json.dumps({"error": str(refused)}).encode()
        self._send(*answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        raise NotImplementedError

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _cut(self) -> None:
        """Read half of what comes, and hang up without a word."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0) // 2)
        linger = struct.pack("ii", 1, 0)  # a reset, not a polite end
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()
        self.wfile = open(os.devnull, "wb")  # noqa: SIM115 (the base class flushes and closes it)

    def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


class _Storage(_Handler):
    """Where large files lie: addresses are signed, tokens are for the Hub alone."""

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        if "Authorization" in self.headers:
            raise _Refused(400, "only one way to sign in is allowed")
        _, oid, *part = path.split("/")
        if method == "PUT" and part:
            self.hub.parts.setdefault(oid, {})[int(part[0])] = body
            return 200, {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}, b""
        if method == "PUT":
            if hashlib.sha256(body).hexdigest() != oid:
                raise _Refused(400, "this is not what was announced")
            self.hub.blobs[oid] = body
            return 200, {"ETag": f'"{oid}"'}, b""
        return 200, {"ETag": f'"{oid}"'}, self.hub.blobs[oid]


class _Api(_Handler):
    """The Hub itself."""

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        for wanted, pattern, answer in _ROUTES:
            match = re.fullmatch(pattern, path)
            if match and method in wanted:
                parts = match.groupdict()
                if "repo" in parts:
                    kind = (parts.pop("kind") or "models").rstrip("s/")
                    parts["repo"] = self._repo(
                        kind, parts["repo"], write=method not in ("GET", "HEAD")
                    )
                return answer(self, body, **parts)
        raise _Refused(404, f"no such address: {method} {path}")

    # Who asks, and for what

    def _user(self) -> tuple[str, bool]:
        text = self.headers.get("Authorization", "")
        if not text:
            return "", False
        found = self.hub.users.get(text.removeprefix("Bearer "))
        if found is None:
            raise _Refused(401, "Invalid credentials in Authorization header")
        return found

    def _repo(self, kind: str, name: str, write: bool) -> Repo:
        user, may_write = self._user()
        repo = self.hub.repos.get((kind, name))
        owner = name.split("/")[0]
        if repo is None or (repo.private and user != owner):
            raise _Refused(404 if user else 401, "Repository not found", "RepoNotFound")
        if write and (user != owner or not may_write):
            raise _Refused(403, f"you may not write to {name}")
        return repo

    @staticmethod
    def _commit(repo: Repo, revision: str) -> str:
        sha = repo.resolve(revision)
        if sha is None:
            raise _Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return sha

    def _page(self, repo: Repo) -> str:
        """Where people see it."""
        kind, name = next(key for key, own in self.hub.repos.items() if own is repo)
        return f"{self.hub.url}/{'spaces/' if kind == 'space' else ''}{name}"

    # Answers

    def whoami(self, body: bytes) -> Answer:
        user, may_write = self._user()
        if not user:
            raise _Refused(401, "Invalid username or password.")
        role = "write" if may_write else "read"
        return _json({"name": user, "type": "user", "auth": {"accessToken": {"role": role}}})

    def create(self, body: bytes) -> Answer:
        user, may_write = self._user()
        wanted = json.loads(body)
        kind, owner = wanted.get("type", "model"), wanted.get("organization") or user
        if not user:
            raise _Refused(401, "Invalid username or password.")
        if owner != user or not may_write:
            raise _Refused(403, f"you have no rights to make a repository of {owner}")
        name = f"{owner}/{wanted['name']}"
        url = f"{self.hub.url}/{'spaces/' if kind == 'space' else ''}{name}"
        if (kind, name) in self.hub.repos:
            _, headers, content = _json({"error": "You already made this repo", "url": url})
            return 409, headers, content
        repo = Repo(wanted.get("visibility") == "private", sdk=wanted.get("sdk"))
        repo.variables = {x["key"]: x["value"] for x in wanted.get("variables", [])}
        repo.commit("main", {".gitattributes": b"*.safetensors filter=lfs\n"}, "initial commit")
        self.hub.repos[kind, name] = repo
        return _json({"url": url})

    def settings(self, body: bytes, repo: Repo) -> Answer:
        wanted = json.loads(body)
        if "visibility" in wanted:
            repo.private = wanted["visibility"] == "private"
        elif "private" in wanted:
            repo.private = wanted["private"]
        return _json({})

    def validate(self, body: bytes) -> Answer:
        content = json.loads(body)["content"]
        match = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
        told = yaml.safe_load(match[1]) if match else {}
        if told.get("license") not in (None, *LICENSES):
            answer = {"errors": [{"message": f'"license" {told["license"]} is not known'}]}
            return 400, {"Content-Type": "application/json"}, json.dumps(answer).encode()
        return _json({"errors": [], "warnings": []})

    def info(self, body: bytes, repo: Repo, revision: str = "main") -> Answer:
        sha = self._commit(repo, revision or "main")
        name = self._page(repo).removeprefix(f"{self.hub.url}/").removeprefix("spaces/")
        siblings = [_sibling(path, data) for path, data in repo.files[sha].items()]
        told = {"id": name, "sha": sha, "private": repo.private, "siblings": siblings}
        return _json({**told, "sdk": repo.sdk} if repo.sdk else told)

    def refs(self, body: bytes, repo: Repo) -> Answer:
        def listed(names: dict[str, str], kind: str) -> list[dict[str, str]]:
            return [
                {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": sha}
                for name, sha in names.items()
            ]

        told = {"branches": listed(repo.branches, "heads"), "tags": listed(repo.tags, "tags")}
        return _json({**told, "converts": []})

    def preupload(self, body: bytes, repo: Repo, revision: str) -> Answer:
        files = repo.files[self._commit(repo, revision)]
        told = []
        for asked in json.loads(body)["files"]:
            path, large = asked["path"], asked["path"].endswith(LFS)
            one = {"path": path, "uploadMode": "lfs" if large else "regular"}
            one["shouldIgnore"] = False
            if path in files:
                data = files[path]
                one["oid"] = hashlib.sha256(data).hexdigest() if large else _blob(data)
            told.append(one)
        return _json({"files": told})

    def batch(self, body: bytes, repo: Repo) -> Answer:
        objects = []
        for asked in json.loads(body)["objects"]:
            oid, size = asked["oid"], asked["size"]
            one: dict[str, Any] = {"oid": oid, "size": size}
            if oid not in self.hub.blobs:
                upload: dict[str, Any] = {"href": f"{self.hub.storage}/{oid}?signed=1"}
                if size > PART_BYTES:
                    count = -(-size // PART_BYTES)
                    upload["href"] = f"{self.hub.url}/lfs/complete"
                    upload["header"] = {"chunk_size": str(PART_BYTES)} | {
                        str(i): f"{self.hub.storage}/{oid}/{i}" for i in range(1, count + 1)
                    }
                verify = {"href": f"{self.hub.url}/lfs/verify"}
                one["actions"] = {"upload": upload, "verify": verify}
            objects.append(one)
        return _json({"transfer": "basic", "objects": objects})

    def complete(self, body: bytes) -> Answer:
        asked = json.loads(body)
        parts = self.hub.parts.pop(asked["oid"])
        data = b"".join(parts[part["partNumber"]] for part in asked["parts"])
        if hashlib.sha256(data).hexdigest() != asked["oid"]:
            raise _Refused(400, "the parts do not make what was announced")
        self.hub.blobs[asked["oid"]] = data
        return _json({})

    def verify(self, body: bytes) -> Answer:
        asked = json.loads(body)
        if len(self.hub.blobs.get(asked["oid"], b"")) != asked["size"]:
            raise _Refused(404, "this was never sent")
        return _json({})

    def commit(self, body: bytes, repo: Repo, revision: str) -> Answer:
        if revision not in repo.branches:
            raise _Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        header, *lines = [json.loads(line) for line in body.splitlines()]
        parent = header["value"].get("parentCommit")
        if parent is not None and parent != repo.branches[revision]:
            raise _Refused(412, "A commit has happened since. Please refresh and try again.")
        files = dict(repo.head(revision))
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.blobs[value["oid"]]
            elif line["key"] == "deletedFile":
                if value["path"] not in files:
                    raise _Refused(404, "A file with this name doesn't exist", "EntryNotFound")
                del files[value["path"]]
            else:
                raise _Refused(400, f"what is {line['key']}?")
        sha = repo.commit(revision, files, header["value"]["summary"])
        return _json({"commitUrl": f"{self._page(repo)}/commit/{sha}", "commitOid": sha})

    def tag(self, body: bytes, repo: Repo, revision: str) -> Answer:
        name = json.loads(body)["tag"]
        if name in repo.tags:
            raise _Refused(409, f"Tag {name} already exists")
        repo.tags[name] = self._commit(repo, revision)
        return _json({})

    def untag(self, body: bytes, repo: Repo, revision: str) -> Answer:
        if repo.tags.pop(revision, None) is None:
            raise _Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return _json({})

    def branch(self, body: bytes, repo: Repo, revision: str) -> Answer:
        if revision in repo.branches:
            raise _Refused(409, f"Reference {revision} already exists")
        start = json.loads(body or b"{}").get("startingPoint", "main")
        repo.branches[revision] = self._commit(repo, start)
        return _json({})

    def resolve(self, body: bytes, repo: Repo, revision: str, path: str) -> Answer:
        sha = self._commit(repo, revision)
        headers = {"X-Repo-Commit": sha}
        if path not in repo.files[sha]:
            raise _Refused(404, "Entry not found", "EntryNotFound", sha)
        data = repo.files[sha][path]
        if not path.endswith(LFS):
            return 200, {**headers, "ETag": f'"{_blob(data)}"'}, data
        oid = hashlib.sha256(data).hexdigest()
        self.hub.blobs[oid] = data
        headers |= {"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(data))}
        return 302, {**headers, "Location": f"{self.hub.storage}/{oid}?signed=1"}, b""

    def variable(self, body: bytes, repo: Repo) -> Answer:
        asked = json.loads(body)
        repo.variables[asked["key"]] = asked["value"]
        return _json({key: {"value": value} for key, value in repo.variables.items()})

    def secret(self, body: bytes, repo: Repo) -> Answer:
        asked = json.loads(body)
        repo.secrets[asked["key"]] = asked["value"]
        return _json({})

    def hardware(self, body: bytes, repo: Repo) -> Answer:
        repo.hardware = json.loads(body)["flavor"]
        hardware = {"current": None, "requested": repo.hardware}
        return _json({"stage": "BUILDING", "hardware": hardware, "gcTimeout": None})


def _json(value: Any) -> Answer:
    return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()


def _sibling(path: str, data: bytes) -> dict[str, Any]:
    one: dict[str, Any] = {"rfilename": path, "size": len(data), "blobId": _blob(data)}
    if path.endswith(LFS):
        digest = hashlib.sha256(data).hexdigest()
        one["lfs"] = {"sha256": digest, "size": len(data), "pointerSize": 134}
    return one


def _blob(data: bytes) -> str:
    """Git's own name of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


_NAME = r"(?P<repo>[^/]+/[^/]+?)"
_KIND = r"/api/(?P<kind>models|spaces)/"
_ROUTES = (
    (("GET",), "/api/whoami-v2", _Api.whoami),
    (("POST",), "/api/repos/create", _Api.create),
    (("POST",), "/api/validate-yaml", _Api.validate),
    (("PUT",), f"{_KIND}{_NAME}/settings", _Api.settings),
    (("GET",), f"{_KIND}{_NAME}", _Api.info),
    (("GET",), f"{_KIND}{_NAME}/revision/(?P<revision>.+)", _Api.info),
    (("GET",), f"{_KIND}{_NAME}/refs", _Api.refs),
    (("POST",), f"{_KIND}{_NAME}/preupload/(?P<revision>.+)", _Api.preupload),
    (("POST",), f"{_KIND}{_NAME}/commit/(?P<revision>.+)", _Api.commit),
    (("POST",), f"{_KIND}{_NAME}/tag/(?P<revision>.+)", _Api.tag),
    (("DELETE",), f"{_KIND}{_NAME}/tag/(?P<revision>.+)", _Api.untag),
    (("POST",), f"{_KIND}{_NAME}/branch/(?P<revision>.+)", _Api.branch),
    (("POST",), f"{_KIND}{_NAME}/variables", _Api.variable),
    (("POST",), f"{_KIND}{_NAME}/secrets", _Api.secret),
    (("POST",), f"{_KIND}{_NAME}/hardware", _Api.hardware),
    (("POST",), f"/(?P<kind>spaces/)?{_NAME}[.]git/info/lfs/objects/batch", _Api.batch),
    (("POST",), "/lfs/complete", _Api.complete),
    (("POST",), "/lfs/verify", _Api.verify),
    (
        ("GET", "HEAD"),
        f"/(?P<kind>spaces/)?{_NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)",
        _Api.resolve,
    ),
)
