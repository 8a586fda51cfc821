"""Pictures of the page as visitors see it: each tab at 1440 and 390 pixels and on a projector, by day and by night.

    python -m benchmarks.screenshots --out /tmp/screenshots

Starts the app on a free port and drives it with Chromium (needs Playwright and /usr/bin/chromium, or --chromium).
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from playwright.sync_api import Page

SIZES = {"wide": (1440, 900), "phone": (390, 844), "projector": (1920, 1080)}


def open_tab(page: "Page", name: str) -> None:
    """Click on a tab."""
    page.click(f"role=tab[name='{name}']")


def chat(page: "Page") -> None:
    """A text that is being written."""
    page.click("#more > button")
    page.fill("#seed input, #seed textarea", "1")
    page.click("#more > button")
    page.fill("#message textarea", "ROMEO:")
    page.click("#go")
    page.wait_for_function("document.querySelectorAll('.mc-text')[1]?.textContent.length > 250")


def race(page: "Page") -> None:
    """Some rungs that go on with the same prompt."""
    open_tab(page, "Race")
    page.click("#race-go")
    page.wait_for_function("document.querySelector('.mc-lane-text')?.textContent.length > 150")


def seen(tab: str, what: str) -> Callable[["Page"], None]:
    """A tab, once `what` is there."""

    def show(page: "Page") -> None:
        open_tab(page, tab)
        page.wait_for_selector(what)

    return show


def surprise(page: "Page") -> None:
    """A text that two rungs have read."""
    open_tab(page, "Surprise")
    page.click("#surprise-guess button >> nth=0")
    page.wait_for_selector(".mc-surprise-spots >> nth=1")


def train(page: "Page") -> None:
    """A training that is under way."""
    open_tab(page, "Train")
    page.wait_for_selector("#train-go:not([disabled])", state="visible")
    page.fill("#train-steps input[type=number]", "120")
    page.press("#train-steps input[type=number]", "Tab")
    page.click("#train-go")
    page.wait_for_function(
        "/step ([4-9]\\d|1\\d\\d) of/.test(document.querySelector('#train').textContent)", timeout=90_000
    )


def in_browser(page: "Page") -> None:
    """A text that the browser itself has written."""
    open_tab(page, "In your browser")
    page.click(".mc-browser-openings button >> nth=0")
    page.wait_for_function("document.querySelector('.mc-browser').textContent.length > 400", timeout=60_000)


def ladder(page: "Page") -> None:
    """A rung with its lesson and its code."""
    open_tab(page, "Ladder")
    page.wait_for_function("document.querySelector('.mc-ladder h2')?.textContent.length > 0")


TABS: dict[str, Callable[["Page"], None]] = {
    "chat": chat,
    "race": race,
    "browser": in_browser,
    "next": seen("Next character", ".mc-next tbody tr"),
    "attention": seen("Attention", ".mc-attention-said:not(:empty)"),
    "step": seen("One step", ".mc-way tbody tr"),
    "surprise": surprise,
    "counting": seen("Counting", "#counting svg image"),
    "embeddings": seen("Embeddings", ".mc-emb svg text >> nth=1"),
    "train": train,
    "ladder": ladder,
}


def main(
    out: Annotated[Path, typer.Option(help="Where the pictures go.")] = Path("docs"),
    chromium: Annotated[str, typer.Option(help="The browser.")] = "/usr/bin/chromium",
    only: Annotated[list[str] | None, typer.Option(help="These tabs; without it all.")] = None,
) -> None:
    """Take a picture of each tab at work, in every size and colour scheme."""
    from playwright.sync_api import sync_playwright

    import app
    from modelcraft.serving.catalogue import Catalogue
    from modelcraft.serving.service import Service
    from modelcraft.ui.clients import current_client

    service = Service(Catalogue(), who=current_client)
    demo = app.build(service)
    app.launch(demo, service, quiet=True)
    url = str(demo.local_url)
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--headless"])
        for tab, show in TABS.items():
            if only and tab not in only:
                continue
            for size, (width, height) in SIZES.items():
                for scheme in ("light", "dark"):
                    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
                    page = context.new_page()
                    page.goto(f"{url}?projector=1" if size == "projector" else url)
                    page.wait_for_function("document.querySelector('#status')?.textContent.includes('parameters')")
                    show(page)
                    page.evaluate("window.scrollTo(0, 0)")
                    path = out / f"{tab}-{size}-{scheme}.png"
                    page.screenshot(path=path, full_page=size != "projector")
                    print(path)
                    context.close()
        browser.close()
    demo.close()
    service.trainings.close()


if __name__ == "__main__":
    typer.run(main)
