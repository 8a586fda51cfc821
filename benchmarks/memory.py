"""Does the app forget those who were there? Two thousand requests in a row, a third of them broken off midway.

`python -m benchmarks.memory` starts `python app.py`, sends requests to `/generate`, some at a time, and prints the
server's resident memory and its threads after the first 200, and at the end.
"""

import asyncio
import contextlib
import json
import time
from pathlib import Path
from typing import Annotated

import httpx
import typer

from benchmarks.serve import serving
from benchmarks.visitors import PROMPT, ask, visitor


async def leave(http: httpx.AsyncClient, length: int, seed: int) -> None:
    """Be a client who goes away after the first text."""
    body = {"prompt": PROMPT, "length": length, "seed": seed}
    event = (await http.post("/gradio_api/call/v2/generate", json=body)).json()["event_id"]
    async with http.stream("GET", f"/gradio_api/call/v2/generate/{event}") as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: ") and any(json.loads(line.removeprefix("data: ")) or []):
                return


async def visit(url: str, numbers: range, length: int, at_once: int) -> None:
    """Send the requests of these numbers; every third client leaves in the middle of a long text."""
    places = asyncio.Semaphore(at_once)

    async def one(http: httpx.AsyncClient, number: int) -> None:
        async with places:
            if number % 3 == 2:
                await leave(http, 2_000, number)
            else:
                _, _, text = await ask(http, length, number)
                assert len(text) == length

    async with contextlib.AsyncExitStack() as visit:
        there = [await visit.enter_async_context(visitor(url, number)) for number in range(at_once)]
        await asyncio.gather(*(one(there[number % at_once], number) for number in numbers))


def resident(pid: int) -> tuple[float, int]:
    """Return the resident memory of a process in MiB, and how many threads it has."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(fields["VmRSS"].split()[0]) / 1024, int(fields["Threads"])


def main(
    requests: Annotated[int, typer.Option(help="So many in all.")] = 2_000,
    first: Annotated[int, typer.Option(help="After so many the memory is looked at first.")] = 200,
    length: Annotated[int, typer.Option(help="Characters of each that is read to its end.")] = 60,
    at_once: Annotated[int, typer.Option(help="Clients at a time.")] = 16,
    warm_s: Annotated[float, typer.Option(help="Seconds to wait first: the app compiles in the background.")] = 60,
) -> None:
    with serving(["app.py"], 7872) as (url, pid):
        time.sleep(warm_s)
        print("| after | resident, MiB | threads | seconds |\n|---|---:|---:|---:|")
        started, done, seen = time.perf_counter(), 0, []
        for until in [first, *range(first + 600, requests, 600), requests]:
            asyncio.run(visit(url, range(done, until), length, at_once))
            done = until
            time.sleep(3)  # who has left is noticed within a heartbeat
            seen.append(resident(pid)[0])
            seconds = time.perf_counter() - started
            print(f"| {done:,} requests | {seen[-1]:,.1f} | {resident(pid)[1]} | {seconds:.0f} |", flush=True)
        print(f"\nAt the end {seen[-1] / seen[0]:.3f} × what it was after the first {first:,}.")


if __name__ == "__main__":
    typer.run(main)
