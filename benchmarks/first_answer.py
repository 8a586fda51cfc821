"""How long from `python app.py` to the first answer, and how fast is `/generate` for one client?

    python -m benchmarks.first_answer [--runs 5]

Each run starts the app anew on a free port, with warm disk caches after the first.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parent.parent


def ask(url: str, prompt: str, length: int) -> tuple[float, float, int]:
    """Ask as curl does; return the seconds to the first character, to the last one, and their number."""
    start = time.perf_counter()
    body = json.dumps({"prompt": prompt, "length": length, "seed": 1}).encode()
    request = urllib.request.Request(f"{url}/gradio_api/call/v2/generate", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        event = json.load(answer)["event_id"]
    first, text = 0.0, ""
    with urllib.request.urlopen(f"{url}/gradio_api/call/v2/generate/{event}") as stream:
        for line in stream:
            if line.startswith(b"data: ["):
                text = json.loads(line[6:])[0]
                first = first or time.perf_counter() - start
    return first, time.perf_counter() - start, len(text)


def run_once() -> dict[str, float]:
    """Start the app, ask it, end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    start = time.perf_counter()
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port)}
    process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                urllib.request.urlopen(url).close()
                break
            except OSError:
                time.sleep(0.02)
        page = time.perf_counter() - start
        ask(url, "ROMEO:", 100)
        answered = time.perf_counter() - start
        firsts = [ask(url, "ROMEO:", 50)[0] for _ in range(20)]
        rates = [length / seconds for _, seconds, length in (ask(url, "ROMEO:", 2000) for _ in range(5))]
    finally:
        process.terminate()
        process.wait()
    return {
        "start to page, s": page,
        "start to first answered request (100 characters), s": answered,
        "request to first character, ms": 1000 * statistics.median(firsts),
        "characters a second, one client, 2,000 characters": statistics.median(rates),
    }


def main(runs: Annotated[int, typer.Option(help="How often to start the app.")] = 5) -> None:
    """Print the median, the least and the most of each figure."""
    results = [run_once() for _ in range(runs)]
    print("| figure | median | least | most |\n|---|---:|---:|---:|")
    for name in results[0]:
        values = [result[name] for result in results]
        print(f"| {name} | {statistics.median(values):,.1f} | {min(values):,.1f} | {max(values):,.1f} |")


if __name__ == "__main__":
    typer.run(main)
