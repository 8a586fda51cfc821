"""How many texts at once? The engine alone, and fifty clients at a real server, against the usual way to build one.

`python -m benchmarks.serve` measures, one after the other on this machine:

1. the engine without Gradio, at 1, 8, 32 and 64 streams;
2. fifty clients over HTTP that ask `python app.py` for 400 characters each, all at the same time;
3. the same clients at a server built in the usual way: a sync generator that yields the text at each character, and
   Gradio's own limit of one request at a time, with the same model;
4. a hundred visitors, each from an address of their own, who hold the page of `python app.py` open and read its chat.
"""

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import httpx
import torch
import typer

import modelcraft
from benchmarks.visitors import PROMPT, ask, buttons, opened, read_chat
from modelcraft.inference.engine import Engine
from modelcraft.sampling import SamplingParams
from modelcraft.support.device import threads_for_serving


def engine_alone(engine: Engine, ids: list[int], streams: int, length: int) -> float:
    """Return characters a second, all streams together."""
    started = time.perf_counter()
    running = [engine.submit(ids, SamplingParams(length, seed=seed)) for seed in range(streams)]
    for stream in running:
        for _ in stream:
            pass
    seconds = time.perf_counter() - started
    assert all(len(stream.tokens) == length for stream in running)
    return streams * length / seconds


def usual_app(model: str, port: int) -> None:
    """Serve the model as most demos do."""
    import gradio as gr
    from gradio.events import api

    network, tokenizer = modelcraft.load(model, "cpu")

    def generate(prompt: str, length: int, seed: int) -> Iterator[str]:
        text = ""
        for token in modelcraft.stream(network, tokenizer.encode(prompt), SamplingParams(length, seed=seed)):
            text += tokenizer.decode([token])
            yield text

    with gr.Blocks() as demo:
        api(generate, api_name="generate")
    demo.launch(server_name="127.0.0.1", server_port=port, quiet=True)


@contextmanager
def serving(command: list[str], port: int) -> Iterator[tuple[str, int]]:
    """Start a server of our own, wait until it answers, and end it; give its address and its process id."""
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"}
    server = subprocess.Popen([sys.executable, *command], env=environment, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        while server.poll() is None:
            try:
                if httpx.get(f"{url}/gradio_api/info").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        if server.poll() is not None:
            raise RuntimeError(f"the server ended at once; is port {port} free?")
        yield url, server.pid
    finally:
        server.terminate()
        server.wait()


async def crowd(url: str, clients: int, length: int) -> list[tuple[float, float, str]]:
    """Let all clients ask at the same time."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=600, limits=limits) as http:
        await ask(http, 20, 0)  # one visitor before: the model is loaded
        return list(await asyncio.gather(*(ask(http, length, seed) for seed in range(clients))))


async def crowd_of_pages(url: str, pages: int, length: int) -> list[tuple[float, float, str]]:
    """Open so many pages, each a visitor's own, and keep them open; then press Write in all of them at once."""
    go = buttons(httpx.Client(base_url=url))["go"]
    async with contextlib.AsyncExitStack() as visit:
        there = [await visit.enter_async_context(opened(url, number)) for number in range(pages)]
        return list(await asyncio.gather(*(read_chat(page, go, length, seed) for seed, page in enumerate(there))))


def main(
    model: Annotated[str, typer.Option(help="A rung.")] = "gpt",
    clients: int = 50,
    length: int = 400,
    rounds: int = 3,
    pages: Annotated[int, typer.Option(help="That stay open while they read.")] = 100,
    usual: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    if usual:
        usual_app(model, usual)
        return
    torch.set_num_threads(threads_for_serving())  # as app.py does: the engine takes more by itself
    network, tokenizer = modelcraft.load(model, "cpu")
    engine, ids = Engine(network, patience_s=600), tokenizer.encode(PROMPT)
    engine.decoder.warm_up()  # as app.py does after a while
    print(f"{model}, {torch.get_num_threads()} thread(s), {length} characters each; medians of {rounds}\n")
    print("| streams | characters a second, all together | against one |\n|---:|---:|---:|")
    engine_alone(engine, ids, 4, 50)
    speeds: dict[int, list[float]] = {1: [], 8: [], 32: [], clients: [], 64: []}
    for _ in range(rounds):
        for streams, found in speeds.items():
            found.append(engine_alone(engine, ids, streams, length))
    medians = {streams: statistics.median(found) for streams, found in speeds.items()}
    for streams, median in medians.items():
        print(f"| {streams} | {median:,.0f} | {median / medians[1]:.1f}× |")
    print(
        "\n| server | answered | characters a second | median first text, s | p95 first text, s | all done after, s |"
    )
    print("|---|---:|---:|---:|---:|---:|")
    usual_way = ["-m", "benchmarks.serve", "--model", model, "--usual", "7871"]
    ways = [
        ("`python app.py`", ["app.py"], crowd, clients),
        ("the usual way", usual_way, crowd, clients),
        (f"`python app.py`, {pages} pages that stay open", ["app.py"], crowd_of_pages, pages),
    ]
    texts = []
    for port, (name, command, visit, many) in enumerate(ways, 7870):
        with serving(command, port) as (url, _):
            started = time.perf_counter()
            answers = asyncio.run(visit(url, many, length))
            seconds = max(total for _, total, _ in answers)
            assert seconds <= time.perf_counter() - started
        first = sorted(first for first, _, _ in answers)
        texts.append([text for _, _, text in answers])
        whole = sum(len(text) == length for text in texts[-1])
        p95 = first[min(len(first) - 1, int(0.95 * len(first)))]
        speed = sum(map(len, texts[-1])) / seconds
        middle = first[len(first) // 2]
        print(f"| {name} | {whole} of {many} | {speed:,.0f} | {middle:.2f} s | {p95:.2f} s | {seconds:.1f} s |")
    same = sum(a == b for a, b in zip(texts[0], texts[1], strict=True))
    print(f"\n{same} of {clients} texts are the same in the first two.")


if __name__ == "__main__":
    typer.run(main)
