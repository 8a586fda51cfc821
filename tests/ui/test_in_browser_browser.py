"""The rungs in a real browser: their numbers, the same text for the same seed, and a page that stays awake."""

import json
import re

import pytest
import torch
from browsing import open_tab

import modelcraft
from modelcraft.counting import CountingConfig, count
from modelcraft.inference.decoder import decoder_for
from modelcraft.ladder import RUNGS
from modelcraft.residual import BlockConfig
from modelcraft.serving.catalogue import Entry
from modelcraft.store.folder import ModelInfo
from modelcraft.tokenizer import CharTokenizer
from modelcraft.ui.in_browser import SCRIPTS, description, stored

SMALL = ["counting", "bigram", "averaging", "head", "multihead", "feedforward", "residual", "block"]
LINES = "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\n"
# Runs the modules that the tab uses, and returns the logits after `start` and after each of `ids`; `simd` says by which
# product.
LOGITS = """async ([name, start, ids, simd]) => {
  const at = file => import(new URL('browser/' + file, document.baseURI));
  const [{Matrices}, {readTensors}] = await Promise.all(['matrices.js', 'safetensors.js'].map(at));
  const about = new URL('browser/model/' + name, document.baseURI), model = await (await fetch(about)).json();
  const tensors = readTensors(await (await fetch(new URL(model.weights, about))).arrayBuffer());
  const code = await (await fetch(new URL('browser/product.wasm', document.baseURI))).arrayBuffer();
  const matrices = await Matrices.of(tensors, simd ? code : null);
  const rung = new (await at(model.script)).default(model.config, tensors, matrices);
  return [Boolean(matrices.run), [Array.from(rung.read(start)), ...ids.map(id => Array.from(rung.step(id)))]];
}"""


@pytest.fixture
def tab(visitor):
    page = visitor().page
    open_tab(page, "In your browser")
    said(page, "parameters")
    return page


def said(page, what: str, within: float = 60) -> str:
    page.wait_for_function(
        "what => document.querySelector('.mc-browser-said')?.textContent.includes(what)",
        arg=what,
        timeout=1000 * within,
    )
    return page.inner_text(".mc-browser-said")


def dial(page, name: str, value: float) -> None:
    page.evaluate(
        """([name, value]) => {
          const dial = document.querySelector(`.mc-browser [name=${name}]`);
          dial.value = value;
          dial.dispatchEvent(new Event('input'));
        }""",
        [name, str(value)],
    )


def write(page, line: str, **dials: float) -> str:
    for name, value in dials.items():
        dial(page, name, value)
    page.fill(".mc-browser [name=line]", line)
    page.evaluate("document.querySelector('.mc-browser-said').textContent = ''")
    page.press(".mc-browser [name=line]", "Enter")
    said(page, "characters a second")  # Stop may have come and gone: a small rung is quick
    page.wait_for_selector(".mc-browser [name=go]", state="visible", timeout=90_000)
    return page.text_content(".mc-browser-text")


def check_logits(page, name: str, model, ids: list[int], start: int, quick: bool) -> None:
    """Compare the logits after the first `start` of `ids`, and after each further one, with those of `model`."""
    now_quick, logits = page.evaluate(LOGITS, [name, ids[:start], ids[start:], quick])
    assert now_quick == quick
    rows = decoder_for(model).rows()
    with torch.no_grad():
        expected = [rows.join([torch.tensor(ids[:start])])]
        expected += [rows.step(torch.tensor([[token]])) for token in ids[start:]]
    assert torch.allclose(torch.tensor(logits), torch.cat(expected), atol=1e-3)


@pytest.mark.parametrize("simd", [True, False])
@pytest.mark.parametrize(("name", "start", "length"), [("gpt-mini", 1, 200), ("gpt-mini", 150, 160), ("gpt", 1, 20)])
def test_the_logits_are_those_of_the_model(tab, name, start, length, simd):
    """With the quick product and the plain one; the small model beyond its context, and after a prompt beyond it."""
    model, tokenizer = modelcraft.load(name, "cpu")
    check_logits(tab, name, model, tokenizer.encode((LINES * 4)[:length]), start, simd)


@pytest.mark.parametrize("name", SMALL)
def test_the_logits_of_a_small_rung_are_those_of_the_model(tab, name):
    """From one character on and after more than the context; their weights are no bfloat16, hence the plain product."""
    model, tokenizer = modelcraft.load(name, "cpu")
    for start in (1, 20):
        check_logits(tab, name, model, tokenizer.encode(LINES), start, False)


