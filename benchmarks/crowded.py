"""How long does a visitor wait for five characters while others take all that they can get?

`python -m benchmarks.crowded` starts `python app.py` anew for each kind of crowd, and asks for five characters, again
and again, while the crowd is there. `--app FOLDER`, once or more, measures the app of other checkouts by this script.
The crowd is a process of its own, and everybody has an address of their own, for which Linux takes all of 127.0.0.0/8.
"""

import asyncio
import contextlib
import functools
import itertools
import json
import multiprocessing
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from benchmarks.memory import resident
from benchmarks.serve import serving
from benchmarks.visitors import PROMPT, Page, RefusedError, ask, buttons, opened, press, read_chat, visitor

PAUSE_S = 0.25  # between two texts: this visitor is no crowd
ANSWERED, BUSY, OTHERWISE = "answered", "busy", "otherwise"
JSON = "application/json"
CROWD = 10  # the number of the crowd's first visitor; 0 is the one whose waiting is measured
VERSE = "O Romeo, Romeo! wherefore art thou Romeo?\nDeny thy father and refuse thy name.\n"
Crowd = Callable[[str, dict[str, int], int, float], Coroutine[Any, Any, Counter[str]]]


async def outcome(request: Awaitable[Any]) -> str:
    """Say what became of a request."""
    try:
        await request
    except RefusedError as error:
        return BUSY if "Busy" in str(error) else OTHERWISE
    except (httpx.HTTPError, ValueError, KeyError):  # a connection that broke off, or an answer that is none
        return OTHERWISE
    return ANSWERED


async def nobody(url: str, functions: dict[str, int], many: int, seconds: float) -> Counter[str]:
    """Leave the visitor alone."""
    await asyncio.sleep(seconds)
    return Counter()


async def pages(url: str, functions: dict[str, int], many: int, seconds: float) -> Counter[str]:
    """Hold pages open, each of another address, and read one chat after the other in each."""

    async def read(page: Page, seed: int) -> Counter[str]:
        found, end = Counter[str](), time.monotonic() + seconds
        while time.monotonic() < end:
            found[await outcome(read_chat(page, functions["go"], 400, seed, pace=30))] += 1
        return found

    async with contextlib.AsyncExitStack() as visit:
        there = [await visit.enter_async_context(opened(url, CROWD + number)) for number in range(many)]
        return sum(await asyncio.gather(*map(read, there, itertools.count())), Counter())


async def surprises(url: str, functions: dict[str, int], many: int, seconds: float, addresses: int) -> Counter[str]:
    """Let a rung read 2,000 characters, once in each of many sessions, all at the same time."""
    text = (VERSE * 40)[:2_000]

    async def read(page: Page) -> None:
        async for _ in press(page, functions["surprise-one"], text, "gpt", ""):
            pass

    async with contextlib.AsyncExitStack() as visit:
        there = [await visit.enter_async_context(visitor(url, CROWD + number)) for number in range(addresses)]
        readers = [Page.of(there[number % addresses]) for number in range(many)]
        return Counter(await asyncio.gather(*(outcome(read(page)) for page in readers)))


async def slow_chats(url: str, functions: dict[str, int], many: int, seconds: float) -> Counter[str]:
    """Read as many chats as one address gets, each at a character a second."""

    async def read(page: Page, seed: int) -> str:
        try:
            async with asyncio.timeout(seconds):
                return await outcome(read_chat(page, functions["go"], 2_000, seed, pace=1))
        except TimeoutError:  # it would go on for half an hour
            return ANSWERED

    async with visitor(url, CROWD) as http:
        return Counter(await asyncio.gather(*(read(Page.of(http), seed) for seed in range(many))))


async def sessions(url: str, functions: dict[str, int], many: int, seconds: float) -> Counter[str]:
    """Make new sessions from one address, fifty at a time, and read no answer."""
    return await loop(url, many, lambda http, number: ask_new(http))


