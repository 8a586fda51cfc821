"""The ladder's tab in a real browser: up the rungs, a guess before the answer, and on to the other tabs."""

import math

import pytest
from browsing import CONTRAST, open_tab

from modelcraft.insight import lessons
from modelcraft.ladder import RUNGS
from modelcraft.store.folder import WEIGHTS_DIR
from modelcraft.ui.tabs.ladder import Ladder
from modelcraft.ui.words import WORDS

IN_VIEW = """selector => {
  const box = document.querySelector(selector).getBoundingClientRect();
  return box.width > 0 && box.left >= 0 && box.right <= innerWidth && box.top >= 0 && box.bottom <= innerHeight;
}"""


@pytest.fixture
def page(visitor):
    one = visitor()
    open_tab(one.page, "Ladder")
    there(one.page, "counting")
    return one.page


def there(page, rung: str) -> None:
    page.wait_for_function("rung => document.querySelector('.mc-ladder h2').textContent === rung", arg=rung)


def choose(page, rung: str) -> None:
    page.check(f"#ladder-rung input[value='{rung}']", force=True)
    there(page, rung)


def text(page, selector: str) -> str:
    return page.evaluate("selector => document.querySelector(selector).textContent", selector)


def texts(page, selector: str) -> list[str]:
    return page.evaluate("selector => [...document.querySelectorAll(selector)].map(node => node.textContent)", selector)


def arrived(page, tab: str) -> None:
    """Wait until `tab` is open and has the focus, as it has for those who use the keyboard."""
    page.wait_for_function(
        "tab => document.activeElement.role === 'tab' && document.activeElement.ariaSelected === 'true'"
        " && document.activeElement.textContent.trim() === tab",
        arg=tab,
    )


def test_it_starts_at_the_first_rung(page):
    assert text(page, ".mc-ladder-place") == "Rung 1 of 12"
    assert text(page, ".mc-ladder-adds") == RUNGS["counting"].adds
    assert page.is_disabled("#ladder-previous")
    assert page.is_enabled("#ladder-next")
    assert page.inner_text(".mc-ladder-loss") == "1.516 nats per character: the loss"
    assert f"a choice among {math.exp(1.5165):.1f} characters" in text(page, ".mc-ladder-unsure")
    assert "Guessing costs 4.17" in text(page, ".mc-ladder-unsure")


def test_next_and_previous_go_through_all_rungs_by_keyboard(page, server):
    names = server.service.catalogue.names
    page.focus("#ladder-next")
    for rung in names[1:]:
        page.keyboard.press("Enter")
        there(page, rung)
    # There is no next one: the focus is handed over, and goes back from there.
    page.wait_for_function("document.activeElement.id === 'ladder-previous'")
    page.keyboard.press("Enter")
    there(page, names[-2])
    page.click("#ladder-onward")
    there(page, names[-1])
    assert page.is_disabled("#ladder-onward")


def test_hasty_steps_end_at_the_right_page(page, server):
    for _ in range(6):
        page.click("#ladder-next")
    there(page, server.service.catalogue.names[6])
    page.wait_for_timeout(500)
    assert text(page, ".mc-ladder h2") == page.input_value("#ladder-rung input:checked") == "residual"
    assert "residual.py" in text(page, ".mc-ladder-about")


