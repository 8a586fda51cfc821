"""The gate before Gradio: what makes no sense gets a clear answer here, before it can become an HTTP 500."""

import json
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

MAX_BODY = 2 << 20  # bytes; a visitor's whole script fits several times
MAX_READ = 16 * MAX_BODY
ENVELOPE = 4096  # bytes that go around an uploaded file
UPLOADS_S = 600  # so long what was uploaded may lie on the disk
MAX_UPLOADS = 100 * MAX_BODY  # together, in that time
PREFIX = "/gradio_api"
log = logging.getLogger(__name__)
Message = MutableMapping[str, Any]


class RefusedError(Exception):
    """A request that is answered at the gate, with a status and one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Gate:
    """ASGI middleware: checks the bodies of API calls, bounds uploads, and answers for whatever breaks behind it.

    `endpoints` gives Gradio's description of the named endpoints (`Blocks.get_api_info()["named_endpoints"]`),
    `functions` maps a function's number to how many fields it takes.
    """

    def __init__(
        self, app: ASGIApp, endpoints: Callable[[], dict[str, Any]], functions: Callable[[], dict[int, range]]
    ) -> None:
        self.app, self.endpoints, self.functions = app, endpoints, functions
        self.uploads: deque[tuple[float, int]] = deque()  # when, and how many bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what makes sense, answer the rest."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            if scope["method"] == "POST":
                receive = await self._checked(scope["path"].rstrip("/"), receive)
            await self.app(scope, receive, watched)
        except RefusedError as error:
            await JSONResponse({"error": str(error)}, error.status)(scope, receive, send)
        except Exception:  # Gradio raised where it should have answered; nothing of it may reach the client
            log.warning("%s %r", scope["method"], scope["path"][:200], exc_info=True)
            if started:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            asked = scope["method"] == "POST"
            sentence = "This request could not be understood." if asked else "Something broke here; try again."
            await JSONResponse({"error": sentence}, 400 if asked else 503)(scope, receive, send)

    async def _checked(self, path: str, receive: Receive) -> Receive:
        """Return a `receive` that replays the body, mended where it left defaults out; raises RefusedError."""
        path = path.partition(PREFIX)[2]  # behind a proxy the app may live under a path of its own
        if path == "/upload":
            return _replay(self._counted(await _read(receive, MAX_BODY + ENVELOPE)), receive)
        if path.startswith(("/run/", "/api/")):
            raise RefusedError(404, "Use /gradio_api/call/NAME; this address is closed.")
        body = await _read(receive)
        if path.startswith("/call/v2/"):
            body = self._named(path.removeprefix("/call/v2/"), _parsed(body))
        elif path.startswith("/call/"):
            body = self._positional(path.removeprefix("/call/"), _parsed(body))
        elif path == "/queue/join":
            body = self._join(_parsed(body))
        return _replay(body, receive)

    def _counted(self, upload: bytes) -> bytes:
        """Refuse an upload when too much has come of late: all of it lies on the disk until it is swept."""
        now = time.monotonic()
        while self.uploads and self.uploads[0][0] < now - UPLOADS_S:
            self.uploads.popleft()
        if sum(size for _, size in self.uploads) + len(upload) > MAX_UPLOADS:
            raise RefusedError(503, f"Busy, try again in {UPLOADS_S // 2} seconds.")
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

    def _join(self, fields: dict[str, Any]) -> bytes:
        try:
            json.dumps(fields, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise RefusedError(400, "The request holds halves of characters (lone surrogates).") from None
        number, data, session = fields.get("fn_index"), fields.get("data"), fields.get("session_hash")
        takes = self.functions().get(number) if isinstance(number, int) and not isinstance(number, bool) else None
        if takes is None:
            raise RefusedError(404, "There is no such function; see /gradio_api/info.")
        if not isinstance(data, list) or len(data) not in takes:
            many = f"{takes[0]} to {takes[-1]}" if len(takes) > 1 else takes[-1]
            raise RefusedError(400, f"This function takes a list of {many} fields.")
        if not isinstance(session, str) or not 0 < len(session) <= 100 or not session.isascii():
            raise RefusedError(400, "session_hash must be a short text.")
        # Gradio's client for JavaScript leaves out fields at the end; null is their default.
        return json.dumps(fields | {"data": data + [None] * (takes[-1] - len(data))}).encode()


async def _read(receive: Receive, most: int = MAX_BODY) -> bytes:
    body, length = b"", 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RefusedError(400, "The request broke off.")
        part = bytes(message.get("body", b""))
        length += len(part)
        more = message.get("more_body", False)
        # What is too large is read on for a while, and not kept: who is still sending would not hear the answer.
        body = body + part if length <= most else b""
        if length > MAX_READ or (length > most and not more):
            raise RefusedError(413, f"The request is larger than {MAX_BODY >> 20} MB.")
        if not more:
            return body


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError(400, "The request is not valid JSON.") from None
    if not isinstance(parsed, dict):
        raise RefusedError(400, "The request must be a JSON object.")
    return parsed


def _replay(body: bytes, receive: Receive) -> Callable[[], Awaitable[Message]]:
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()  # only a disconnect can follow
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
