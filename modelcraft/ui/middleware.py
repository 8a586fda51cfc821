"""The middleware before Gradio: it answers invalid requests clearly, before they can become an HTTP 500."""

import json
import logging
import re
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple

from gradio.utils import get_upload_folder
from python_multipart.multipart import parse_options_header
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from modelcraft.serving.clients import Allowance, Client, Shares, has_room, network
from modelcraft.support.errors import BusyError
from modelcraft.ui.bodies import BODY, MAX_BODY, MAX_FIELDS, MAX_HELD, MAX_VALUES, Bodies, Body, RefusedError, parsed
from modelcraft.ui.routes import FOREIGN, NOT_FOR_OTHER_SITES
from modelcraft.ui.unread import MAX_UNREAD

PREFIX = "/gradio_api"
ENVELOPE = 4096  # bytes that a form adds around an uploaded file
UPLOADS_S = 600  # how long an upload may stay on the disk
MAX_UPLOADS = 100 * MAX_BODY  # in total, in that time
UPLOADS_AN_ADDRESS = 16 * MAX_BODY  # per address, in that time
LEAST_UPLOAD = 64 << 10  # the least that a file counts as: it has a folder, too
MAX_FILES = 4  # per upload; the page sends one
PROGRESS = (60, 1)  # progress requests per address: at once, and per second; Gradio keeps each upload's name
NEW_SESSIONS = (1_000, 20)  # per address: at once, and per second; every call without a session_hash makes one
EVENTS = (256, 64)  # waiting for their turn: in total, and per address
QUEUE_S = 3  # how long to wait until some of them are done
REQUESTS = (1_000, 250)  # open at a time, including those that a page keeps open: in total, and per address
PAGES = (100, 2)  # per address: at once, and per second; each takes 10 ms, or 60 from the first to the last
HEAVY = ("/", "/config", f"{PREFIX}/info", f"{PREFIX}/openapi.json")
MODELS = ("/browser/model/", "/browser/weights/")  # up to 9 MB each; they count as pages
FILE = f"{PREFIX}/file="
EVENT = re.compile(rf".*{PREFIX}/call/(?:v2/)?[^/]+/([^/]+)/?")
NO_EVENT = "There is no such event, or what came of it has been read; ask anew."
NO_EVENT_SSE = f"event: error\ndata: {json.dumps({'error': NO_EVENT})}\n\n".encode()  # the same for an event stream
HEARTBEAT = b"event: heartbeat"
PASSED = ("fn_index", "session_hash", "trigger_id", "event_data")  # fields to keep in a function call besides its data
log = logging.getLogger(__name__)
Message = MutableMapping[str, Any]


class Function(NamedTuple):
    """A function behind the page: how many fields it takes, whether the API has it, and whether it streams.

    `files` are the positions of the fields that take a file.
    """

    fields: range
    public: bool
    streams: bool
    files: frozenset[int] = frozenset()


class Queued(NamedTuple):
    """What the events of each address hold."""

    waiting: Counter[str]  # how many events wait for their turn
    bodies: Counter[str]  # bytes of the bodies of unfinished events, beyond the first SMALL of each
    unread: Counter[str]  # bytes of results that no client has read yet


