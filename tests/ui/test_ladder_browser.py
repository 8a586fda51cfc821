"""The ladder's tab in a real browser: the rung that is chosen, its code, and what in it is new."""

import pytest
from app_server import AppServer
from browsing import CONTRAST, open_tab

from modelcraft.insight import lessons
from modelcraft.ladder import RUNGS


@pytest.fixture(scope="module")
def server():
    running = AppServer()
    yield running
    running.close()


@pytest.fixture
def page(visitor):
    one = visitor()
    open_tab(one.page, "Ladder")
    one.page.wait_for_function("document.querySelector('.mc-ladder h2').textContent === 'block'")
    return one.page


def text(page, selector: str) -> str:
    return page.evaluate("selector => document.querySelector(selector).textContent", selector)


def test_the_first_rung_is_there_at_once(page):
    assert text(page, ".mc-ladder-adds") == RUNGS["block"].adds
    assert "42,369 parameters · loss 2.065" in text(page, ".mc-ladder-figures")
    code = "".join(f"{line.text}\n" for line in lessons.lesson("block").code)
    assert text(page, ".mc-ladder-code") == code
    marked = page.evaluate("[...document.querySelectorAll('.mc-ladder-code mark')].map(node => node.textContent)")
    assert marked == [f"{line.text}\n" for line in lessons.lesson("block").code if line.new]
    bars = page.evaluate("[...document.querySelectorAll('.mc-ladder-bars')].map(table => table.rows.length)")
    assert bars == [12, 10]


def test_another_rung_by_keyboard(page):
    page.focus("#ladder-rung input[value=block]")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('.mc-ladder h2').textContent === 'residual'")
    assert "is new against feedforward" in text(page, ".mc-ladder-about")
    assert text(page, ".mc-ladder-here th") == "residual"


def test_the_same_code_is_said_to_be_the_same(page):
    page.check("#ladder-rung input[value=gpt]", force=True)
    page.wait_for_function("document.querySelector('.mc-ladder h2').textContent === 'gpt'")
    assert "that of gpt-mini, at other sizes" in text(page, ".mc-ladder-about")
    assert page.locator(".mc-ladder-code mark").count() == 0
    assert "n_layer = 6" in page.evaluate(
        "[...document.querySelectorAll('.mc-ladder-settings mark')].map(node => node.textContent)"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_reads_it_without_scrolling_sideways(visitor, scheme):
    one = visitor(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    open_tab(one.page, "Ladder")
    one.page.wait_for_function("document.querySelector('.mc-ladder h2').textContent === 'block'")
    assert one.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for part in (".mc-ladder-figures", ".mc-ladder h3", ".mc-ladder-code mark", ".mc-ladder-note"):
        assert one.page.evaluate(CONTRAST, part) >= 4.5


def test_a_rung_that_there_is_not_is_refused(server):
    functions = {fn.api_name or fn.name: number for number, fn in server.demo.fns.items()}
    number = next(number for name, number in functions.items() if name and name.startswith("read"))
    for name in ("../../etc/passwd", None, 5, ["block"]):
        status, answer = server.post(
            "queue/join", {"fn_index": number, "data": [name], "session_hash": "ladder", "event_data": None}
        )
        assert status in (200, 400), answer
        assert "Traceback" not in answer
