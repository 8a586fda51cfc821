"""The app under abuse: thousands of generated requests to every endpoint, and it answers the next good one.

MODELCRAFT_ABUSE says how many requests an endpoint is sent.
"""

import asyncio
import json
import os
import random
import re
import socket
import threading
from pathlib import Path

import httpx
import pytest
from app_server import AppServer
from gradio.utils import get_upload_folder
from hostile import Hostile

REQUESTS = int(os.environ.get("MODELCRAFT_ABUSE", "1000"))
AT_ONCE = 24
DIALS = ("length", "temperature", "model", "top_k", "top_p", "seed")
ENDPOINTS = {"generate": ("prompt", *DIALS), "chat": ("message", *DIALS), "models": ()}
FORBIDDEN = re.compile(
    rb"Traceback|File \"/|/site-packages|root:x:|<script>alert|<img src=x|onerror=|" + str(Path.home()).encode() + rb"/"
)
HANGING_S = 60
pytestmark = pytest.mark.timeout(900)  # thousands of requests take their time


@pytest.fixture(scope="module")
def server():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("modelcraft.ui.middleware.NEW_SESSIONS", (1e9, 1e9))  # all of these come from one address
        one = AppServer()
    # Each training is a process: here nobody's turn ever comes.
    one.service.trainings.running = 0
    yield one
    one.close()


class Seen:
    """What came back, counted by status; whatever must never be said is found here."""

    def __init__(self, server: AppServer) -> None:
        self.server, self.counts = server, {}

    def check(self, status: int, body: bytes, sent: object) -> None:
        self.counts[status] = self.counts.get(status, 0) + 1
        assert status < 500 or (status == 503 and b"Busy" in body), (status, body[:300], sent)
        if found := FORBIDDEN.search(body):
            raise AssertionError(f"{found[0]!r} in {body[:400]!r}, the answer to {str(sent)[:400]}")

    def afterwards(self) -> None:
        """A good request is answered, and nothing runs on."""
        assert self.server.call("generate", {"prompt": "A", "length": 3})[-1][0] == "complete"
        assert self.server.settled(20)
        print(sum(self.counts.values()), "requests:", dict(sorted(self.counts.items())))


def flood(server: AppServer, one, many: int = REQUESTS) -> Seen:
    """Do `one(client, seen, number)` so many times, some of them at once."""
    seen = Seen(server)

    async def all_of_them() -> None:
        limits = httpx.Limits(max_connections=AT_ONCE)
        async with httpx.AsyncClient(base_url=server.url, timeout=HANGING_S, limits=limits) as client:
            room = asyncio.Semaphore(AT_ONCE)

            async def in_turn(number: int) -> None:
                async with room:
                    await one(client, seen, number)

            await asyncio.gather(*(in_turn(number) for number in range(many)))

    asyncio.run(all_of_them())
    return seen


async def follow(client: httpx.AsyncClient, seen: Seen, address: str, sent: object, leave: bool) -> None:
    """Read the events of a call to their end, or leave in the middle."""
    async with client.stream("GET", address) as events:
        body = b""
        async for part in events.aiter_bytes():
            body += part
            if leave:
                break
        seen.check(events.status_code, body, sent)
        for sentence in re.findall(rb'"error": ?("(?:[^"\\]|\\.)*")', body):  # one sentence, and nothing of markup
            said = json.loads(sentence)
            assert len(said) < 600, said
            assert "\n" not in said, said
            assert "<" not in said, said


@pytest.mark.parametrize("name", ENDPOINTS)
def test_every_endpoint_answers_whatever_it_is_sent(server, name):
    async def one(client, seen, number):
        hostile = Hostile(hash((len(name), number)))
        positional = number % 2 == 0
        address = f"/gradio_api/call/{'' if positional else 'v2/'}{name}"
        sent = hostile.body(ENDPOINTS[name], positional) if ENDPOINTS[name] else b'{"data": []}'
        answer = await client.post(address, content=sent, headers={"Content-Type": "application/json"})
        seen.check(answer.status_code, answer.content, sent)
        if answer.status_code == 200:
            event = answer.json()["event_id"]
            await follow(client, seen, f"{address}/{event}", sent, leave=number % 17 == 0)

    many = REQUESTS if ENDPOINTS[name] else REQUESTS // 4
    seen = flood(server, one, many)
    assert sum(seen.counts.values()) >= many
    assert seen.counts[200] > many / 4  # so much got through the middleware
    seen.afterwards()