def test_the_bar_of_the_rung_is_marked_and_later_ones_are_not_told(page):
    choose(page, "head")
    rows = page.evaluate(
        """[...document.querySelector('.mc-ladder-bars').rows].map(row => ({
            name: row.cells[0].textContent, loss: row.cells[1].textContent, current: row.ariaCurrent,
            weight: getComputedStyle(row.cells[0]).fontWeight,
            width: row.querySelector('span').getBoundingClientRect().width,
            colour: getComputedStyle(row.querySelector('span')).backgroundColor}))"""
    )
    by_name = {row["name"]: row for row in rows}
    assert list(by_name) == ["guessing", *(name for name in RUNGS if name not in ("encoder-decoder", "gpt-video"))]
    assert [row["name"] for row in rows if row["weight"] == "700"] == ["head"]
    assert [row["name"] for row in rows if row["current"] == "true"] == ["head"]
    assert by_name["head"]["colour"] != by_name["bigram"]["colour"] == by_name["guessing"]["colour"]
    assert by_name["guessing"]["loss"] == "4.174"
    assert by_name["head"]["width"] == pytest.approx(by_name["guessing"]["width"] * 2.404 / 4.174, abs=1)
    assert by_name["head"]["loss"] == "2.404"
    assert by_name["multihead"]["loss"] == "" and by_name["multihead"]["width"] == 0


def test_another_task_is_not_among_the_losses(page):
    choose(page, "encoder-decoder")
    assert "another task" in text(page, ".mc-ladder-unsure")
    assert "choice among" not in text(page, ".mc-ladder-unsure")
    assert page.locator(".mc-ladder-here").count() == 0
    assert "encoder-decoder" not in texts(page, ".mc-ladder-bars th")
    assert page.is_disabled("#ladder-race")
    assert page.input_value("#ladder-prompt textarea, #ladder-prompt input") == "T b, r nt t b: tht s th qstn"
    choose(page, "gpt")
    page.wait_for_function("document.querySelector('#ladder-prompt textarea, #ladder-prompt input').value === 'ROMEO:'")


@pytest.mark.parametrize("width", [1440, 768, 390])
def test_no_formula_is_clipped(visitor, width):
    page = visitor(viewport={"width": width, "height": 844}).page
    open_tab(page, "Ladder")
    for rung in ("counting", "bigram", "head", "block", "gpt", "encoder-decoder"):
        choose(page, rung)
        lines = page.evaluate(
            """[...document.querySelectorAll('.mc-ladder-formula, .mc-ladder-formula span')].map(node =>
                [node.scrollWidth, node.clientWidth, getComputedStyle(node).overflowX])"""
        )
        assert lines and all(scroll <= client for scroll, client, _ in lines), rung
        shown = "\n".join(texts(page, ".mc-ladder-formula"))
        formulas = [part for part, is_formula in lessons.paragraphs(lessons.lesson(rung).text) if is_formula]
        assert shown == "\n".join(part.replace("\n", "") for part in formulas)


def test_the_guess_comes_before_the_answer(page):
    read = lessons.lesson("counting")
    assert text(page, ".mc-ladder-question") == read.question
    spoiled = "page => document.documentElement.outerHTML.includes(page)"
    assert not page.evaluate(spoiled, read.answer)
    page.press(".mc-ladder-ask input", "Enter")  # no guess, no answer
    assert page.evaluate("document.activeElement === document.querySelector('.mc-ladder-ask input')")
    assert not page.evaluate(spoiled, read.answer)
    page.fill(".mc-ladder-ask input", "too <b>rare</b>")
    page.press(".mc-ladder-ask input", "Enter")
    assert text(page, ".mc-ladder-reason") == read.answer
    assert "too <b>rare</b>" in text(page, ".mc-ladder-answer")
    page.click("#ladder-next")
    there(page, "bigram")
    assert page.input_value(".mc-ladder-ask input") == ""
    assert page.locator(".mc-ladder-reason").count() == 0
    page.click("#ladder-previous")
    there(page, "counting")
    assert text(page, ".mc-ladder-reason") == read.answer  # it was guessed at before


def test_an_answer_shows_what_bears_it_out_and_no_more(page):
    for rung, rows in (("residual", 7), ("block", 10)):
        choose(page, rung)
        assert page.locator(".mc-ladder-answer tr").count() == 0
        page.fill(".mc-ladder-ask input", "yes")
        page.click(".mc-ladder-ask form button")
        assert page.locator(".mc-ladder-answer tr").count() == rows
    assert "block, no residual path" in texts(page, ".mc-ladder-answer .mc-ladder-here th")


