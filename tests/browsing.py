"""The page in a real browser, as tests use it.

Needs Chromium at /usr/bin/chromium (or where MODELCRAFT_CHROMIUM says); without it these tests are skipped, unless
MODELCRAFT_REQUIRE_BROWSER is set, as it is on CI.
"""

import os

CHROMIUM = os.environ.get("MODELCRAFT_CHROMIUM", "/usr/bin/chromium")


class Visitor:
    """A browser tab with the page in it, and the words that a visitor has for its parts."""

    def __init__(self, browser, url: str, **options) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.goto(url)
        self.page.wait_for_selector(".mc-script", state="attached")
        self.page.wait_for_function("document.querySelector('#status').textContent.includes('parameters')")

    def texts(self) -> list[str]:
        return self.page.evaluate("[...document.querySelectorAll('.mc-text')].map(node => node.textContent)")

    def say(self, line: str) -> None:
        self.page.fill("#message textarea", line)
        self.page.press("#message textarea", "Enter")

    def set(self, dial: str, value: float) -> None:
        field = self.page.locator(f"#{dial} input[type=number], #{dial} input[data-testid=textbox], #{dial} textarea")
        field.first.fill(str(value))
        field.first.press("Tab")

    def more(self) -> None:
        self.page.click("#more > button")
        self.page.wait_for_selector("#seed", state="visible")

    def wait_written(self, turns: int = 2) -> list[str]:
        """Wait until there are so many turns and the last one has been written to its end."""
        self.page.wait_for_function(f"document.querySelectorAll('.mc-text').length === {turns}")
        self.page.wait_for_selector(".mc-writing", state="detached")
        self.page.wait_for_selector("#go", state="visible")
        return self.texts()

    def watch(self) -> None:
        """From now on, note every length that the last text has had."""
        self.page.evaluate(
            """() => {
                window.seen = [];
                new MutationObserver(() => {
                    const texts = document.querySelectorAll('.mc-text');
                    if (texts.length) window.seen.push(texts[texts.length - 1].textContent);
                }).observe(document.querySelector('.mc-script'), {childList: true, subtree: true, characterData: true});
            }"""
        )

    def seen(self) -> list[str]:
        return list(dict.fromkeys(self.page.evaluate("window.seen")))


def open_tab(page, name: str) -> None:
    """Click on a tab."""
    page.click(f"role=tab[name='{name}']")


# WCAG's contrast of an element's text against the first opaque background behind it.
CONTRAST = """selector => {
  const parse = color => (color.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  let node = document.querySelector(selector);
  const ink = light(parse(getComputedStyle(node).color));
  let paper = [255, 255, 255];
  for (; node; node = node.parentElement) {
    const color = parse(getComputedStyle(node).backgroundColor);
    if (color.length && (color[3] ?? 1) === 1) { paper = color; break; }
  }
  const [low, high] = [ink, light(paper)].sort((a, b) => a - b);
  return (high + .05) / (low + .05);
}"""