def test_every_function_behind_the_page_answers_whatever_it_is_sent(server):
    functions = {number: fn for number, fn in server.demo.fns.items() if fn.fn is not None}
    numbers = sorted(functions)

    async def one(client, seen, number):
        hostile = Hostile(number, whole=0.3)
        index = numbers[number % len(numbers)]
        data = [hostile.value() for _ in functions[index].inputs]
        session = hostile.session()
        sent = json.dumps({"fn_index": index, "data": data, "session_hash": session})
        answer = await client.post(
            "/gradio_api/queue/join", content=sent.encode(), headers={"Content-Type": "application/json"}
        )
        seen.check(answer.status_code, answer.content, sent)
        if answer.status_code == 200:
            await follow(client, seen, f"/gradio_api/queue/data?session_hash={session}", sent, leave=number % 17 == 0)

    seen = flood(server, one)
    assert seen.counts[200] > REQUESTS / 4
    seen.afterwards()


def test_uploads_stay_where_they_belong(server, monkeypatch):
    monkeypatch.setattr("modelcraft.ui.middleware.MAX_UPLOADS", 1 << 30)
    folder = Path(get_upload_folder()).resolve()

    async def one(client, seen, number):
        name, content = Hostile(number).file()
        head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="' + name + b'"\r\n\r\n'
        sent = head + content + b"\r\n--x--\r\n"
        if number % 11 == 0:
            sent = sent[: len(sent) // 2]
        answer = await client.post(
            "/gradio_api/upload", content=sent, headers={"Content-Type": "multipart/form-data; boundary=x"}
        )
        if answer.status_code == 200:
            for path in answer.json():
                assert Path(path).resolve().is_relative_to(folder), (name, path)
                Path(path).unlink(missing_ok=True)
        else:
            seen.check(answer.status_code, answer.content, sent)
        seen.counts[200] = seen.counts.get(200, 0) + (answer.status_code == 200)

    seen = flood(server, one, REQUESTS // 2)
    assert seen.counts[200] > REQUESTS // 8
    seen.afterwards()


@pytest.mark.parametrize(
    "path",
    [
        "file=/etc/passwd",
        "file=../../../../etc/passwd",
        "file=%2e%2e/%2e%2e/etc/passwd",
        "file=app.py",
        "file=modelcraft/serving/training_queue.py",
        "file=weights/bigram/config.json",
        "file=C:\\Windows\\win.ini",
        "file=file:///etc/passwd",
        "file=http://127.0.0.1:1/",
        "proxy=http://127.0.0.1:1/",
        "stream/../../etc/passwd",
        "custom_component/../../../etc/passwd",
        "file=" + "A" * 5_000,
        "call/generate/../../../etc/passwd",
        "component_server",
        "theme.css/../../app.py",
        "vibe-starter-queries",
        "startup-events",
        "monitoring",
        "run-history",
    ],
)
def test_no_address_gives_out_a_file(server, path):
    answer = httpx.get(f"{server.url}/gradio_api/{path}", timeout=10)
    Seen(server).check(answer.status_code, answer.content, path)
    assert b"import gradio" not in answer.content
    assert b'"vocabulary"' not in answer.content


def test_slow_and_abrupt_clients_hold_nothing_up(server):
    host, port = server.url.removeprefix("http://").split(":")
    address = (host, int(port))
    dice = random.Random(1)
    held = []
    for number in range(200):
        connection = socket.create_connection(address)
        body = json.dumps({"prompt": "A", "length": 50}).encode()
        request = (
            f"POST /gradio_api/call/v2/generate HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body) + (number % 3) * 100}\r\n\r\n"
        ).encode() + body
        connection.sendall(request[: dice.randrange(1, len(request) + 1)])
        if number % 2:
            connection.close()
        else:
            held.append(connection)  # says no more, and stays
    seen = Seen(server)
    seen.afterwards()
    for connection in held:
        connection.close()
    seen.afterwards()


def test_no_thread_is_left_over(server):
    names = [thread.name for thread in threading.enumerate()]
    assert sum(name.startswith("engine") for name in names) == 0
    assert len(names) < 80, names
