"""Visitors of a running app, each from an address of their own: pages, as their JavaScript behaves, and programs."""

import json
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, NamedTuple

import httpx

PROMPT = "ROMEO:"


class RefusedError(Exception):
    """The server answered with a sentence in place of what was asked for."""


class Page(NamedTuple):
    """A page that is open: its visitor's connections, and its session."""

    http: httpx.AsyncClient
    session: str

    @classmethod
    def of(cls, http: httpx.AsyncClient) -> "Page":
        """Return another page of the same visitor."""
        return cls(http, secrets.token_hex(16))


def visitor(url: str, number: int) -> httpx.AsyncClient:
    """Return the connections of a visitor, from an address by their number: on Linux each 127.x.y.z is this machine."""
    address = f"127.1.{number // 250}.{1 + number % 250}"
    limits = httpx.Limits(max_connections=None)
    transport = httpx.AsyncHTTPTransport(verify=False, local_address=address, limits=limits)  # there is no TLS
    return httpx.AsyncClient(base_url=url, timeout=600, transport=transport)


@asynccontextmanager
async def opened(url: str, number: int) -> AsyncIterator[Page]:
    """Open the page in the name of a visitor, and keep it open, with its heartbeat, while the block runs."""
    async with visitor(url, number) as http:
        (await http.get("/")).raise_for_status()
        page = Page.of(http)
        async with http.stream("GET", f"/gradio_api/heartbeat/{page.session}"):
            yield page


def buttons(http: httpx.Client) -> dict[str, int]:
    """Return the functions that the buttons and choosers of the page call, by their names."""
    config = http.get("/config").json()
    ids = {part["props"].get("elem_id"): part["id"] for part in config["components"]}
    clicks = {
        target: one["id"]
        for wanted in ("input", "click")
        for one in config["dependencies"]
        for target, event in one["targets"]
        if event == wanted
    }
    return {name: clicks[number] for name, number in ids.items() if name and number in clicks}


async def press(page: Page, button: int, *data: Any) -> AsyncGenerator[dict[str, Any], None]:
    """Press a button with these inputs, and yield the messages that come of it. Raises RefusedError."""
    body = {"fn_index": button, "data": data, "session_hash": page.session}
    joined = await page.http.post("/gradio_api/queue/join", json=body)
    if joined.status_code != 200:
        raise RefusedError(joined.text)
    where = f"/gradio_api/queue/data?session_hash={page.session}"
    async with page.http.stream("GET", where) as answer:
        async for line in answer.aiter_lines():
            message = json.loads(line.removeprefix("data: ")) if line else {}
            if message.get("msg") == "process_completed" and not message["success"]:
                raise RefusedError(str(message["output"].get("error")))
            if message:
                yield message


async def read_chat(page: Page, go: int, length: int, seed: int, pace: int = 0) -> tuple[float, float, str]:
    """Let the model go on in the page's chat; return the seconds to the first text and to the last, and the text."""
    started, first, text = time.perf_counter(), 0.0, ""
    dials = (length, 0.8, "gpt", 0, 1.0, str(seed), pace)
    async with aclosing(press(page, go, PROMPT, {"turns": []}, *dials)) as messages:
        async for message in messages:
            changed = message.get("output", {}).get("data", [None])[0]
            if message["msg"] == "process_generating" and isinstance(changed, list) and changed:
                first = first or time.perf_counter() - started
            elif message["msg"] == "process_completed":
                text = changed["turns"][-1]["text"]
    if not text:
        raise RefusedError("The text broke off.")
    return first or time.perf_counter() - started, time.perf_counter() - started, text


async def ask(http: httpx.AsyncClient, length: int, seed: int) -> tuple[float, float, str]:
    """Be a program; return the seconds to the first text and to the last, and the text. Raises RefusedError."""
    started, first, text = time.perf_counter(), 0.0, ""
    body = {"prompt": PROMPT, "length": length, "seed": seed}
    joined = await http.post("/gradio_api/call/v2/generate", json=body)
    if joined.status_code != 200:
        raise RefusedError(joined.text)
    kind = said = ""
    async with http.stream("GET", f"/gradio_api/call/v2/generate/{joined.json()['event_id']}") as answer:
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                said = value
                if kind in ("generating", "complete") and (data := json.loads(value)) and data[0]:
                    text = data[0]
                    first = first or time.perf_counter() - started
    if kind != "complete":
        raise RefusedError(f"{kind}: {said}")
    return first, time.perf_counter() - started, text
