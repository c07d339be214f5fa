"""A stand-in for the Hugging Face hub: what its client asks of it when a model is pushed or read.

The client (`huggingface_hub`) is the real one and is turned to this server by its constants; xet,
the hub's storage of chunks, is switched off, so that large files go by git-lfs.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import huggingface_hub as hf
import pytest
from huggingface_hub import file_download

TOKEN = "hf_of_a_lab"


class Hub:
    """Repositories in memory: their branches, whose commits hold files; and all that was sent."""

    def __init__(self) -> None:
        self.branches: dict[str, dict[str, str]] = {}
        self.commits: dict[str, dict[str, bytes]] = {}
        self.blobs: dict[str, bytes] = {}
        self.gated: set[str] = set()
        self.private: set[str] = set()
        self.read_only: set[str] = set()
        self.broken = False
        self.requests: list[tuple[str, str, bytes]] = []
        self.url = ""

    def files(self, repo: str, revision: str = "main") -> dict[str, bytes]:
        """What a branch, or a commit, holds."""
        return self.commits[self.branches[repo].get(revision, revision)]

    def put(self, repo: str, files: dict[str, bytes], revision: str = "main") -> str:
        """Commit files to a branch, made with its repository where it is new."""
        branches = self.branches.setdefault(repo, {"main": ""})
        before = self.commits.get(branches.get(revision, branches["main"]), {})
        commit = hashlib.sha1(f"{repo} {len(self.commits)}".encode()).hexdigest()
        self.commits[commit] = {**before, **files}
        branches[revision] = commit
        return commit

    def asked(self, method: str) -> list[str]:
        """Paths that were asked for by a method."""
        return [path for how, path, _ in self.requests if how == method]


class Handler(BaseHTTPRequestHandler):
    """Answers as the hub does, as far as the client looks."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def answer(self, code: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def tell(self, **said: Any) -> None:
        self.answer(200, json.dumps(said).encode(), Content_Type="application/json")

    def refuse(self, code: int, why: str) -> None:
        self.answer(code, X_Error_Code=why, X_Error_Message=why)

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(self.path.partition("?")[0]).strip("/")
        self.hub.requests.append((self.command, path, body))
        if self.hub.broken:
            return self.refuse(503, "Unavailable")
        steps = path.split("/")
        if path == "api/repos/create":
            return self.create(json.loads(body))
        if path == "api/validate-yaml":
            return self.tell(errors=[], warnings=[])
        if steps[0] == "lfs":
            self.hub.blobs[steps[1]] = body
            return self.answer(200)
        if path.endswith(".git/info/lfs/objects/batch"):
            return self.batch(json.loads(body))
        repo = "/".join(steps[2:4] if steps[0] == "api" else steps[:2])
        if not self.may_read(repo):
            return None
        if steps[0] == "api":
            return self.api(repo, steps[4:], body)
        return self.resolve(repo, steps[3], "/".join(steps[4:]))

    do_GET = do_HEAD = do_POST = do_PUT = handle_any

    def may_read(self, repo: str) -> bool:
        hub, known = self.hub, self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repo not in hub.branches or (repo in hub.private and not known):
            self.refuse(404 if known else 401, "RepoNotFound")
            return False
        if repo in hub.gated and "/resolve/" in self.path:
            self.refuse(403, "GatedRepo")
            return False
        return True

    def create(self, asked: dict[str, Any]) -> None:
        repo = f"{asked['organization']}/{asked['name']}"
        if repo in self.hub.read_only:
            return self.refuse(403, "Forbidden")
        if repo in self.hub.branches:
            return self.answer(409, json.dumps({"url": f"{self.hub.url}/{repo}"}).encode())
        self.hub.put(repo, {})
        if asked.get("visibility") == "private" or asked.get("private"):
            self.hub.private.add(repo)
        return self.tell(url=f"{self.hub.url}/{repo}", name=repo)

    def batch(self, asked: dict[str, Any]) -> None:
        found = [
            {**each, "actions": {"upload": {"href": f"{self.hub.url}/lfs/{each['oid']}"}}}
            for each in asked["objects"]
        ]
        self.tell(transfer="basic", objects=found)

    def api(self, repo: str, steps: list[str], body: bytes) -> None:
        branches = self.hub.branches[repo]
        if self.command == "GET":
            return self.tell(id=repo, sha=branches["main"], siblings=[])
        what, revision = steps[0], "/".join(steps[1:])
        if what == "branch":
            if revision in branches:
                return self.answer(409, b"{}")
            branches[revision] = branches["main"]
            return self.tell()
        if repo in self.hub.read_only:
            return self.refuse(403, "Forbidden")
        if what == "preupload":
            paths = [each["path"] for each in json.loads(body)["files"]]
            modes = {True: "lfs", False: "regular"}
            told = [{"path": p, "uploadMode": modes[p.endswith(".safetensors")]} for p in paths]
            return self.tell(files=[{**each, "shouldIgnore": False} for each in told])
        commit = self.hub.put(repo, self.committed(body), revision)
        url = f"{self.hub.url}/{repo}/commit/{commit}"
        return self.tell(success=True, commitOid=commit, commitUrl=url, hookOutput="")

    def committed(self, body: bytes) -> dict[str, bytes]:
        files = {}
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "lfsFile":
                files[line["value"]["path"]] = self.hub.blobs[line["value"]["oid"]]
        return files

    def resolve(self, repo: str, revision: str, path: str) -> None:
        commit = self.hub.branches[repo].get(revision, revision)
        if commit not in self.hub.commits:
            return self.refuse(404, "RevisionNotFound")
        files = self.hub.commits[commit]
        if path not in files:
            return self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        tag = f'"{hashlib.sha256(files[path]).hexdigest()}"'
        return self.answer(200, files[path], ETag=tag, X_Repo_Commit=commit)


def set_offline(monkeypatch: pytest.MonkeyPatch, offline: bool) -> None:
    """Switch the client's network off or on; older ones look at it once a session."""
    monkeypatch.setattr(hf.constants, "HF_HUB_OFFLINE", offline)
    getattr(hf.utils, "reset_sessions", lambda: None)()


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch, cache: Any) -> Iterator[Hub]:
    """Serve a hub, and turn the client to it; what is downloaded lies in ``cache``."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    settings = {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": template,
        "HF_URL_HOSTS": frozenset({"127.0.0.1"}),
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_DISABLE_PROGRESS_BARS": True,
        "HF_HUB_CACHE": str(cache),
        "HF_TOKEN_PATH": str(cache / "no_token"),
    }
    for name, value in settings.items():
        monkeypatch.setattr(hf.constants, name, value, raising=False)
    monkeypatch.setattr(
        file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False
    )  # a copy of older clients
    set_offline(monkeypatch, False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        getattr(hf.utils, "reset_sessions", lambda: None)()