def visitors_block() -> tuple[str, torch.nn.Module, str]:
    vocabulary = "".join(map(chr, range(97, 117)))
    config = BlockConfig(vocab_size=20, block_size=16, n_embd=48, n_head=3, n_layer=2)
    return "gpt-video", RUNGS["gpt-video"].build(config).eval(), vocabulary


def visitors_counting() -> tuple[str, torch.nn.Module, str]:
    """Counted in a short text of many characters: n-grams of 61 bits, and discounts that cannot be estimated."""
    vocabulary = "".join(map(chr, range(0x4E00, 0x4E00 + 400)))
    data = torch.tensor([399, 398, 397, 399, 398, 399, 398, 397, 7, 399, 398, 397, 399])
    return "counting", count(data, CountingConfig(vocab_size=400)), vocabulary


@pytest.mark.parametrize(
    ("make", "ids"),
    [(visitors_block, [*range(20)] * 2), (visitors_counting, [399, 398, 397, 399, 398, 399, 5, 399, 398, 397, 7, 399])],
)
def test_a_visitors_own_model_of_other_sizes(tab, make, ids):
    rung, model, vocabulary = make()
    entry = Entry(model, CharTokenizer(vocabulary), ModelInfo(rung, model.config, vocabulary, {}, {}, {}), "", "mine")
    weights = stored(entry)
    tab.route("**/browser/model/mine", lambda route: route.fulfill(json=description(entry, "weights", len(weights))))
    tab.route("**/browser/model/weights", lambda route: route.fulfill(body=weights))
    check_logits(tab, "mine", model, ids, 3, False)


def choose(page, name: str) -> None:
    page.click("#browser-model input")
    page.locator("[role=option]", has_text=re.compile(rf"^\W*{name} · ")).click()


@pytest.mark.parametrize("name", SMALL)
def test_a_small_rung_writes_the_text_of_the_server(tab, name):
    model, tokenizer = modelcraft.load(name, "cpu")
    choose(tab, name)
    said(tab, f"{name} · ")
    tab.fill(".mc-browser [name=seed]", "11")
    for line, length in [("ROMEO: But soft, what light", 300), ("A", 5)]:  # the second begins anew
        params = modelcraft.SamplingParams(max_new_tokens=length, temperature=0.9, top_p=0.95, seed=11)
        text = write(tab, line, length=length, temperature=0.9, topP=0.95)
        assert text == tokenizer.decode(list(modelcraft.stream(model, tokenizer.encode(line), params)))


def test_the_same_seed_gives_the_text_of_the_server(tab):
    model, tokenizer = modelcraft.load("gpt-mini", "cpu")
    prompt = "What – “Café”; 日"
    known = tokenizer.normalize(prompt).text
    tab.fill(".mc-browser [name=seed]", "4294967297")  # torch takes its lower half
    params = modelcraft.SamplingParams(max_new_tokens=300, temperature=0.9, top_k=20, top_p=0.95, seed=4294967297)
    text = write(tab, prompt, length=300, temperature=0.9, topK=20, topP=0.95)
    assert text == tokenizer.decode(list(modelcraft.stream(model, tokenizer.encode(known), params)))
    assert tab.text_content(".mc-browser-prompt") == known
    assert "left out, for the model does not know it: 日" in tab.inner_text(".mc-browser-said")
    tab.click(".mc-browser [name=compare]")
    assert said(tab, "the server, with the way there").endswith("the same text, letter by letter")

    greedy = modelcraft.SamplingParams(max_new_tokens=512, temperature=0.0)
    text = write(tab, "ROMEO:\n", length=512, temperature=0, topK=0, topP=1)
    assert text == tokenizer.decode(list(modelcraft.stream(model, tokenizer.encode("ROMEO:\n"), greedy)))


def test_an_opening_writes_at_once_and_takes_the_place_of_the_empty_sheet(tab):
    assert tab.locator(".mc-browser-openings button").all_inner_texts() == [
        "ROMEO:",
        "The king is",
        "To be, or not to be",
    ]
    tab.click("text=The king is")
    said(tab, "characters a second")
    assert tab.text_content(".mc-browser-prompt") == "The king is "
    assert tab.is_hidden(".mc-browser-first")