@pytest.mark.parametrize("width", [1440, 390])
def test_words_are_explained_on_focus_hover_and_tap(visitor, width):
    one = visitor(viewport={"width": width, "height": 844}, has_touch=True)
    page = one.page
    open_tab(page, "Ladder")
    choose(page, "head")
    assert {"nats", "loss", "perplexity", "parameters", "head", "softmax"} <= set(texts(page, ".mc-word button"))
    word, note = (f".mc-ladder-loss .mc-word:last-child {part}" for part in ("button", ".mc-word-note"))
    assert page.is_hidden(note)
    page.focus(word)
    assert page.is_visible(note)
    assert text(page, note) == WORDS["loss"]
    assert page.evaluate(IN_VIEW, note)
    described = page.evaluate(
        "document.getElementById(document.activeElement.getAttribute('aria-describedby')).textContent"
    )
    assert described == WORDS["loss"]
    page.keyboard.press("Escape")
    assert page.is_hidden(note)
    page.focus("#ladder-next")
    page.hover(word)
    assert page.is_visible(note)
    page.hover(note)  # it can be read with the pointer on it
    assert page.is_visible(note)
    page.mouse.move(0, 0)
    assert page.is_hidden(note)
    page.tap(word)
    assert page.is_visible(note)
    page.tap("h2")
    assert page.is_hidden(note)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_code_is_the_lessons_coloured_and_what_is_new_is_marked(page):
    choose(page, "block")
    code = "".join(f"{line.text}\n" for line in lessons.lesson("block").code)
    assert text(page, ".mc-ladder-code") == code
    marked = texts(page, ".mc-ladder-code mark")
    assert marked == [f"{line.text}\n" for line in lessons.lesson("block").code if line.new]
    assert {"class", "def", "return"} <= set(texts(page, ".mc-code-keyword"))
    assert texts(page, ".mc-code-name")[0] == "Block"
    assert "is new against residual" in text(page, ".mc-ladder-about")


def test_the_same_code_is_said_to_be_the_same(page):
    choose(page, "gpt")
    assert "that of gpt-mini, at other sizes" in text(page, ".mc-ladder-about")
    assert page.locator(".mc-ladder-code mark").count() == 0
    assert "n_layer = 6" in texts(page, ".mc-ladder-settings mark")


def test_a_sample_is_written_when_asked(page):
    choose(page, "bigram")
    before = text(page, ".mc-ladder-sample")
    assert before == lessons.sample(WEIGHTS_DIR / "bigram")
    height = page.evaluate("document.querySelector('#ladder-sample').offsetHeight")
    page.fill("#ladder-prompt textarea, #ladder-prompt input", "JULIET:")
    page.click("#ladder-write")
    page.wait_for_selector("#ladder-stop", state="visible")
    page.wait_for_selector("#ladder-write", state="visible")
    after = text(page, ".mc-ladder-sample")
    assert after.startswith("JULIET:") and len(after) == len("JULIET:") + 300
    assert page.evaluate("document.querySelector('#ladder-sample').offsetHeight") == height
    assert page.inner_text(".mc-ladder-writes .mc-ladder-note") == "At temperature 0.8, top-p 1."
    page.click("#ladder-write")
    page.wait_for_selector("#ladder-stop", state="visible")
    page.click("#ladder-stop")
    page.wait_for_selector("#ladder-write", state="visible")
    assert len(text(page, ".mc-ladder-sample")) < len(after)


def test_a_sample_of_a_rung_that_was_left_is_not_shown(page, server):
    page.click("#ladder-write")
    page.wait_for_selector("#ladder-stop", state="visible")
    page.click("#ladder-next")
    there(page, "bigram")
    assert server.settled()
    page.wait_for_selector("#ladder-write", state="visible")
    assert text(page, ".mc-ladder-sample") == lessons.sample(WEIGHTS_DIR / "bigram")


