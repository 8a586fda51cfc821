"""The first middleware: it lists the open addresses and who may use them; all other addresses do not exist.

Gradio comes with more than this app uses: a link that exposes a visitor's whole session, a video recorder, a proxy, a
code editor. So a list says what passes through, and a test compares it with Gradio's own table of routes.

A browser sends a visitor's cookies whichever site asks it to, so another site's page could act in the visitor's name.
Here such a page may use the open API, without the cookies; everything else is for the app's own page and for programs.
"""

import os
import re
from collections.abc import Iterable, Mapping
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelcraft.ui import mcp

# For programs and for pages of all sites: the API, and what its clients read before they use it.
OPEN = (
    "GET /config",
    "GET /theme.css",
    "GET /static/{path:path}",
    "GET /assets/{path:path}",
    "GET /gradio_api/info",
    "GET /gradio_api/openapi.json",
    "GET /gradio_api/theme.css",
    "GET /gradio_api/heartbeat/{session_hash}",
    "POST /gradio_api/call/{api_name}",
    "POST /gradio_api/call/v2/{api_name}",
    "GET /gradio_api/call/{api_name}/{event_id}",
    "GET /gradio_api/call/v2/{api_name}/{event_id}",
    "POST /gradio_api/queue/join",  # API functions only, which the next middleware checks
    "GET /gradio_api/queue/data",
)
# For the app's own page, and for programs, which send only their own cookies.
OWN = (
    "GET /",
    "HEAD /",
    "GET /favicon.ico",
    "GET /robots.txt",
    "GET /manifest.json",
    "GET /pwa_icon",
    "GET /pwa_icon/{size}",
    "GET /browser/{file}",
    "HEAD /browser/{file}",
    "GET /browser/model/{name}",
    "HEAD /browser/model/{name}",
    "GET /browser/weights/{name}",
    "HEAD /browser/weights/{name}",
    "GET /login/huggingface",
    "GET /login/callback",
    "GET /logout",
    "GET /gradio_api/app_id",
    "GET /gradio_api/startup-events",
    "GET /gradio_api/file={path_or_url:path}",
    "HEAD /gradio_api/file={path_or_url:path}",
    "GET /gradio_api/upload_progress",
    "POST /gradio_api/upload",
    "POST /gradio_api/cancel",
    "POST /gradio_api/reset",
)
# For programs, if assistants may use the app: see mcp.py.
ASSISTANTS = (
    "GET /gradio_api/mcp",
    "POST /gradio_api/mcp",
    "DELETE /gradio_api/mcp",
    "GET /gradio_api/mcp/schema",
)
# Another site may open these in a window or a frame: the page itself, and the way back from signing in.
LED_TO = re.compile(r"/|/login/(huggingface|callback)|/favicon\.ico|/manifest\.json")
FOREIGN = "modelcraft.foreign"  # key in a scope: whether another site's page sent the request
LOOPBACK = ("localhost", "127.0.0.1", "::1", "0.0.0.0")
NO_SUCH_ADDRESS = "This address is closed, or there is none; use /gradio_api/call/NAME, and see /gradio_api/info."
NOT_FOR_OTHER_SITES = (
    "Pages of other sites may use the API only: /gradio_api/call/NAME; open this app's own page instead."
)
# Gradio's own pages need inline scripts and functions made from text; they need nothing from other sites.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'"
)
RANGE = re.compile(rb"bytes=\d{1,15}-\d{0,15}")  # of a file; Gradio fails on other ranges, which HTTP lets us ignore
FORWARDED = (b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-port", b"x-forwarded-prefix", b"forwarded")


class Routes:
    """ASGI middleware: passes requests on the two lists; those of other sites only to OPEN, and without cookies.

    Proxy headers count only if FORWARDED_ALLOW_IPS, uvicorn's variable, says that there is a proxy.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        own = OWN + ASSISTANTS if mcp.wanted() else OWN
        self.open, self.own = _compiled(OPEN), _compiled(own)
        self.behind_proxy = bool(os.environ.get("FORWARDED_ALLOW_IPS"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass allowed requests on and answer the rest."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # a websocket: nothing here uses one
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        path = _path(scope)
        foreign = self._foreign(headers)
        asked = headers.get("access-control-request-method") if scope["method"] == "OPTIONS" else None
        method = asked or scope["method"]
        opened = any(known == method and pattern.fullmatch(path) for known, pattern in self.open)
        allowed = opened or any(known == method and pattern.fullmatch(path) for known, pattern in self.own)
        led = foreign and headers.get("sec-fetch-mode") == "navigate" and method == "GET" and LED_TO.fullmatch(path)
        if not allowed:
            await _refusal(404, NO_SUCH_ADDRESS)(scope, receive, send)
        elif foreign and not (opened or led):
            await _refusal(403, NOT_FOR_OTHER_SITES)(scope, receive, send)
        elif asked:
            await self._preflight(headers, foreign)(scope, receive, send)
        else:
            kept = [(name, value) for name, value in scope["headers"] if self._kept(name, value, foreign and not led)]
            scope = {**scope, "headers": kept, FOREIGN: foreign and not led}
            await self.app(scope, receive, _guarded(send, foreign and self._readable(headers)))

    def _foreign(self, headers: Headers) -> bool:
        """Say whether another site's page sent the request; programs send neither header."""
        if (site := headers.get("sec-fetch-site")) is not None:  # no page can forge it
            return site not in ("same-origin", "none")
        if (origin := headers.get("origin")) is None:
            return False
        hosts = {headers.get("host")} | ({headers.get("x-forwarded-host")} if self.behind_proxy else set())
        return _split(origin).netloc not in hosts

    def _readable(self, headers: Headers) -> bool:
        """Say whether another site's page may read the answer: not if the app runs on the visitor's own machine."""
        return _host(headers.get("host", "")) not in ("", *LOOPBACK) or _host(headers.get("origin", "")) in LOOPBACK

    def _preflight(self, headers: Headers, foreign: bool) -> Response:
        allowed = {"Access-Control-Allow-Methods": "GET, POST", "Access-Control-Allow-Headers": "*"}
        if foreign and self._readable(headers):
            allowed["Access-Control-Allow-Origin"] = "*"
        return Response(status_code=204, headers=allowed)

    def _kept(self, name: bytes, value: bytes, foreign: bool) -> bool:
        if foreign and name in (b"cookie", b"authorization"):
            return False
        if name == b"range" and not RANGE.fullmatch(value):
            return False
        return self.behind_proxy or name not in FORWARDED


def _compiled(routes: Iterable[str]) -> list[tuple[str, re.Pattern[str]]]:
    """Turn each "GET /a/{b}/{c:path}" into the method and a pattern for the path."""
    found = []
    for route in routes:
        method, _, path = route.partition(" ")
        pattern = re.sub(r"\\\{\w+(:path)?\\\}", lambda part: ".+" if part[1] else "[^/]+", re.escape(path))
        found.append((method, re.compile(pattern, re.DOTALL)))
    return found


def _path(scope: Mapping[str, object]) -> str:
    """Return the path within the app, as Gradio sees it, without a trailing slash."""
    path = str(scope["path"]).removeprefix(str(scope.get("root_path", "")))
    return path.rstrip("/") or "/"


def _host(address: str) -> str:
    """Return the host name in an origin or a Host header, without its port."""
    return _split(address if "//" in address else f"//{address}").hostname or ""


def _split(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError:  # an invalid IPv6 address belongs to nobody
        return SplitResult("", "", "", "", "")


def _refusal(status: int, sentence: str) -> Response:
    return JSONResponse({"error": sentence}, status)


def _guarded(send: Send, readable: bool) -> Send:
    """Add headers that tell a browser to load nothing from other sites and to trust the declared content type.

    Other sites' pages may read the answer if it is `readable`, but never an answer to a visitor's cookies.
    """

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name in ("access-control-allow-credentials", "access-control-allow-origin"):
                del headers[name]
            if readable:
                headers["access-control-allow-origin"] = "*"
            headers["content-security-policy"] = POLICY
            headers["x-content-type-options"] = "nosniff"
            headers["referrer-policy"] = "same-origin"
        await send(message)

    return sending
