"""Does a training disturb those who read? Clients ask the same, by turns while a training runs and while it waits.

`python -m benchmarks.beside_training` starts `python app.py` and a training as the page does, and pauses and resumes it
between rounds. Each client asks for a text of the default model; the clients of a round all ask at the same time.
"""

import asyncio
import json
import secrets
import statistics
import time
from typing import Annotated, Any

import httpx
import typer

from benchmarks.serve import crowd, serving
from benchmarks.visitors import buttons
from modelcraft.ui.training_form import OURS


class Page:
    """The page of the app as its JavaScript sees it: buttons, and what pressing them brings."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=60)
        self.buttons = buttons(self.http)

    def press(self, button: str, *data: Any) -> list[Any]:
        """Press a button with these inputs, and return what changes; raises RuntimeError for a refusal."""
        session = secrets.token_hex(8)
        body = {"fn_index": self.buttons[button], "data": data, "session_hash": session}
        self.http.post("/gradio_api/queue/join", json=body).raise_for_status()
        for line in self.http.get(f"/gradio_api/queue/data?session_hash={session}").text.splitlines():
            message = json.loads(line.removeprefix("data: ")) if line else {}
            if message.get("msg") == "process_completed":
                if not message["success"]:
                    raise RuntimeError(message["output"]["error"])
                changed: list[Any] = message["output"]["data"]
                return changed
        raise RuntimeError(f"{button} was not answered")


def main(
    clients: Annotated[int, typer.Option(help="That ask at the same time.")] = 8,
    length: Annotated[int, typer.Option(help="Characters of each text.")] = 400,
    rounds: Annotated[int, typer.Option(help="Of each kind.")] = 5,
    rung: Annotated[str, typer.Option(help="What is trained, for the most steps.")] = "gpt",
) -> None:
    figures: dict[str, list[tuple[float, float, float]]] = {"nothing": [], "a training": []}
    with serving(["app.py"], 7874) as (url, _):
        time.sleep(60)  # the default model is compiled in the background
        page, visitor = Page(url), secrets.token_urlsafe(24)
        page.press("train-go", visitor, rung, 5_000, 256, 6, 256, OURS, "")
        time.sleep(15)  # it imports and measures first
        for number in range(2 * rounds):
            beside = "a training" if number % 2 == 0 else "nothing"
            answers = asyncio.run(crowd(url, clients, length))
            first = sorted(first for first, _, _ in answers)
            speed = sum(len(text) for _, _, text in answers) / max(total for _, total, _ in answers)
            figures[beside].append((statistics.median(first), first[-1], speed))
            page.press("train-pause" if beside == "a training" else "train-resume", visitor)
            time.sleep(15)
    print(f"{clients} clients, {length} characters each; medians of {rounds} rounds\n")
    print("| beside it runs | median first text, s | last first text, s | characters a second |\n|---|---:|---:|---:|")
    for beside, found in figures.items():
        middle, last, speed = (statistics.median(column) for column in zip(*found, strict=True))
        print(f"| {beside} | {middle:.2f} | {last:.2f} | {speed:,.0f} |")


if __name__ == "__main__":
    typer.run(main)
