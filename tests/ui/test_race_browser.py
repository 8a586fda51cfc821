"""The tabs, the chooser and the race in a real browser, over a ladder of small models."""

import math
import time

import pytest
from app_server import AppServer
from browsing import CONTRAST, Visitor
from helpers import Scripted
from ladders import BROKEN, NAMES, NARROW, WELL, make_ladder, slow_down, text_of

import modelcraft
from modelcraft.serving.catalogue import Entry
from modelcraft.ui.tabs.race import first_choice

ODD = "  ROMEO:\n\n   *bold* _it_ `code` # head\n<b>b</b> &amp; $x$ ${1} {{value}} \\n</div> – “q” 日本"
RESTING = "!document.querySelector('.mc-lane.mc-writing')"
WRITTEN = "[...document.querySelectorAll('.mc-lane-text')].some(text => text.textContent)"
ALL_WRITE = "[...document.querySelectorAll('.mc-lane-text')].every(text => text.textContent.length > 10)"


@pytest.fixture(scope="module")
def patched():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def catalogue(patched, tmp_path_factory):
    return make_ladder(patched, tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def server(catalogue):
    running = AppServer(catalogue)
    yield running
    running.close()


@pytest.fixture
def racer(visitor):
    """Open the page at the race."""

    def open_race(**options) -> Visitor:
        one = visitor(**options)
        one.page.click("role=tab[name=Race]")
        one.page.wait_for_selector(".mc-lane")
        return one

    return open_race


def choose(page, *names: str) -> None:
    """Tick these rungs and no others."""
    for name in lanes(page, "name"):
        page.page.uncheck(f"#race-rungs input[name={name}]", force=True)
    for name in names:
        page.page.check(f"#race-rungs input[name={name}]", force=True)
    page.page.wait_for_function(f"document.querySelectorAll('.mc-lane').length === {len(names)}")


def lanes(page, part: str) -> list[str]:
    return page.page.evaluate(f"[...document.querySelectorAll('.mc-lane-{part}')].map(node => node.textContent)")


def wait_for_the_end(page) -> None:
    page.page.wait_for_function(f"{WRITTEN} && {RESTING}")
    page.page.wait_for_selector("#race-go", state="visible")


def boxes(page, selector: str) -> list[dict]:
    """Return where these stand on the whole page, however far it is scrolled."""
    return page.page.evaluate(
        """selector => [...document.querySelectorAll(selector)].map(node => {
            const {x, y, width, height} = node.getBoundingClientRect();
            return {x: x + scrollX, y: y + scrollY, width, height};
        })""",
        selector,
    )


def test_the_chat_needs_nothing_of_the_race(visitor):
    page = visitor()
    assert page.page.locator(".mc-race").count() == 0
    page.set("length", 10)
    page.say("ROMEO:")
    assert len(page.wait_written()[1]) == 10


def test_the_chooser_lists_every_rung_and_switching_is_instant(visitor, server, catalogue):
    page = visitor()
    assert page.page.input_value("#model input").startswith(f"{catalogue.default} · ")
    page.page.click("#model input")
    page.page.wait_for_selector("role=option")
    listed = page.page.eval_on_selector_all("[role=option]", "nodes => nodes.map(node => node.ariaLabel)")
    assert [line.split(" · ")[0] for line in listed] == NAMES
    assert all(" parameters · loss " in line for line in listed)
    page.page.click("role=option[name=/r-two/]")
    page.page.wait_for_function("document.querySelector('#status').textContent.includes('r-two')")
    page.more()
    page.set("length", 40)
    page.set("seed", 3)
    page.say("ROMEO:")
    assert page.wait_written()[1] == text_of(catalogue, "r-two", "ROMEO:", 40, 3)
    page.page.click("#model input")
    page.page.click("role=option[name=/r-broken/]")
    page.page.wait_for_function("document.querySelector('#status').textContent.includes('cannot be loaded here')")


def test_the_chooser_knows_what_came_from_the_hub_when_the_page_is_loaded_again(visitor, catalogue, monkeypatch):
    page = visitor()
    assert "loss 2.500" in page.page.input_value("#model input")
    entry = catalogue.get(WELL[0])
    monkeypatch.setattr(type(entry.info), "validation_loss", property(lambda info: 1.234))
    page.page.reload()
    page.page.wait_for_function("document.querySelector('#model input')?.value.includes('loss 1.234')")


def test_four_lanes_write_exactly_what_the_library_writes(racer, catalogue):
    page = racer()
    assert lanes(page, "name") == first_choice(catalogue.names)
    choose(page, *WELL[:4])
    assert lanes(page, "name") == WELL[:4]
    assert lanes(page, "adds") == [f"what {name} adds" for name in WELL[:4]]
    assert lanes(page, "loss") == ["loss 2.500", "loss 2.375", "loss 2.250", "loss 2.125"]
    bars = page.page.evaluate(
        """[...document.querySelectorAll('.mc-lane')].map(lane =>
            parseFloat(getComputedStyle(lane).backgroundSize.match(/[0-9.]+/)[0]))"""
    )
    assert bars == pytest.approx([100 * loss / math.log(65) for loss in (2.5, 2.375, 2.25, 2.125)], abs=0.01)
    page.set("race-length", 50)
    page.set("race-seed", 7)
    page.set("race-temperature", 1.2)
    page.page.evaluate(
        """() => {
            window.seen = [];
            new MutationObserver(() => window.seen.push(
                [...document.querySelectorAll('.mc-lane-text')].map(node => node.textContent)
            )).observe(document.querySelector('.mc-race'), {childList: true, subtree: true, characterData: true});
        }"""
    )
    page.page.click("#race-go")
    wait_for_the_end(page)
    texts = lanes(page, "text")
    assert texts == [text_of(catalogue, name, "ROMEO:", 50, 7, 1.2) for name in WELL[:4]]
    assert lanes(page, "said") == ["ROMEO:"] * 4
    assert all(int(speed.replace(",", "")) > 0 for speed in lanes(page, "speed"))
    seen = page.page.evaluate("window.seen")
    assert all(text.startswith(part) for parts in seen for text, part in zip(texts, parts, strict=True))
    amid = [parts for parts in seen if all(0 < len(part) < 50 for part in parts)]
    assert len(amid) > 5  # side by side, and not one after the other


def test_text_is_exact_whatever_it_is(racer, server, monkeypatch):
    """Blank lines, leading spaces, Markdown, HTML, entities, templates: all of it is just characters."""
    tokenizer = modelcraft.CharTokenizer.of(ODD)
    entry = server.service.catalogue.get()
    page = racer()
    choose(page, WELL[0])

    markup = Entry(Scripted(tokenizer.encode(ODD), tokenizer.vocab_size), tokenizer, entry.info, entry.source)
    monkeypatch.setattr(server.service.catalogue, "get", lambda name=None: markup)
    monkeypatch.setattr(server.service.catalogue, "loaded", lambda name=None: markup)
    page.page.fill("#race-prompt textarea", ODD)
    page.page.click("#race-go")
    wait_for_the_end(page)
    (written,) = lanes(page, "text")
    assert len(written) > 2 * len(ODD) and written == (ODD * 99)[: len(written)]
    assert lanes(page, "said") == [ODD]
    assert (
        page.page.evaluate("getComputedStyle(document.querySelector('.mc-lane-text')).whiteSpaceCollapse") == "preserve"
    )
    assert page.page.locator(".mc-race b").count() == 0


def test_stop_is_quick_for_all_lanes_and_keeps_what_was_written(racer, server):
    page = racer()
    choose(page, *WELL[:4])
    page.set("race-length", 2000)
    took = []
    for _ in range(3):  # the best of three: the machine may be busy with other things once
        page.page.click("#race-go")
        page.page.wait_for_selector("#race-stop", state="visible")
        page.page.wait_for_function(ALL_WRITE)
        assert server.service.running == 4
        page.page.dispatch_event("#race-stop", "click")
        start = time.monotonic()
        while server.service.running and time.monotonic() - start < 5:
            time.sleep(0.002)
        took.append(time.monotonic() - start)
        wait_for_the_end(page)
        kept = lanes(page, "text")
        time.sleep(0.4)
        assert lanes(page, "text") == kept
        assert page.page.evaluate(RESTING)
        assert all(len(text) > 10 for text in kept)
    assert min(took) < 0.2


def test_leaving_the_page_ends_the_race(racer, server, catalogue, monkeypatch):
    steps = [slow_down(monkeypatch, catalogue, name, 0.001) for name in WELL[:3]]
    page = racer()
    choose(page, *WELL[:3])
    page.set("race-length", 2000)
    page.page.click("#race-go")
    page.page.wait_for_function(ALL_WRITE)
    assert server.service.running == 3
    page.page.close()
    assert server.settled(within=1.5)
    time.sleep(0.1)
    so_far = [len(times) for times in steps]
    time.sleep(0.2)
    assert [len(times) for times in steps] == so_far


def test_another_tab_does_not_disturb_the_race(racer, catalogue):
    page = racer()
    choose(page, *WELL[:2])
    page.set("race-length", 60)
    page.page.click("#race-go")
    page.page.wait_for_selector("#race-stop", state="visible")
    page.page.click("role=tab[name=Chat]")
    page.set("length", 10)
    page.say("JULIET:")
    assert len(page.wait_written()[1]) == 10
    page.page.click("role=tab[name=Race]")
    wait_for_the_end(page)
    assert lanes(page, "text") == [text_of(catalogue, name, "ROMEO:", 60, 1337) for name in WELL[:2]]


def test_a_fifth_rung_is_not_taken_and_the_order_is_the_ladders(racer):
    page = racer()
    choose(page, WELL[3], WELL[1], WELL[0], WELL[2])
    assert lanes(page, "name") == WELL[:4]
    page.page.click(f"#race-rungs input[name={WELL[4]}]", force=True)
    page.page.wait_for_timeout(300)
    assert lanes(page, "name") == WELL[:4]
    ticked = page.page.evaluate("[...document.querySelectorAll('#race-rungs input:checked')].map(node => node.name)")
    assert ticked == WELL[:4]
    assert page.page.inner_text("#race-told") == "Four race at a time: take one of them out first."
    page.set("race-length", 5)
    page.page.click("#race-go")
    wait_for_the_end(page)
    texts = lanes(page, "text")
    page.page.uncheck(f"#race-rungs input[name={WELL[1]}]", force=True)
    page.page.wait_for_function("document.querySelectorAll('.mc-lane').length === 3")
    assert lanes(page, "text") == [texts[0], *texts[2:]]  # who stays keeps the text
    assert page.page.inner_text("#race-told") == ""
    choose(page)
    page.page.click("#race-go")
    page.page.wait_for_selector("text=Choose a rung first")


def test_a_lane_that_cannot_write_says_why_in_its_column(racer, catalogue):
    page = racer()
    choose(page, WELL[0], NARROW, BROKEN)
    page.set("race-length", 20)
    page.page.click("#race-examples button >> text=QUEEN")
    wait_for_the_end(page)
    assert page.page.input_value("#race-prompt textarea") == "QUEEN"
    assert lanes(page, "text") == [text_of(catalogue, WELL[0], "QUEEN", 20, 1337), "", ""]
    notes = lanes(page, "note")
    assert notes[0] == ""
    assert notes[1].startswith("Nothing is left of the prompt.")
    assert "cannot be loaded here" in notes[2]


def test_a_mistake_is_said_and_one_race_runs_at_a_time(racer, server):
    page = racer()
    page.set("race-seed", "one")
    page.page.click("#race-go")
    page.page.wait_for_selector("text=Seed must be a whole number")
    page.set("race-seed", "1")
    choose(page, *WELL[:2])
    page.set("race-length", 2000)
    page.page.click("#race-go")
    page.page.wait_for_function(ALL_WRITE)
    page.page.press("#race-prompt textarea", "Enter")
    page.page.wait_for_selector("text=A race is on; press Stop first.")
    assert server.service.running == 2
    page.page.dispatch_event("#race-stop", "click")
    wait_for_the_end(page)


def test_the_keyboard_is_enough(visitor, server):
    page = visitor()
    keyboard, focus = page.page.keyboard, "document.activeElement?.id"
    page.page.focus("role=tab[name=Chat]")
    keyboard.press("Tab")
    keyboard.press("Enter")
    page.page.wait_for_selector(".mc-lane")
    page.page.focus("#race-prompt textarea")
    keyboard.press("Tab")
    assert page.page.evaluate(focus) == "race-go"
    page.page.focus(f"#race-rungs input[name={WELL[0]}]")
    before = set(lanes(page, "name"))
    keyboard.press("Space")
    page.page.wait_for_function(f"document.querySelectorAll('.mc-lane').length === {len(before) - 1}")
    assert set(lanes(page, "name")) == before - {WELL[0]}
    outline = f"getComputedStyle(document.querySelector('label:has(input[name={WELL[0]}])')).outlineStyle"
    assert page.page.evaluate(outline) == "solid"
    page.page.focus("#race-go")
    keyboard.press("Enter")
    page.page.wait_for_function(f"{focus} === 'race-stop'")  # the focus goes where the button went
    page.page.wait_for_function("document.querySelector('.mc-lane-text').textContent.length > 5")
    keyboard.press("Enter")
    page.page.wait_for_function(f"{focus} === 'race-go'")
    assert server.settled()
    page.page.focus(".mc-lane-page >> nth=0")  # a long text can be scrolled


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_jumps_while_they_race(racer, width):
    page = racer(viewport={"width": width, "height": 844})
    choose(page, *WELL[:3], BROKEN)
    page.set("race-length", 400)
    page.set("race-pace", 120)
    parts = ".mc-race, .mc-lane, #race-length, #race-rungs, #api" + (", #race-prompt textarea" if width > 1100 else "")
    before = boxes(page, parts)
    page.page.click("#race-go")
    page.page.wait_for_function("document.querySelectorAll('.mc-lane-text')[1].textContent.length > 250")
    assert boxes(page, parts) == before
    page.page.wait_for_selector("#race-stop", state="hidden")
    wait_for_the_end(page)
    assert boxes(page, parts) == before
    page.page.click("role=tab[name=Chat]")
    page.page.click("role=tab[name=Race]")
    assert boxes(page, parts) == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 800, 1440])
