"""axe-core looks at every tab, by day and by night, on a screen and on a phone: no serious finding."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import open_tab

TABS = [
    "Chat",
    "Race",
    "In your browser",
    "Next character",
    "Attention",
    "One step",
    "Surprise",
    "Counting",
    "Embeddings",
    "Train",
    "Ladder",
]
READY = {"Race": ".mc-lane", "Next character": ".mc-next tbody tr", "Surprise": ".mc-surprise-spots"}
READY |= {"Attention": "#attention .mc-attention-refused:not(:empty)", "Counting": "#counting svg"}
READY |= {
    "Train": "#train-go:enabled",
    "One step": ".mc-way-guess",
    "Embeddings": "#embeddings svg",
    "Ladder": ".mc-ladder h2",
    "In your browser": ".mc-browser-openings button",
}


def heads(page):
    """Let the tab Attention show a rung that has heads, with its table unfolded."""
    page.click("#attention-rung input")
    page.locator(".options li", has_text="gpt-mini ·").first.click()
    page.wait_for_selector(".mc-attention-said:not(:empty)")
    page.click(".mc-attention-fold summary")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_no_tab_has_a_serious_finding(visitor, scheme, width):
    page = visitor(viewport={"width": width, "height": 900}, color_scheme=scheme).page
    found = []
    for tab in TABS:
        open_tab(page, tab)
        if tab == "Surprise":
            page.click("#surprise-guess button >> nth=0")  # before a guess nothing is read
        page.wait_for_selector(READY.get(tab, ".mc-script"), state="attached")
        if tab == "Attention":
            heads(page)
        page.wait_for_timeout(400)  # colours fade in
        for finding in Axe().run(page).response["violations"]:
            if finding["impact"] in ("serious", "critical"):
                nodes = [f"{node['target']} {node['html'][:160]}" for node in finding["nodes"][:4]]
                found.append(f"{tab}: {finding['id']}: {finding['help']}: {nodes}")
    assert not found, "\n".join(found)
