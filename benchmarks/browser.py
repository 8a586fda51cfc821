"""The GPT in a browser and on the server, by turns, on one machine: characters a second of one text.

    python -m benchmarks.browser      (needs Playwright and /usr/bin/chromium, or --chromium)

Starts the app, waits until its step is compiled, opens the tab "In your browser", and lets the same text be written in
the page and, over the app's API, by the server; the server's figure has the way there in it.
"""

import re
import statistics
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.screenshots import open_tab
from benchmarks.serve import serving

COMPILED_AFTER_S = 45  # the app begins ten seconds after its start


def main(
    model: Annotated[str, typer.Option(help="A rung that a browser can run.")] = "gpt",
    length: int = 500,
    rounds: int = 5,
    port: int = 7879,
    chromium: Annotated[str, typer.Option(help="The browser.")] = "/usr/bin/chromium",
    picture: Annotated[Path | None, typer.Option(help="Where a picture of the tab goes.")] = None,
) -> None:
    """Print medians, and how many of the texts were the same."""
    from playwright.sync_api import sync_playwright

    with serving(["app.py"], port) as (url, _), sync_playwright() as playwright:
        time.sleep(COMPILED_AFTER_S)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--headless"])
        page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme="light")
        page.goto(url)
        page.wait_for_function("document.querySelector('#status')?.textContent.includes('parameters')")
        open_tab(page, "In your browser")
        page.wait_for_selector(".mc-browser [name=go]:enabled")
        page.click("#browser-model input")
        page.click(f"role=option[name=/^{model} /]")
        page.wait_for_function(f"document.querySelector('.mc-browser-said').textContent.startsWith('{model} ·')")
        page.evaluate(
            """length => {
          const dial = document.querySelector('.mc-browser [name=length]');
          dial.value = length;
          dial.dispatchEvent(new Event('input'));
        }""",
            length,
        )
        found: dict[str, list[float]] = {"browser": [], "server": []}
        same = 0
        for turn in range(rounds + 1):  # the first fetches the model
            page.fill(".mc-browser [name=seed]", str(turn))
            page.click(".mc-browser [name=go]")
            page.wait_for_selector(".mc-browser [name=stop]", state="visible")
            page.wait_for_selector(".mc-browser [name=go]", state="visible", timeout=120_000)
            if turn == rounds and picture:
                page.screenshot(path=picture)
            page.click(".mc-browser [name=compare]")
            page.wait_for_function(
                "document.querySelector('.mc-browser-said').textContent.includes('the server')", timeout=120_000
            )
            page.wait_for_selector(".mc-browser [name=compare]:enabled", timeout=120_000)
            said = page.inner_text(".mc-browser-said")
            numbers = [float(number.replace(",", "")) for number in re.findall(r": ([\d,]+)", said)]
            print(said)
            if turn:
                same += "the same text" in said
                for place, number in zip(found, numbers, strict=True):
                    found[place].append(number)
        browser.close()
    for place, numbers in found.items():
        median, least, most = statistics.median(numbers), min(numbers), max(numbers)
        print(f"{place}: {median:,.0f} characters a second ({least:,.0f} to {most:,.0f})")
    print(f"{same} of {rounds} texts were the same, letter by letter.")


if __name__ == "__main__":
    typer.run(main)
