"""A server on this machine that answers as the Hugging Face Hub what huggingface_hub asks of it.

By what version 2.4 of that package sends and reads. The real hub has not been asked.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "1" * 40


@dataclass
class Hub:
    """What it holds, by repository and name."""

    url: str = ""
    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    validated: list[str] = field(default_factory=list)
    """The cards whose head it was asked to judge, which it cannot."""
    asked: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, tree: Any, status: int = 200, **headers: str) -> None:
        self._answer(status, json.dumps(tree).encode(), Content_Type="application/json", **headers)

    def _refuse(self, code: str = "RepoNotFound") -> None:
        self._json({"error": "Repository not found"}, 404, X_Error_Code=code)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _path(self) -> str:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        self.hub.tokens.add(self.headers.get("Authorization"))
        return path

    def do_GET(self) -> None:
        path, hub = self._path(), self.hub
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/[^/]+", path):
            if found[1] not in hub.repos:
                return self._refuse()
            files = hub.repos[found[1]].items()
            return self._json(
                [{"type": "file", "oid": "a", "size": len(c), "path": name} for name, c in files]
            )
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            files_there = hub.repos.get(found[1])
            if files_there is None:
                return self._refuse()
            if found[3] not in files_there:
                return self._refuse("EntryNotFound")
            content = files_there[found[3]]
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            return self._answer(200, content, ETag=etag, X_Repo_Commit=COMMIT)
        return self._refuse()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        path, body, hub = self._path(), self._body(), self.hub
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            if name in hub.repos:
                return self._json({"error": "exists", "url": f"{hub.url}/{name}"}, 409)
            hub.repos[name] = {}
            hub.private[name] = asked.get("private") or asked.get("visibility") == "private"
            return self._json({"url": f"{hub.url}/{name}", "id": name})
        if path == "/api/validate-yaml":
            hub.validated.append(json.loads(body)["content"])
            return self._json({"errors": [], "warnings": []})
        if re.fullmatch(r"/api/models/[^/]+/[^/]+/preupload/[^/]+", path):
            files = json.loads(body)["files"]
            modes = ["regular" if f["path"].endswith(".md") else "lfs" for f in files]
            answers = [
                {"path": f["path"], "uploadMode": mode, "shouldIgnore": False}
                for f, mode in zip(files, modes, strict=True)
            ]
            return self._json({"files": answers})
        if path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**wanted, "actions": {"upload": {"href": f"{hub.url}/lfs/{wanted['oid']}"}}}
                for wanted in json.loads(body)["objects"]
            ]
            return self._json({"transfer": "basic", "objects": objects})
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/[^/]+", path):
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    content = base64.b64decode(value["content"])
                    hub.repos[found[1]][value["path"]] = content
                if line["key"] == "lfsFile":
                    hub.repos[found[1]][value["path"]] = hub.uploads[value["oid"]]
            url = f"{hub.url}/{found[1]}/commit/{COMMIT}"
            return self._json({"commitUrl": url, "commitOid": COMMIT, "success": True})
        return self._refuse()

    def do_PUT(self) -> None:
        path, body = self._path(), self._body()
        assert hashlib.sha256(body).hexdigest() == path.removeprefix("/lfs/")
        self.hub.uploads[path.removeprefix("/lfs/")] = body
        self._answer(200)

    def log_message(self, *words: object) -> None:
        pass


@contextmanager
def stand_in() -> Iterator[Hub]:
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
