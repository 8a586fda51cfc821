"""Large type for a projector: by a switch, by the address, and as the browser remembers it."""

import pytest
from browsing import Visitor, open_tab

SIZE = "selector => parseFloat(getComputedStyle(document.querySelector(selector)).fontSize)"
WIDTH = "document.querySelector('.gradio-container > .main').getBoundingClientRect().width"
TYPE = [".mc-script", "#chat-tab-button", "#length label", "#go", "#message textarea", ".mc-plain"]


def sizes(page) -> list[float]:
    page.wait_for_timeout(400)  # a button's type grows slowly
    return [page.evaluate(SIZE, part) for part in TYPE]


def test_the_switch_makes_all_type_larger_and_the_browser_remembers_it(visitor, server):
    page = visitor(viewport={"width": 1920, "height": 1080}).page
    before = sizes(page)
    assert page.evaluate(WIDTH) < 1000
    page.click("role=button[name='Projector']")
    assert [round(after / size, 2) for after, size in zip(sizes(page), before, strict=True)] == [1.4] * len(TYPE)
    assert page.evaluate(WIDTH) == 1920
    assert page.is_hidden("#title h1")
    page.goto(server.url)
    page.wait_for_selector("[name=projector][aria-pressed=true]")
    page.click("role=button[name='Projector']")
    assert sizes(page) == before
    page.reload()
    page.wait_for_selector("[name=projector][aria-pressed=false]")
    assert page.is_visible("#title h1")


def test_the_address_asks_for_it_and_gives_way_to_the_switch(browser, server):
    page = Visitor(browser, f"{server.url}/?projector=1").page
    assert page.is_hidden("#title h1")
    page.click("role=button[name='Projector']")
    page.reload()
    page.wait_for_selector("#title h1")
    page.goto(f"{server.url}/?projector=<b>")
    page.wait_for_selector("[name=projector][aria-pressed=false]")
    page.context.close()


def test_type_grows_a_little_on_a_large_screen(visitor):
    usual, large = (sizes(visitor(viewport={"width": width, "height": 1080}).page) for width in (1440, 1920))
    assert [round(two / one, 2) for one, two in zip(usual, large, strict=True)] == [1.06] * len(TYPE)


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1280, 720), (1024, 768), (390, 844)])
def test_it_fits_and_the_switch_stands_beside_the_tabs(visitor, width, height):
    page = visitor(viewport={"width": width, "height": height}).page
    page.click("role=button[name='Projector']")
    for tab in ("Race", "Attention", "Surprise", "Next character", "Ladder", "Counting", "Train", "In your browser"):
        open_tab(page, tab)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, tab
    row, switch = (page.locator(part).bounding_box() for part in ("#tabs [role=tablist]", "[name=projector]"))
    assert row["x"] + row["width"] <= switch["x"] and switch["x"] + switch["width"] <= width
    assert switch["y"] < row["y"] + row["height"]
