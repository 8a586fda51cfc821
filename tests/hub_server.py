"""A Hugging Face Hub in memory, on the loopback, for the unmodified client to make, push and pull a model.

It has one user (by a token), public and private repositories, branches, commits with a history, both ways to
upload a file, and `failures`: answers that it gives instead of the right one.
"""

import base64
import contextlib
import hashlib
import json
import re
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

BREAK_OFF = 0
GOOD_TOKEN = "hf_aTokenThatNobodyMaySee"
APPS_TOKEN = "hf_oauth_aTokenOfAnApp"  # of scope contribute-repos: it makes repositories, and writes to those only


@dataclass(frozen=True)
class File:
    data: bytes
    lfs: bool = False

    @property
    def oid(self) -> str:
        """What the client compares: the SHA-256 of a large file, git's blob hash of a regular one."""
        if self.lfs:
            return hashlib.sha256(self.data).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(self.data) + self.data).hexdigest()


@dataclass
class Repo:
    private: bool = False
    made: dict[str, Any] = field(default_factory=dict)  # what a Space was asked for: its sdk, its hardware
    variables: dict[str, str] = field(default_factory=dict)  # of a Space
    stages: list[str] = field(default_factory=lambda: ["BUILDING", "RUNNING"])  # of a Space; the last one stays
    commits: dict[str, dict[str, File]] = field(default_factory=dict)  # commit id → path → file
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, File], branch: str = "main") -> str:
        """Add a commit on top of `branch` and return its id."""
        tree = {**self.commits.get(self.branches.get(branch, ""), {}), **files}
        sha = hashlib.sha1(f"{len(self.commits)} {branch} {id(self)}".encode()).hexdigest()
        self.commits[sha] = tree
        self.branches[branch] = sha
        return sha

    def resolve(self, revision: str) -> str | None:
        sha = self.branches.get(revision, revision)
        return sha if sha in self.commits else None

    def files(self, revision: str = "main") -> dict[str, bytes]:
        sha = self.resolve(revision)
        return {path: file.data for path, file in self.commits[sha].items()} if sha else {}


@dataclass
class Failure:
    """What to answer to requests whose `METHOD path` matches `where`; `times` None is forever.

    `/api/repos/create` matches with the repository's name behind it. BREAK_OFF hangs up in the middle.
    """

    where: str
    status: int
    code: str = ""
    message: str = ""
    times: int | None = None
    html: bool = False


@dataclass
class Oddity:
    """What is odd in the answers to requests whose `METHOD path` matches `where`.

    Headers that it has or lacks (None), another `sha` in what it says of a repository, or a body that drips: a byte
    every so many seconds.
    """

    where: str
    headers: dict[str, str | None] = field(default_factory=dict)
    sha: object = ""
    drip: float = 0.0


