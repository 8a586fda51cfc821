"""How much does the page weigh, and how soon does a visitor see and use it?

    python -m benchmarks.page [--app FOLDER] [--app OTHER] [--runs 7]

Starts `app.py` of each folder (this one if none is named) on a free port and opens its page in Chromium by turns, each
time with an empty cache; needs Playwright and /usr/bin/chromium, or --chromium.
"""

import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parent.parent
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
READY = "document.querySelector('#status')?.textContent.includes('parameters')"


def serve(folder: Path, stack: ExitStack) -> str:
    """Start the app of a folder, to be ended with `stack`; return its address once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port), "PYTHONPATH": str(folder)}
    app = subprocess.Popen([sys.executable, "app.py"], cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    stack.callback(app.wait)
    stack.callback(app.terminate)
    url = f"http://127.0.0.1:{port}"
    end = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(url).close()
            return url
        except OSError:
            if app.poll() is not None or time.monotonic() > end:
                raise typer.BadParameter(f"The app in {folder} does not start.") from None
            time.sleep(0.2)


def visit(browser: "Browser", url: str) -> dict[str, float]:
    """Open the page with an empty cache; return seconds, requests and kilobytes as they come over the wire."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    sizes: list[float] = []
    wire = context.new_cdp_session(page)
    wire.send("Network.enable")
    wire.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    began = time.perf_counter()
    page.goto(url)
    page.wait_for_function(READY)
    ready = time.perf_counter() - began
    painted: Any = page.evaluate(PAINTED)
    page.wait_for_load_state("networkidle")
    context.close()
    return {"painted": painted / 1000, "ready": ready, "requests": len(sizes), "kilobytes": sum(sizes) / 1000}


def main(
    app: Annotated[list[Path] | None, typer.Option(help="A folder with an app.py.", show_default="this one")] = None,
    runs: Annotated[int, typer.Option(help="Visits to each.")] = 7,
    chromium: Annotated[str, typer.Option(help="The browser's program.")] = "/usr/bin/chromium",
) -> None:
    """Print a table with the medians, and the range of the times."""
    from playwright.sync_api import sync_playwright

    folders = app or [ROOT]
    found: dict[Path, list[dict[str, float]]] = defaultdict(list)
    with ExitStack() as stack, sync_playwright() as playwright:
        urls = {folder: serve(folder, stack) for folder in folders}
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for number in range(runs + 1):
            for folder, url in urls.items():
                one = visit(browser, url)
                if number:  # the first visit warms the server up
                    found[folder].append(one)
        browser.close()
    typer.echo("| app | first paint, s | ready, s | requests | kB |\n|---|---:|---:|---:|---:|")
    for folder in folders:
        cells = [folder.resolve().name]
        for name in ("painted", "ready"):
            values = [one[name] for one in found[folder]]
            cells.append(f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})")
        cells += [f"{statistics.median(one[name] for one in found[folder]):,.0f}" for name in ("requests", "kilobytes")]
        typer.echo(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    typer.run(main)