async def ask_new(http: httpx.AsyncClient) -> httpx.Response:
    body = {"data": [PROMPT, 1], "session_hash": Page.of(http).session}
    return await http.post("/gradio_api/call/generate", json=body)


async def unfetched(url: str, functions: dict[str, int], many: int, seconds: float) -> Counter[str]:
    """Ask for texts of five characters from a hundred addresses, and fetch none."""
    return await post(url, many, {"prompt": PROMPT, "length": 5}, "call/v2/generate", 1)


async def refused(url: str, functions: dict[str, int], many: int, seconds: float) -> Counter[str]:
    """Send prompts of a million characters, each in a session of its own; none is taken."""
    return await post(url, many, {"data": ["x" * 1_000_000, 5]}, "call/generate", 1)


async def slow_bodies(url: str, functions: dict[str, int], many: int, seconds: float) -> Counter[str]:
    """Send a megabyte of each body, and then nothing more for a time."""
    return await post(url, many, {"prompt": "x" * 1_000_000}, "call/v2/generate", seconds)


async def unread(url: str, functions: dict[str, int], many: int, seconds: float) -> Counter[str]:
    """Ask for the list of models in thirty sessions of one address, fifty times at once, and read no answer."""
    return await loop(url, many, lambda http, number: ask_in(http, f"{number % 30:032x}"))


async def ask_in(http: httpx.AsyncClient, session: str) -> httpx.Response:
    return await http.post("/gradio_api/call/models", json={"data": [], "session_hash": session})


async def values(url: str, functions: dict[str, int], many: int, seconds: float) -> Counter[str]:
    """Send prompts that are lists of 190,000 numbers, fifty at a time, from one address."""
    body = {"prompt": [1] * 190_000}
    return await loop(url, many, lambda http, number: http.post("/gradio_api/call/v2/generate", json=body))


async def loads(url: str, functions: dict[str, int], many: int, seconds: float) -> Counter[str]:
    """Load the page, fifty times at once, from one address."""
    return await loop(url, many, lambda http, number: http.get("/"))


async def loop(
    url: str, many: int, send: Callable[[httpx.AsyncClient, int], Awaitable[httpx.Response]]
) -> Counter[str]:
    """Send requests from one address, fifty at a time."""
    places = asyncio.Semaphore(50)

    async def one(http: httpx.AsyncClient, number: int) -> None:
        async with places:
            answer = await send(http, number)
            if answer.status_code != 200:
                raise RefusedError(answer.text)

    async with visitor(url, CROWD) as http:
        return Counter(await asyncio.gather(*(outcome(one(http, number)) for number in range(many))))


async def post(url: str, many: int, fields: dict[str, Any], path: str, seconds: float) -> Counter[str]:
    """Send one body to an address, often, from a hundred visitors; its last byte comes after these seconds."""
    places = asyncio.Semaphore(many if seconds > 1 else 50)

    async def send(http: httpx.AsyncClient, number: int) -> None:
        session = {"session_hash": f"{number:032x}"} if "data" in fields else {}
        body = json.dumps(fields | session).encode()

        async def parts() -> AsyncIterator[bytes]:
            yield body[:-1]
            await asyncio.sleep(seconds if seconds > 1 else 0)
            yield body[-1:]

        async with places:
            answer = await http.post(f"/gradio_api/{path}", content=parts(), headers={"Content-Type": JSON})
            if answer.status_code != 200:
                raise RefusedError(answer.text)

    async with contextlib.AsyncExitStack() as visit:
        there = [await visit.enter_async_context(visitor(url, CROWD + number)) for number in range(100)]
        return Counter(await asyncio.gather(*(outcome(send(there[number % 100], number)) for number in range(many))))


def come(crowd: Crowd, url: str, functions: dict[str, int], many: int, seconds: float) -> Counter[str]:
    """Be the crowd, in a process of its own."""
    return asyncio.run(crowd(url, functions, many, seconds))