class RequestMiddleware:
    """ASGI middleware: checks the bodies of API calls, limits uploads, and answers for any failure behind it.

    `endpoints` returns Gradio's description of the named endpoints (`Blocks.get_api_info()["named_endpoints"]`),
    `functions` returns each Function by its number, `uploaded` returns the paths of uploaded files, `known` says
    whether a session exists, `pending` whether a client may still fetch an event, `streams` counts the texts that
    clients are reading, and `queued` returns what events hold.
    """

    def __init__(
        self,
        app: ASGIApp,
        endpoints: Callable[[], dict[str, Any]],
        functions: Callable[[], Mapping[int, Function]],
        uploaded: Callable[[], Collection[str]],
        known: Callable[[str], bool],
        pending: Callable[[str], bool],
        streams: Shares,
        queued: Callable[[], Queued],
    ) -> None:
        self.app, self.endpoints, self.functions, self.uploaded = app, endpoints, functions, uploaded
        self.known, self.pending, self.streams, self.queued = known, pending, streams, queued
        self.uploads: deque[tuple[float, int]] = deque()  # time and bytes of each
        self.upload_bytes = Allowance(UPLOADS_AN_ADDRESS, UPLOADS_AN_ADDRESS / UPLOADS_S)
        self.new_sessions = Allowance(*NEW_SESSIONS)
        self.progress = Allowance(*PROGRESS)
        self.bodies = Bodies()
        self.requests = Shares(*REQUESTS, REQUESTS[1])
        self.pages = Allowance(*PAGES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass valid requests on and answer the rest."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        sending: Send = watched
        address = network((scope.get("client") or ("", 0))[0])
        try:
            if FILE in scope["path"]:
                _check_address(scope["path"].partition(FILE)[2])
            if scope["path"].endswith("/upload_progress"):
                self._check_progress(scope["query_string"], address)
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            if scope["method"] == "GET" and (path in HEAVY or path.startswith(MODELS)):
                self.pages.spend(address)
            if scope["method"] == "GET" and (event := EVENT.fullmatch(scope["path"])):
                if not self.pending(event[1]):
                    await Response(NO_EVENT_SSE, media_type="text/event-stream")(scope, receive, send)
                    return
                sending = self._ending(watched, event[1])
            with self.requests.hold(Client(address)), self.bodies.of(address) as body:
                if scope["method"] == "POST":
                    receive = await self._checked(scope, receive, body)
                    scope = {**scope, BODY: (address, body.counted)}
                await self.app(scope, receive, sending)
        except RefusedError as error:
            await JSONResponse({"error": str(error)}, error.status, error.headers)(scope, receive, send)
        except BusyError as error:
            headers = {"Retry-After": str(error.seconds)}
            await JSONResponse({"error": str(error)}, 429, headers)(scope, receive, send)
        except Exception as error:  # Gradio raised instead of answering; no detail may reach the client
            log.warning("%s %r", scope["method"], scope["path"][:200], exc_info=True)
            if started:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            theirs = scope["method"] == "POST" and not isinstance(error, OSError)  # a full disk is our own fault
            sentence = "This request could not be understood." if theirs else "Something broke here; try again."
            await JSONResponse({"error": sentence}, 400 if theirs else 503)(scope, receive, send)

    def _ending(self, send: Send, event: str) -> Send:
        """Pass on an event's stream, and end it with an error once nothing more can come.

        If two clients read one session, either may take the other's end message, and one that leaves ends the events
        of both: Gradio would then send heartbeats forever.
        """
        over = False

        async def sending(message: Message) -> None:
            nonlocal over
            if over:
                return
            if message.get("body", b"").startswith(HEARTBEAT) and not self.pending(event):
                over, message = True, {"type": "http.response.body", "body": NO_EVENT_SSE, "more_body": False}
            await send(message)

        return sending

    async def _checked(self, scope: Scope, receive: Receive, arriving: Body) -> Receive:
        """Return a `receive` that replays the body, with omitted defaults filled in.

        Raises RefusedError, or BusyError for a client that has reached a limit.
        """
        path = scope["path"].rstrip("/").partition(PREFIX)[2]  # behind a proxy the app may have a path prefix
        if path == "/upload":
            upload = await arriving.read(receive, MAX_BODY + ENVELOPE)
            return _replay(self._counted(upload, arriving.address, dict(scope["headers"])), receive)
        body = await arriving.read(receive)
        fields = parsed(body)
        self._check_values(fields, MAX_FIELDS if path.startswith("/call/") else MAX_VALUES)
        session = str(fields.get("session_hash") or "")
        if path.startswith("/call/v2/"):
            body, streams = self._named(path.removeprefix("/call/v2/"), fields), True
        elif path.startswith("/call/"):
            body, streams = self._positional(path.removeprefix("/call/"), fields), True
        elif path == "/queue/join":
            asked, body = self._join(fields, bool(scope.get(FOREIGN)))
            streams = asked.streams
        else:
            return _replay(body, receive)
        self._check_queue(arriving)
        if not session or not self.known(session):
            self.new_sessions.spend(arriving.address)
        if streams:
            self.streams.check(Client(arriving.address, session))
        return _replay(body, receive)

    def _check_queue(self, body: Body) -> None:
        """Refuse an event if too many wait, if they hold too many bytes, or if too many result bytes are unread."""
        waiting, bodies, unread = self.queued()
        if not has_room(waiting.total(), EVENTS[0], waiting[body.address], EVENTS[1]):
            raise BusyError(QUEUE_S)
        if body.counted and (bodies.total() >= MAX_HELD[0] or bodies[body.address] >= MAX_HELD[1]):
            raise BusyError(QUEUE_S)
        if unread.total() >= MAX_UNREAD[0] or unread[body.address] >= MAX_UNREAD[1]:
            raise BusyError(QUEUE_S)

    def _check_progress(self, query: bytes, address: str) -> None:
        if len(query) > 100:
            raise RefusedError(400, "upload_id must be a short text.")
        self.progress.spend(address)

    def _check_values(self, value: Any, most: int) -> None:
        """Refuse too many values, and anything that Gradio could fetch as a file unless it was uploaded here."""
        values, found, uploaded = [value], 1, self.uploaded()
        while values:
            one = values.pop()
            if isinstance(one, dict | list) and (found := found + len(one)) > most:
                raise RefusedError(400, f"The request has too many parts, more than {most:,}.")
            if isinstance(one, dict):
                if "path" in one and not (isinstance(one["path"], str) and one["path"] in uploaded):
                    raise RefusedError(400, "There is no such file here; upload it first.")
                values.extend(one.values())
            elif isinstance(one, list):
                values.extend(one)

    def _counted(self, upload: bytes, address: str, headers: dict[bytes, bytes]) -> bytes:
        """Refuse an upload if too many bytes came recently: all uploads stay on the disk until a sweep."""
        _, options = parse_options_header(headers.get(b"content-type"))
        if b"boundary" not in options:
            raise RefusedError(400, "An upload is a form with a file.")
        if upload.count(b"--" + options[b"boundary"]) > MAX_FILES + 1:  # one before each part, one at the end
            raise RefusedError(400, "Upload one file at a time.")
        now = time.monotonic()
        while self.uploads and self.uploads[0][0] < now - UPLOADS_S:
            self.uploads.popleft()
        if sum(size for _, size in self.uploads) + len(upload) > MAX_UPLOADS:
            raise RefusedError(503, f"Busy, try again in {UPLOADS_S // 2} seconds.", UPLOADS_S // 2)
        self.upload_bytes.spend(address, max(LEAST_UPLOAD, len(upload)))
        self.uploads.append((now, len(upload)))
        return upload

    def _parameters(self, name: str) -> list[dict[str, Any]]:
        endpoints = self.endpoints()
        if f"/{name}" not in endpoints:
            raise RefusedError(404, f"There is no such endpoint; there are {', '.join(endpoints)}.")
        parameters: list[dict[str, Any]] = endpoints[f"/{name}"]["parameters"]
        return parameters

    def _named(self, name: str, fields: dict[str, Any]) -> bytes:
        parameters = {p["parameter_name"]: p for p in self._parameters(name)}
        for field in fields:
            if field not in parameters:
                shown = field[:40].encode("ascii", "replace").decode()
                raise RefusedError(400, f"/{name} has no field {shown!r}; it has {', '.join(parameters) or 'none'}.")
        for field, parameter in parameters.items():
            if field not in fields and not parameter["parameter_has_default"]:
                raise RefusedError(400, f"/{name} needs the field {field!r}.")
        return json.dumps(fields).encode()

    def _positional(self, name: str, fields: dict[str, Any]) -> bytes:
        parameters = self._parameters(name)
        data = fields.get("data")
        if not isinstance(data, list):
            raise RefusedError(400, f'/{name} takes {{"data": [...]}} with its fields in order.')
        if len(data) > len(parameters):
            raise RefusedError(400, f"/{name} takes at most {len(parameters)} fields, not {len(data)}.")
        for parameter in parameters[len(data) :]:
            if not parameter["parameter_has_default"]:
                raise RefusedError(400, f"/{name} needs the field {parameter['parameter_name']!r}.")
            data.append(parameter["parameter_default"])
        session = fields.get("session_hash")
        if session is not None and not (isinstance(session, str) and 0 < len(session) <= 100 and session.isascii()):
            raise RefusedError(400, "session_hash must be a short text.")
        return json.dumps({"data": data, **({"session_hash": session} if session else {})}).encode()

    def _join(self, fields: dict[str, Any], foreign: bool) -> tuple[Function, bytes]:
        try:
            json.dumps(fields, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise RefusedError(400, "The request holds halves of characters (lone surrogates).") from None
        number, data, session = fields.get("fn_index"), fields.get("data"), fields.get("session_hash")
        asked = self.functions().get(number) if isinstance(number, int) and not isinstance(number, bool) else None
        if asked is None:
            raise RefusedError(404, "There is no such function; see /gradio_api/info.")
        if foreign and not asked.public:
            raise RefusedError(403, NOT_FOR_OTHER_SITES)
        takes = asked.fields
        if not isinstance(data, list) or len(data) not in takes:
            many = f"{takes[0]} to {takes[-1]}" if len(takes) > 1 else takes[-1]
            raise RefusedError(400, f"This function takes a list of {many} fields.")
        if not isinstance(session, str) or not 0 < len(session) <= 100 or not session.isascii():
            raise RefusedError(400, "session_hash must be a short text.")
        for place in asked.files:
            if data[place] is not None and not (isinstance(data[place], dict) and "path" in data[place]):
                raise RefusedError(400, "There is no such file here; upload it first.")
        # Gradio's JavaScript client omits trailing fields; null is their default.
        passed = {name: fields[name] for name in PASSED if name in fields}
        return asked, json.dumps(passed | {"data": data + [None] * (takes[-1] - len(data))}).encode()


def _check_address(path: str) -> None:
    """Refuse any file outside the folder of uploads and downloads."""
    folder = Path(get_upload_folder()).resolve()
    try:
        known = Path(path).is_absolute() and Path(path).resolve().is_relative_to(folder)
    except (OSError, ValueError, RuntimeError):
        known = False
    if not known:
        raise RefusedError(404, "There is no such file here.")


def _replay(body: bytes, receive: Receive) -> Callable[[], Awaitable[Message]]:
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()  # only a disconnect can follow
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