def test_only_openings_that_a_model_can_read_are_offered(tab):
    rung, model, vocabulary = visitors_block()
    entry = Entry(model, CharTokenizer(vocabulary), ModelInfo(rung, model.config, vocabulary, {}, {}, {}), "", "mine")
    tab.route("**/browser/model/block", lambda route: route.fulfill(json=description(entry, "weights", 1)))
    choose(tab, "block")
    said(tab, entry.title)
    assert tab.locator(".mc-browser-openings button").count() == 0


def test_the_model_that_was_chosen_last_is_there_whichever_comes_first(tab):
    held = []

    def hold(route):
        held.append(route)

    tab.route("**/browser/model/block", hold)
    choose(tab, "block")
    choose(tab, "bigram")
    said(tab, "bigram · ")
    held[0].continue_()
    tab.wait_for_timeout(500)
    assert tab.inner_text(".mc-browser-said").startswith("bigram · ")


def test_a_guess_is_answered(tab):
    tab.click("#browser-guess button >> text=Nearly always")
    assert tab.inner_text("#browser-guess .mc-guess-answer").startswith("Yes. Nearly always.")


def test_on_a_phone_the_line_is_a_bar_and_stays(visitor):
    page = visitor(viewport={"width": 390, "height": 844}).page
    open_tab(page, "In your browser")
    said(page, "parameters")
    for top in (0, 10_000):
        page.evaluate("top => scrollTo(0, top)", top)
        page.wait_for_timeout(200)
        box = page.locator(".mc-browser [name=go]").bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 844, top
        assert box["height"] < 60


def test_it_can_be_stopped_and_the_page_stays_awake(tab):
    dial(tab, "length", 2000)
    tab.click(".mc-browser [name=go]")
    tab.wait_for_function("document.querySelector('.mc-browser-text').textContent.length > 20")
    slowest = tab.evaluate("""async () => {
      let slowest = 0, last = performance.now();
      for (let i = 0; i < 20; i++) {
        await new Promise(resolve => setTimeout(resolve, 10));
        slowest = Math.max(slowest, performance.now() - last);
        last = performance.now();
      }
      return slowest;
    }""")
    assert slowest < 500
    tab.click(".mc-browser [name=stop]")
    tab.wait_for_selector(".mc-browser [name=go]", state="visible")
    tab.wait_for_timeout(200)
    text = tab.text_content(".mc-browser-text")
    tab.wait_for_timeout(300)
    assert tab.text_content(".mc-browser-text") == text and 20 < len(text) < 2000


@pytest.mark.parametrize(
    ("line", "seed", "says"),
    [("", "", "Write a line first"), ("日本", "", "Write a line first"), ("A", "x", "whole number")],
)
def test_what_makes_no_sense_is_said(tab, line, seed, says):
    tab.fill(".mc-browser [name=line]", line)
    tab.fill(".mc-browser [name=seed]", seed)
    tab.click(".mc-browser [name=go]")
    said(tab, says)


def test_the_list_has_what_a_browser_can_run(tab):
    tab.click("#browser-model input")
    listed = [one.inner_text().replace("✓", "").split()[0] for one in tab.locator("[role=option]").all()]
    assert listed == [*SMALL, "gpt-mini", "gpt"]


@pytest.mark.parametrize("name", ["encoder-decoder", "blend"])
def test_another_rung_needs_the_server(server, name):
    import httpx

    rungs = f"{', '.join(SMALL)}, gpt-mini or gpt"
    for what in ("model", "weights"):
        refused = httpx.get(f"{server.url}/browser/{what}/{name}")
        assert refused.status_code == 404
        assert refused.json() == {"problem": f"A browser cannot run {name}; choose {rungs}."}


def test_the_code_of_the_product_is_what_its_source_says():
    wasmtime = pytest.importorskip("wasmtime")
    assert wasmtime.wat2wasm((SCRIPTS / "product.wat").read_text()) == (SCRIPTS / "product.wasm").read_bytes()


def test_what_is_served_has_no_path_and_nothing_else_is(server):
    import httpx

    about = httpx.get(f"{server.url}/browser/model/gpt-mini").json()
    assert about["bytes"] == len(httpx.get(f"{server.url}/browser/weights/gpt-mini").content)
    assert "/" not in json.dumps(about | {"rules": [], "vocabulary": "", "weights": "", "api": ""})
    assert httpx.get(f"{server.url}/browser/gpt.js").headers["content-type"].startswith("text/javascript")
    for path in (
        "nothing.js",
        "product.wat",
        "../in_browser.py",
        "%2e%2e%2fin_browser.py",
        "model/nothing",
        "weights/blend",
    ):
        assert httpx.get(f"{server.url}/browser/{path}").status_code == 404, path