class AnswerError(Exception):
    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class HubServer(ThreadingHTTPServer):
    """The state of the Hub; `log` has every request as `METHOD path`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos: dict[str, Repo] = {}
        self.made_by_app: set[str] = set()  # repositories made with APPS_TOKEN
        self.lfs_objects: dict[str, bytes] = {}
        self.lfs_suffixes: tuple[str, ...] = ()  # files with these endings are uploaded as large ones
        self.failures: list[Failure] = []
        self.oddities: list[Oddity] = []
        self.log: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def failure_for(self, request: str, statuses: Collection[int]) -> Failure | None:
        for failure in self.failures:
            if failure.status in statuses and failure.times != 0 and re.search(failure.where, request):
                failure.times = None if failure.times is None else failure.times - 1
                return failure
        return None


@contextlib.contextmanager
def running_hub() -> Iterator[HubServer]:
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer
    body: bytes

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        request = f"{self.command} {path}"
        self.server.log.append(request)
        if self.server.failure_for(request, [BREAK_OFF]):
            self.rfile.read(min(64, int(self.headers.get("Content-Length") or 0)))
            self.close_connection = True  # hangs up in the middle of what is sent
            return
        self.body = self._read_body()
        if path == "/api/repos/create":  # the repository's name stands in the body
            self.wanted = json.loads(self.body)
            self.name = f"{self.wanted['organization']}/{self.wanted['name']}"
            self.name = f"spaces/{self.name}" if self.wanted.get("type") == "space" else self.name
            request += f" {self.name}"
        try:
            if failure := self.server.failure_for(request, range(400, 600)):
                if failure.html:
                    page = b"<html><h1>It broke</h1></html>"
                    self._send(failure.status, page, {"Content-Type": "text/html"})
                    return
                raise AnswerError(failure.status, failure.code, failure.message)
            self._route(path)
        except AnswerError as answer:
            headers = {"X-Error-Code": answer.code, "X-Error-Message": answer.message}
            self._send(answer.status, {"error": answer.message}, {k: v for k, v in headers.items() if v})

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        pass

    # -- requests

    def _route(self, path: str) -> None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token not in ("", GOOD_TOKEN, APPS_TOKEN) and not path.startswith("/lfs/"):
            raise AnswerError(401, message="Invalid credentials in Authorization header")
        self.of_an_app = token == APPS_TOKEN
        theirs = any(re.search(rf"/{re.escape(name)}(?=[./]|$)", path) for name in self.server.made_by_app)
        self.may_write = token == GOOD_TOKEN or (self.of_an_app and (theirs or path == "/api/repos/create"))
        if path == "/api/repos/create":
            self._create()
        elif path == "/api/validate-yaml":
            content = json.loads(self.body)["content"]
            ok = content.startswith("---\n") and content.count("\n---\n") == 1
            self._send(200 if ok else 400, {"errors": [] if ok else [{"message": "no YAML"}], "warnings": []})
        elif match := re.fullmatch(r"/api/(models|spaces)/([^/]+/[^/]+)(?:/(\w+)(?:/([^/]+))?)?", path):
            name = f"spaces/{match[2]}" if match[1] == "spaces" else match[2]
            getattr(self, f"_{match[3] or 'revision'}")(self._repo(name), name, unquote(match[4] or "main"))
        elif match := re.fullmatch(r"/((?:spaces/)?[^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            self._lfs_batch(self._repo(match[1]))
        elif match := re.fullmatch(r"/lfs/(\w+)", path):
            assert hashlib.sha256(self.body).hexdigest() == match[1]
            self.server.lfs_objects[match[1]] = self.body
            self._send(200, {})
        elif match := re.fullmatch(r"/((?:spaces/)?[^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._resolve(self._repo(match[1]), unquote(match[2]), match[3])
        else:
            raise AnswerError(404, message=f"this Hub does not know {path}")

    def _repo(self, name: str) -> Repo:
        repo = self.server.repos.get(name)
        if repo is None or (repo.private and not self.may_write):
            raise AnswerError(404 if self.may_write else 401, "RepoNotFound", "Repository not found")
        return repo

    def _check_may_write(self) -> None:
        if not self.may_write and self.of_an_app:
            raise AnswerError(403, message="The scopes of this token do not allow it.")
        if not self.may_write:
            raise AnswerError(401, message="Invalid username or password.")

    def _create(self) -> None:
        self._check_may_write()
        address = {"url": f"{self.server.url}/{self.name}"}
        if self.name in self.server.repos:
            self._send(409, {"error": "You already created this model repo", **address})
            return
        repo = self.server.repos[self.name] = Repo(private=self.wanted.get("visibility") == "private")
        if self.of_an_app:
            self.server.made_by_app.add(self.name)
        repo.made = {key: value for key, value in self.wanted.items() if key in ("sdk", "hardware")}
        repo.variables = {one["key"]: one["value"] for one in self.wanted.get("variables", ())}
        repo.commit({".gitattributes": File(b"*.safetensors filter=lfs\n")})
        self._send(200, address)

    def _variables(self, repo: Repo, name: str, _: str) -> None:
        self._check_may_write()
        if self.body:
            asked = json.loads(self.body)
            repo.variables[asked["key"]] = asked["value"]
        self._send(200, {key: {"value": value} for key, value in repo.variables.items()})

    def _runtime(self, repo: Repo, name: str, _: str) -> None:
        stage = repo.stages.pop(0) if len(repo.stages) > 1 else repo.stages[0]
        hardware = {"current": None, "requested": repo.made.get("hardware", "cpu-basic")}
        self._send(200, {"stage": stage, "hardware": hardware, "gcTimeout": None, "replicas": {"requested": 1}})

    def _branch(self, repo: Repo, name: str, branch: str) -> None:
        self._check_may_write()
        if branch in repo.branches:
            raise AnswerError(409, message="Reference already exists")
        repo.branches[branch] = repo.branches["main"]
        self._send(201, {})

    def _preupload(self, repo: Repo, name: str, revision: str) -> None:
        self._check_may_write()
        there = repo.commits[self._sha(repo, revision)]
        files = [
            {
                "path": (path := asked["path"]),
                "uploadMode": "lfs" if path.endswith(self.server.lfs_suffixes) else "regular",
                "shouldIgnore": False,
                "oid": there[path].oid if path in there else None,
            }
            for asked in json.loads(self.body)["files"]
        ]
        self._send(200, {"files": files})

    def _lfs_batch(self, repo: Repo) -> None:
        self._check_may_write()
        objects = [
            {**asked, "actions": {"upload": {"href": f"{self.server.url}/lfs/{asked['oid']}", "header": {}}}}
            for asked in json.loads(self.body)["objects"]
        ]
        self._send(200, {"transfer": "basic", "objects": objects})

    def _commit(self, repo: Repo, name: str, branch: str) -> None:
        self._check_may_write()
        files = {}
        for line in self.body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = File(base64.b64decode(value["content"]))
            elif item["key"] == "lfsFile":
                files[value["path"]] = File(self.server.lfs_objects[value["oid"]], lfs=True)
        sha = repo.commit(files, branch)
        self._send(200, {"success": True, "commitOid": sha, "commitUrl": f"{self.server.url}/{name}/commit/{sha}"})

    def _revision(self, repo: Repo, name: str, revision: str) -> None:
        sha = self._sha(repo, revision)
        files = [{"rfilename": path} for path in repo.commits[sha]]
        name = name.removeprefix("spaces/")
        self._send(200, {"id": name, "modelId": name, "sha": sha, "private": repo.private, "siblings": files})

    def _tree(self, repo: Repo, name: str, revision: str) -> None:
        tree = repo.commits[self._sha(repo, revision)]
        self._send(
            200,
            [{"type": "file", "path": path, "size": len(f.data), "oid": f.oid} for path, f in tree.items()],
        )

    def _resolve(self, repo: Repo, revision: str, path: str) -> None:
        sha = self._sha(repo, revision)
        file = repo.commits[sha].get(path)
        if file is None:
            raise AnswerError(404, "EntryNotFound", "Entry not found")
        self._send(200, file.data, {"X-Repo-Commit": sha, "ETag": f'"{file.oid}"'})

    def _sha(self, repo: Repo, revision: str) -> str:
        sha = repo.resolve(revision)
        if sha is None:
            raise AnswerError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return sha

    # -- bytes

    def _read_body(self) -> bytes:
        """Read what was sent; the client sends a large file in chunks, without its length."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        request = f"{self.command} {urlsplit(self.path).path}"
        odd = next((one for one in self.server.oddities if re.search(one.where, request)), Oddity(""))
        if odd.sha != "" and isinstance(content, dict) and "sha" in content:
            content["sha"] = odd.sha
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(data))} | (headers or {})
        for name, value in {**headers, **odd.headers}.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for at in range(len(data)) if odd.drip else ():
                self.wfile.write(data[at : at + 1])
                time.sleep(odd.drip)
            self.wfile.write(b"" if odd.drip else data)