def test_it_fits_and_can_be_read(racer, scheme, width):
    page = racer(viewport={"width": width, "height": 844}, color_scheme=scheme)
    choose(page, *WELL[:2], NARROW, BROKEN)
    page.set("race-length", 30)
    page.page.click("#race-go")
    wait_for_the_end(page)
    assert page.page.evaluate("document.documentElement.scrollWidth") <= width
    for box in boxes(page, ".mc-lane, .mc-lane-page, #race-go, #race-rungs label, #race-length, #race-seed"):
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    places = boxes(page, ".mc-lane")
    columns, rows = len({box["x"] for box in places}), len({box["y"] for box in places})
    assert (columns, rows) == {390: (1, 4), 800: (2, 2), 1440: (4, 1)}[width]
    assert min(box["height"] for box in boxes(page, ".mc-lane-page")) > 60
    for box in boxes(page, ".mc-lane-name, .mc-lane-loss, .mc-lane-page"):
        assert any(
            lane["x"] <= box["x"]
            and box["x"] + box["width"] <= lane["x"] + lane["width"] + 1
            and lane["y"] <= box["y"]
            and box["y"] + box["height"] <= lane["y"] + lane["height"] + 1
            for lane in places
        )
    for selector in (
        ".mc-lane-name",
        ".mc-lane-loss",
        ".mc-lane-adds",
        ".mc-lane-said",
        ".mc-lane-text",
        ".mc-lane:nth-child(3) .mc-lane-note",
        ".mc-lane-foot",
        "#race-go",
        "#race-rungs label.selected span",
        "#race-length label",
        "#tabs [role=tab]",
        "#tabs [role=tab].selected",
    ):
        assert page.page.evaluate(CONTRAST, selector) >= 4.5, selector
    page.page.uncheck(f"#race-rungs input[name={BROKEN}]", force=True)
    assert page.page.evaluate(CONTRAST, "#race-rungs label:not(.selected) span") >= 4.5
