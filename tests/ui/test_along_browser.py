"""A rung and a text that were chosen in one tab are there in the next one that looks inside."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qsl, quote, urlsplit

from browsing import Visitor, open_tab

TEXTS = {"Next character": "#next-text", "Attention": "#attention-say", "One step": "#one-step-say"}
TEXTS |= {"Surprise": "#surprise-text"}
RUNGS = {"Next character": "#next-rung", "Attention": "#attention-rung", "One step": "#one-step-rung"}
RUNGS |= {"Surprise": "#surprise-one", "Chat": "#model"}
SHOWN = {
    "Next character": ".mc-next tbody tr",
    "Attention": ".mc-attention-said:not(:empty)",
    "One step": ".mc-way-guess",
    "Surprise": ".mc-surprise-spots",
}
QUEEN = "The queen is "


@contextmanager
def noted(page) -> Iterator[None]:
    """Wait until the page has noted what is chosen: Gradio tells it so a fifth of a second later, or more."""
    page.evaluate("document.addEventListener('modelcraft-fields', () => { window.noted = true; })")
    page.evaluate("window.noted = false")
    yield
    page.wait_for_function("window.noted")


def choose(page, tab: str, rung: str) -> None:
    page.click(f"{RUNGS[tab]} input")
    with noted(page):
        page.locator(".options li", has_text=f"{rung} ·").first.click()


def write(page, tab: str, text: str) -> None:
    page.fill(f"{TEXTS[tab]} textarea", text)
    page.wait_for_timeout(600)  # until what is typed is read


def holds(page, tab: str, rung: str | None = None, text: str | None = None) -> None:
    """Wait until the fields of a tab hold this, and its picture is there."""
    page.wait_for_function(
        """([rung, name, field, text]) => (name === null || document.querySelector(rung).value.startsWith(`${name} ·`))
          && (text === null || document.querySelector(field).value === text)""",
        arg=[f"{RUNGS[tab]} input", rung, f"{TEXTS[tab]} textarea", text],
        timeout=10_000,
    )


def comes(page, tab: str, rung: str | None = None, text: str | None = None) -> None:
    """Open a tab, which is to open with this."""
    open_tab(page, tab)
    holds(page, tab, rung, text)
    page.wait_for_selector(SHOWN[tab], state="attached")


def test_a_rung_and_a_text_go_along_from_tab_to_tab(visitor):
    page = visitor().page
    comes(page, "Next character")
    choose(page, "Next character", "block")
    write(page, "Next character", QUEEN)
    comes(page, "Attention", "block", QUEEN)
    assert page.inner_text(".mc-attention-text") == QUEEN.replace("\n", "⏎")
    comes(page, "One step", "block", QUEEN)
    comes(page, "Surprise", "block", QUEEN)
    assert page.inner_text(".mc-surprise-panel h2 >> nth=0") == "block"
    write(page, "Surprise", "A horse! a horse!")
    choose(page, "Surprise", "head")
    comes(page, "Next character", "head", "A horse! a horse!")
    assert dict(parse_qsl(urlsplit(page.url).query))["tab"] == "next-character"
    page.wait_for_function("location.search.includes('rung=head') && location.search.includes('horse')")


def test_the_rung_of_the_chat_goes_along_and_its_text_does_not(visitor):
    page = visitor().page
    choose(page, "Chat", "multihead")
    page.fill("#message textarea", "Nobody reads this")
    page.fill("#length input[type=number]", "77")  # no rung, and no text
    page.press("#length input[type=number]", "Tab")
    page.wait_for_timeout(600)
    comes(page, "Next character", "multihead", "The king is ")
    open_tab(page, "Surprise")
    page.wait_for_function("document.querySelector('#surprise-one input').value.startsWith('multihead')")
    assert page.locator(".mc-surprise-spots").count() == 0  # the example waits for a guess


def test_what_a_tab_was_told_itself_since_stays(visitor):
    page = visitor().page
    comes(page, "Next character")
    write(page, "Next character", QUEEN)
    comes(page, "One step", text=QUEEN)
    write(page, "One step", "My own words")
    comes(page, "Next character", text="My own words")  # they are the newest
    write(page, "Next character", "")
    page.wait_for_selector("text=Write a text first.")
    open_tab(page, "One step")
    page.wait_for_timeout(700)
    holds(page, "One step", text="My own words")
    open_tab(page, "Next character")
    page.wait_for_timeout(700)
    holds(page, "Next character", text="")  # what was cleared stays cleared


def test_a_rung_that_a_tab_cannot_show_stays_behind_and_a_long_text_keeps_its_length(visitor):
    page = visitor().page
    long = "".join(f"{number} is a number, " for number in range(20))
    comes(page, "Next character")
    choose(page, "Next character", "head")
    write(page, "Next character", long)
    comes(page, "Attention", "head", long[-64:])
    open_tab(page, "Next character")
    page.wait_for_timeout(700)
    holds(page, "Next character", "head", long)
    choose(page, "Next character", "counting")
    page.wait_for_timeout(300)
    comes(page, "Attention", "head", long[-64:])
    comes(page, "One step", text=long[-64:])
    assert not page.input_value("#one-step-rung input").startswith("counting")
    comes(page, "Surprise", "counting", long)


def test_back_shows_what_was_there_and_an_address_goes_before(browser, server):
    one = Visitor(browser, f"{server.url}/?tab=attention&rung=head&text={quote('Now is the winter')}")
    page = one.page
    holds(page, "Attention", "head", "Now is the winter")
    comes(page, "Next character", "head", "Now is the winter")
    write(page, "Next character", QUEEN)
    page.go_back()
    page.wait_for_selector("#tabs [aria-selected=true] >> text=Attention")
    page.wait_for_timeout(700)
    holds(page, "Attention", "head", "Now is the winter")
    page.go_forward()
    page.wait_for_timeout(700)
    holds(page, "Next character", "head", QUEEN)
    assert one.complaints == []
    one.context.close()


def test_what_the_ladder_chose_is_not_replaced(visitor):
    page = visitor().page
    comes(page, "Next character")
    choose(page, "Next character", "block")
    page.wait_for_timeout(600)
    open_tab(page, "Ladder")
    page.wait_for_selector(".mc-ladder h2")
    for _ in range(4):
        name = page.inner_text(".mc-ladder h2")
        page.click("#ladder-onward")
        page.wait_for_function("name => document.querySelector('.mc-ladder h2').textContent !== name", arg=name)
    rung = page.inner_text(".mc-ladder h2").split()[-1]
    page.click("button >> text=Look inside")
    page.wait_for_selector("#tabs [aria-selected=true] >> text=Attention")
    page.wait_for_timeout(700)
    holds(page, "Attention", rung)
    comes(page, "One step", rung)


def test_nothing_of_it_reaches_another_visitor(visitor):
    page = visitor().page
    comes(page, "Next character")
    write(page, "Next character", QUEEN)
    other = visitor().page
    comes(other, "Next character", text="The king is ")
    comes(other, "One step")
    assert other.input_value("#one-step-say textarea").startswith("First Citizen")


def test_a_model_of_ones_own_goes_along_and_gets_into_no_address(visitor):
    page = visitor().page
    open_tab(page, "Train")
    page.wait_for_selector("#train-go:enabled")
    page.click("#train-rung input")
    page.locator("[role=option]", has_text="one head of self-attention").click()
    page.locator("#train-source label", has_text="paste").click()
    page.fill("#train-pasted textarea", "Tyger Tyger, burning bright,\nIn the forests of the night;\n" * 60)
    page.fill("#train-steps input[type=number]", "20")
    page.press("#train-steps input[type=number]", "Tab")
    page.click("#train-go")
    page.wait_for_selector("#train-play:enabled", timeout=60_000)
    with noted(page):
        page.click("#train-play")
        page.wait_for_selector("#tabs [aria-selected=true] >> text=Chat")
    page.wait_for_function("document.querySelector('#model input').value.startsWith('mine 1: pasted text, head')")
    for tab in ("Next character", "Attention", "One step", "Surprise"):
        open_tab(page, tab)
        page.wait_for_function(
            "rung => document.querySelector(rung).value.startsWith('mine 1: pasted text, head')",
            arg=f"{RUNGS[tab]} input",
        )
        assert "yours" not in page.url
        page.wait_for_function("!location.search.includes('rung=')")