def expected(line: str, length: int, seed: int, name: str = "gpt-mini") -> str:
    model, tokenizer = modelcraft.load(name, "cpu")
    params = modelcraft.SamplingParams(max_new_tokens=length, temperature=0.8, seed=seed)
    return tokenizer.decode(list(modelcraft.stream(model, tokenizer.encode(line), params)))


def test_stop_while_the_model_is_fetched_ends_it_and_write_begins_anew(tab):
    tab.route("**/browser/weights/*", lambda route: None)  # they never arrive
    dial(tab, "length", 40)
    tab.fill(".mc-browser [name=seed]", "3")
    tab.click(".mc-browser [name=go]")
    tab.wait_for_selector(".mc-browser [name=stop]", state="visible")
    tab.wait_for_timeout(300)
    tab.click(".mc-browser [name=stop]")
    tab.wait_for_selector(".mc-browser [name=go]", state="visible")
    tab.wait_for_timeout(300)
    assert not tab.workers  # nothing is fetched any more
    tab.unroute("**/browser/weights/*")
    tab.press(".mc-browser [name=line]", "Enter")
    said(tab, "characters a second")
    tab.wait_for_selector(".mc-browser [name=go]", state="visible")
    assert tab.text_content(".mc-browser-text") == expected("ROMEO:", 40, 3)


def test_write_stop_write_in_one_go_gives_one_text(tab):
    dial(tab, "length", 40)
    tab.fill(".mc-browser [name=seed]", "3")
    tab.evaluate(
        """() => {
          const form = document.querySelector('form.mc-browser-line');
          form.requestSubmit();
          form.querySelector('[name=stop]').click();
          form.requestSubmit();
        }"""
    )
    said(tab, "characters a second")
    tab.wait_for_selector(".mc-browser [name=go]", state="visible")
    assert tab.text_content(".mc-browser-text") == expected("ROMEO:", 40, 3)


def test_nothing_of_a_stopped_text_comes_into_the_next(tab):
    tab.fill(".mc-browser [name=seed]", "3")
    for _ in range(5):
        dial(tab, "length", 2000)
        tab.fill(".mc-browser [name=line]", "QUEEN:")
        tab.press(".mc-browser [name=line]", "Enter")
        tab.wait_for_function("document.querySelector('.mc-browser-text').textContent.length > 60")
        dial(tab, "length", 30)
        tab.evaluate(
            """() => {
              const form = document.querySelector('form.mc-browser-line');
              form.querySelector('[name=stop]').click();
              form.querySelector('[name=line]').value = 'JULIET:';
              form.requestSubmit();
            }"""
        )
        tab.wait_for_selector(".mc-browser [name=go]", state="visible")
        assert tab.text_content(".mc-browser-text") == expected("JULIET:", 30, 3)


def test_a_double_click_on_stop_stops_and_a_stopped_text_is_not_compared(tab):
    write(tab, "ROMEO:", length=20)
    assert tab.is_enabled(".mc-browser [name=compare]")
    dial(tab, "length", 2000)
    tab.press(".mc-browser [name=line]", "Enter")
    tab.wait_for_function("document.querySelector('.mc-browser-text').textContent.length > 60")
    tab.dblclick(".mc-browser [name=stop]")
    tab.wait_for_selector(".mc-browser [name=go]", state="visible")
    before = tab.text_content(".mc-browser-text")
    tab.wait_for_timeout(700)
    assert tab.text_content(".mc-browser-text") == before and tab.is_visible(".mc-browser [name=go]")
    assert tab.is_disabled(".mc-browser [name=compare]")


@pytest.mark.parametrize("answer", [{"error": "Wait 3 s."}, {"event_id": "none"}])
def test_what_the_server_refuses_is_said(tab, answer):
    write(tab, "ROMEO:", length=20)
    tab.route("**/call/v2/generate", lambda route: route.fulfill(json=answer))
    tab.click(".mc-browser [name=compare]")
    said(tab, answer.get("error", "There is no such event"))
    assert tab.is_enabled(".mc-browser [name=compare]")