@pytest.mark.parametrize(
    ("rung", "raced"),
    [("counting", ["counting", "bigram"]), ("averaging", ["bigram", "averaging"]), ("blend", ["gpt", "blend"])],
)
def test_it_goes_on_in_a_race_against_the_one_before(page, rung, raced):
    choose(page, rung)
    page.click("#ladder-race")
    arrived(page, "Race")
    page.wait_for_function("document.querySelectorAll('.mc-lane').length === 2")
    assert texts(page, ".mc-lane-name") == raced
    ticked = page.evaluate(
        "[...document.querySelectorAll('#race-rungs input:checked')].map(box => box.name || box.value)"
    )
    assert ticked == raced
    assert page.evaluate("scrollY") == 0


@pytest.mark.parametrize("opened_before", [True, False])
def test_it_goes_on_inside_with_the_rung_chosen(page, opened_before):
    if opened_before:
        for tab, shown in (
            ("Attention", ".mc-attention-said:not(:empty), .mc-attention-refused:not([hidden])"),
            ("Next character", ".mc-next tbody tr"),
        ):
            open_tab(page, tab)
            page.wait_for_selector(shown)
        open_tab(page, "Ladder")
    choose(page, "head")
    page.click("#ladder-look")
    arrived(page, "Attention")
    page.wait_for_function("document.querySelector('#attention-rung input').value.startsWith('head ·')")
    page.wait_for_selector(".mc-attention-label:has-text('layer 1, head 1')")
    assert page.locator(".mc-head").count() == 1
    assert page.locator(".mc-attention-refused").is_hidden()
    open_tab(page, "Ladder")
    choose(page, "blend")
    page.click("#ladder-look")
    arrived(page, "Next character")
    page.wait_for_function("document.querySelector('#next-rung input').value.startsWith('blend ·')")
    page.wait_for_selector(".mc-next tbody tr")
    open_tab(page, "Ladder")
    choose(page, "bigram")
    page.click("#ladder-look")
    arrived(page, "Counting")
    page.wait_for_selector("#counting svg")


def test_it_goes_on_in_a_training_of_the_rung(page):
    choose(page, "residual")
    page.click("#ladder-train")
    arrived(page, "Train")
    page.wait_for_function("document.querySelector('#train-rung input').value.startsWith('residual:')")
    page.wait_for_function("document.querySelector('#train-n_embd input[type=number]').value === '32'")
    open_tab(page, "Ladder")
    choose(page, "blend")
    page.wait_for_selector("#ladder-train[disabled]")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_reads_it_without_scrolling_sideways(visitor, scheme):
    one = visitor(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    open_tab(one.page, "Ladder")
    choose(one.page, "block")
    one.page.wait_for_selector("mark .mc-code-keyword")
    assert one.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    parts = [".mc-ladder-figures", ".mc-ladder h3", ".mc-ladder-note", ".mc-ladder-later th", ".mc-ladder-code mark"]
    parts += [f"{around} .mc-code-{kind}" for around in ("mark", "span") for kind in ("keyword", "string")]
    for part in (*parts, ".mc-code-number, .mc-code-name", ".mc-code-comment", ".mc-ladder-ask form button"):
        assert one.page.evaluate(CONTRAST, part) >= 4.5, part


def test_what_there_is_not_is_refused(server):
    handlers = {
        fn.fn.__name__: number
        for number, fn in server.demo.fns.items()
        if isinstance(getattr(fn.fn, "__self__", None), Ladder)
    }
    assert {"read", "open", "written"} <= set(handlers)
    for number in handlers.values():
        inputs = len(server.demo.fns[number].inputs)
        for name in ("../../etc/passwd", None, 5, ["block"]):
            data = [*[None] * (inputs - 2), name, "ROMEO:"]
            status, answer = server.post(
                "queue/join", {"fn_index": number, "data": data, "session_hash": "ladder", "event_data": None}
            )
            assert status in (200, 400), answer
            assert "Traceback" not in answer
