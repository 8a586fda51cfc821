"""The GPT in a real browser: the numbers of the model, the same text for the same seed, and a page that stays awake."""

import json

import pytest
import torch
from app_server import AppServer
from browsing import open_tab

import modelcraft
from modelcraft.ui.in_browser import SCRIPTS

# Runs the modules that the tab uses, and returns the logits after each id; `simd` says by which product.
LOGITS = """async ([name, ids, simd]) => {
  const at = file => import(new URL('browser/' + file, document.baseURI));
  const [{GPT}, {Matrices}, {readTensors}] = await Promise.all(['gpt.js', 'matrices.js', 'safetensors.js'].map(at));
  const about = new URL('browser/model/' + name, document.baseURI), model = await (await fetch(about)).json();
  const tensors = readTensors(await (await fetch(new URL(model.weights, about))).arrayBuffer());
  const code = await (await fetch(new URL('browser/product.wasm', document.baseURI))).arrayBuffer();
  const matrices = await Matrices.of(tensors, simd ? code : null);
  const gpt = new GPT(model.config, tensors, matrices);
  return [Boolean(matrices.run), ids.map(id => Array.from(gpt.step(id)))];
}"""


@pytest.fixture(scope="module")
def server():
    one = AppServer()
    yield one
    one.close()


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
    page.press(".mc-browser [name=line]", "Enter")
    page.wait_for_selector(".mc-browser [name=stop]", state="visible")
    page.wait_for_selector(".mc-browser [name=go]", state="visible", timeout=90_000)
    return page.text_content(".mc-browser-text")


@pytest.mark.parametrize("simd", [True, False])
@pytest.mark.parametrize(("name", "length"), [("gpt-mini", 200), ("gpt", 20)])
def test_the_logits_are_those_of_the_model(tab, name, length, simd):
    """With the quick product and the plain one; the small model beyond its context."""
    model, tokenizer = modelcraft.load(name, "cpu")
    ids = tokenizer.encode(("First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\n" * 4)[:length])
    quick, logits = tab.evaluate(LOGITS, [name, ids, simd])
    assert quick == simd
    with torch.no_grad():
        expected, _ = model(torch.tensor([ids]))
    assert torch.allclose(torch.tensor(logits), expected[0], atol=1e-3)


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


def test_another_rung_says_that_it_needs_the_server(tab):
    tab.click("#browser-model input")
    tab.locator("[role=option]", has_text="bigram").click()
    said(tab, "A browser runs the GPTs only, and bigram is none")
    assert tab.is_disabled(".mc-browser [name=go]")


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
        "weights/bigram",
    ):
        assert httpx.get(f"{server.url}/browser/{path}").status_code == 404, path
