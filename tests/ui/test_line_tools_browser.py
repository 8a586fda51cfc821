"""Any line of the chat goes into a tab that looks inside, with one click; over the sheet, where nothing moves."""

import json

import pytest
from app_server import AppServer
from browsing import open_tab

from modelcraft.serving.catalogue import Catalogue

TOOLS = ".mc-line-tools"
PLACES = """[...document.querySelectorAll('.mc-script, .mc-script *, #tools, #desk, #model, #api')]
  .map(node => JSON.stringify(node.getBoundingClientRect()))"""


@pytest.fixture(scope="module")
def server():
    running = AppServer(Catalogue(device="cpu"))
    yield running
    running.close()


def written(visitor, rung: str = "block", length: int = 300, **options):
    """A visitor with a chat of two lines and two replies, of which the second is of another rung."""
    one = visitor(**options)
    page = one.page
    one.set("length", length)
    one.more()
    one.set("pace", 0)  # as fast as it runs
    page.click("#more > button")
    for turns, name in ((2, rung), (4, "multihead")):
        page.click("#model input")
        page.locator("#model .options li, .options li", has_text=f"{name} ·").first.click()
        page.wait_for_function("name => document.querySelector('#status').textContent.includes(name)", arg=name)
        one.say("ROMEO:\nO, speak again")
        one.wait_written(turns)
    return one


def shown(page) -> bool:
    return page.evaluate("getComputedStyle(document.querySelector('.mc-line-tools')).visibility") == "visible"


def line(page, number: int):
    """The name above a line, in sight."""
    who = page.locator(".mc-who").nth(number)
    who.scroll_into_view_if_needed()
    return who


@pytest.mark.parametrize(
    ("tab", "field", "rung", "ready"),
    [
        ("next character", "#next-text", "#next-rung", ".mc-next tbody tr"),
        ("attention", "#attention-say", "#attention-rung", ".mc-attention-said:not(:empty)"),
        ("surprise", "#surprise-text", "#surprise-one", ".mc-surprise-spots"),
    ],
)
def test_a_click_opens_the_tab_with_the_line_and_its_rung_and_looks_at_once(visitor, tab, field, rung, ready):
    one = written(visitor)
    page, reply = one.page, one.texts()[1]
    assert len(reply) == 300
    page.mouse.move(5, 5)
    assert not shown(page)
    page.wait_for_timeout(300)  # until the status says how fast it was
    page.evaluate("document.querySelector('.mc-script').scrollTop = 0")
    before = page.evaluate(PLACES)
    line(page, 1).hover()
    assert shown(page)
    assert page.evaluate(PLACES) == before
    page.click(f"{TOOLS} button >> text={tab}")
    page.wait_for_selector(f"#tabs [aria-selected=true] >> text=/{tab}/i")
    page.wait_for_selector(ready, state="attached")
    expected = {"next character": reply[-256:], "attention": reply[:64], "surprise": reply[:256]}[tab]
    page.wait_for_function(
        "([field, text]) => document.querySelector(field).value === text", arg=[f"{field} textarea", expected]
    )
    assert page.input_value(f"{rung} input").startswith("block ·")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "tab"
    if tab == "surprise":
        read = page.evaluate("document.querySelector('.mc-surprise-text').textContent")
        assert [character for character in read if character.isalpha()] == [one for one in expected if one.isalpha()]
    open_tab(page, "Chat")
    assert not shown(page)
    line(page, 3).hover()
    page.click(f"{TOOLS} button >> text={tab}")
    page.wait_for_function("rung => document.querySelector(rung).value.startsWith('multihead ·')", arg=f"{rung} input")
    one.page.wait_for_timeout(500)
    assert one.complaints == []


def test_it_is_reached_and_named_by_keyboard(visitor):
    one = written(visitor, length=40)
    page = one.page
    page.click("#title h1")
    page.focus("#length input[type=range]")
    page.keyboard.press("Shift+Tab")
    page.focus(".mc-script")
    page.keyboard.press("End")
    page.wait_for_function("getComputedStyle(document.querySelector('.mc-line-tools')).visibility === 'visible'")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "next character"
    assert page.get_attribute(TOOLS, "aria-label") == "Look at line 4, by multihead, in"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert page.get_attribute(TOOLS, "aria-label") == "Look at line 2, by block, in"
    assert page.text_content(f"{TOOLS} [role=status]").startswith("Line 2 of 4, block: ")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#tabs [aria-selected=true] >> text=Attention")
    page.wait_for_function(
        "text => document.querySelector('#attention-say textarea')?.value === text", arg=one.texts()[1][:64]
    )


def test_on_a_phone_a_tap_shows_it_and_a_tap_beside_hides_it(visitor):
    one = written(visitor, length=40, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = one.page
    line(page, 3).tap()
    assert shown(page)
    box = page.locator(TOOLS).bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    assert all(button.bounding_box()["height"] >= 40 for button in page.locator(f"{TOOLS} button").all())
    page.tap("#title h1")
    assert not shown(page)
    line(page, 2).tap()
    page.tap(f"{TOOLS} button >> text=next character")
    page.wait_for_function("document.querySelector('#next-text textarea')?.value === 'ROMEO:\\nO, speak again'")


def test_a_long_script_has_one_set_and_it_stays_with_its_line(visitor):
    one = visitor()
    page = one.page
    turns = [{"who": "you" if i % 2 == 0 else "gpt", "text": f"Line {i}\n" * 20} for i in range(200)]
    stored = json.dumps(json.dumps({"turns": turns, "writing": False}))
    page.add_init_script(f"sessionStorage.setItem('modelcraft-script', {stored})")
    page.reload()
    page.wait_for_function("document.querySelectorAll('.mc-turn').length === 200")
    assert page.locator(f"{TOOLS} button").count() == 3
    page.locator(".mc-text").nth(7).scroll_into_view_if_needed()
    page.locator(".mc-text").nth(7).hover()
    assert page.get_attribute(TOOLS, "aria-label") == "Look at line 8, by gpt, in"
    sheet, box = (page.locator(part).bounding_box() for part in (".mc-script", TOOLS))
    assert box["y"] >= sheet["y"] and box["y"] + box["height"] <= sheet["y"] + sheet["height"]
    page.evaluate("document.querySelector('.mc-script').scrollTop = 1e6")  # the pointer is over another line now
    page.wait_for_function("!document.querySelector('.mc-line-tools').ariaLabel.includes('line 8,')")
    page.mouse.move(5, 5)
    page.wait_for_function("getComputedStyle(document.querySelector('.mc-line-tools')).visibility === 'hidden'")
    assert one.complaints == []
