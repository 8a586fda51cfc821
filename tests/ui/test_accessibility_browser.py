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
    look_at_all_tabs(page)


def test_nor_has_one_on_a_projector(visitor):
    page = visitor(viewport={"width": 1920, "height": 1080}).page
    page.click("role=button[name='Projector']")
    look_at_all_tabs(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nor_does_a_model_of_ones_own_bring_one(visitor, scheme):
    page = visitor(color_scheme=scheme).page
    open_tab(page, "Train")
    page.wait_for_selector("#train-go:enabled")
    page.click("#train-rung input")
    page.locator("[role=option]", has_text="bigram:").click()
    page.click("#train-source label:has-text('paste')")
    page.fill("#train-pasted textarea", "Tyger Tyger, burning bright,\nIn the forests of the night;\n" * 60)
    page.fill("#train-steps input[type=number]", "50")
    page.press("#train-steps input[type=number]", "Tab")
    page.click("#train-more > button")
    page.click("#train-go")
    page.wait_for_selector("#train-kept", state="visible", timeout=60_000)
    page.wait_for_selector("#train :text('Done: exact validation loss')", timeout=60_000)
    found = serious(page, "Train")
    page.click("#train-race")
    page.wait_for_selector(".mc-lane-name:has-text('mine 1')")
    page.click("#race-go")
    page.wait_for_selector(".mc-lane:nth-child(2) .mc-lane-foot:has-text('words stand in its text')")
    found += serious(page, "Race")
    open_tab(page, "Ladder")
    page.click("#ladder-rung label:has-text('bigram')")
    page.wait_for_selector(".mc-ladder-bars th:has-text('mine 1')")
    found += serious(page, "Ladder")
    assert not found, "\n".join(found)


def look_at_all_tabs(page):
    found = []
    for tab in TABS:
        open_tab(page, tab)
        if tab == "Surprise":
            page.click("#surprise-guess button >> nth=0")  # before a guess nothing is read
        page.wait_for_selector(READY.get(tab, ".mc-script"), state="attached")
        if tab == "Attention":
            heads(page)
        found += serious(page, tab)
    assert not found, "\n".join(found)


def serious(page, tab):
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")  # there a bar that stays covers nothing
    page.wait_for_timeout(400)  # colours fade in
    found = []
    for finding in Axe().run(page).response["violations"]:
        if finding["impact"] in ("serious", "critical"):
            nodes = [f"{node['target']} {node['html'][:160]}" for node in finding["nodes"][:4]]
            found.append(f"{tab}: {finding['id']}: {finding['help']}: {nodes}")
    return found