async def wait_beside(url: str, crowd: Future[Counter[str]]) -> tuple[list[float], Counter[str]]:
    """Ask for five characters, again and again while the crowd is there; return the seconds, and what came of it."""
    waits, found = [], Counter[str]()
    async with visitor(url, 0) as http:
        while not found or not crowd.done():
            started = time.perf_counter()
            found[what := await outcome(ask(http, 5, seed=found.total()))] += 1
            if what == ANSWERED:
                waits.append(time.perf_counter() - started)
            await asyncio.sleep(PAUSE_S)
    return waits, found


def main(
    app: Annotated[
        list[Path] | None, typer.Option(help="The folder of a checkout, once or more; else this one.")
    ] = None,
    clients: Annotated[int, typer.Option(help="Pages, and requests to Surprise.")] = 100,
    chats: Annotated[int, typer.Option(help="Slow ones that one address asks for.")] = 200,
    new: Annotated[int, typer.Option(help="Sessions.")] = 2_000,
    seconds: Annotated[float, typer.Option(help="That pages and slow chats stay.")] = 60,
    warm_s: Annotated[float, typer.Option(help="Seconds to wait first: the app compiles in the background.")] = 60,
    only: Annotated[str, typer.Option(help="Only the crowds with this word in their names.")] = "",
) -> None:
    crowds: dict[str, tuple[Crowd, int]] = {
        "nobody": (nobody, 0),
        f"{clients} pages that stay open and read chats": (pages, clients),
        f"{clients} × Surprise, from one address": (functools.partial(surprises, addresses=1), clients),
        f"{clients} × Surprise, each from its own": (functools.partial(surprises, addresses=clients), clients),
        f"{chats} chats at pace 1, from one address": (slow_chats, chats),
        f"{new:,} new sessions, from one address": (sessions, new),
        f"{3 * new:,} texts that nobody fetches": (unfetched, 3 * new),
        f"{new // 4:,} prompts of a megabyte, refused": (refused, new // 4),
        f"{3 * new:,} answers that nobody reads": (unread, 3 * new),
        f"{new // 4:,} prompts of 190,000 values": (values, new // 4),
        f"{new:,} times the page, from one address": (loads, new),
        f"{3 * clients} bodies that stop after a megabyte": (slow_bodies, 3 * clients),
    }
    print("In seconds: how long one visitor waits for five characters; in MiB: the server's memory.\n")
    heads = ("answered", "median", "p95", "longest", "of the crowd: answered", BUSY, OTHERWISE, "MiB before", "after")
    print(f"| app | beside | {' | '.join(heads)} |")
    print(f"|---|---|{'---:|' * len(heads)}", flush=True)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as beside:
        chosen = [(name, *crowds[name]) for name in crowds if only in name]
        for folder, (name, crowd, many) in itertools.product(app or [Path()], chosen):
            with serving([str(folder / "app.py")], 7876) as (url, pid):
                time.sleep(warm_s)
                functions = buttons(httpx.Client(base_url=url))
                beside.submit(int).result()  # the process is there, and has imported what it needs
                before = resident(pid)[0]
                coming = beside.submit(come, crowd, url, functions, many, seconds)
                waits, own = asyncio.run(wait_beside(url, coming))
                others = coming.result()
                time.sleep(3)  # who has left is noticed within a heartbeat
                after = resident(pid)[0]
            waits.sort()
            p95 = waits[int(0.95 * (len(waits) - 1))] if waits else 0.0
            times = (statistics.median(waits), p95, waits[-1]) if waits else ()
            cells = [
                folder.resolve().name,
                name,
                f"{own[ANSWERED]} of {own.total()}",
                *([f"{figure:.2f}" for figure in times] or ["never"] * 3),
                *(f"{others[kind]:,}" for kind in (ANSWERED, BUSY, OTHERWISE)),
                *(f"{size:,.0f}" for size in (before, after)),
            ]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
