"""The page of a static Space, from a plain file server: the model writes in the browser, and nothing else is there."""

import functools
import http.server
import threading

import pytest

import modelcraft
from modelcraft.serving.catalogue import Catalogue
from modelcraft.support.errors import ConfigError
from modelcraft.ui.static_space import write_page


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A plain file server on the loopback, with the page of gpt-mini; it notes what is asked for."""
    folder, asked = tmp_path_factory.mktemp("space"), []
    write_page(Catalogue("cpu").get("gpt-mini"), folder, "Mine & <yours>")

    class Files(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", folder, asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 390)])
def test_the_model_writes_without_a_server(browser, site, scheme, width):
    url, folder, asked = site
    with browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 844}) as context:
        page, complaints, foreign = context.new_page(), [], []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: foreign.append(request.url) if not request.url.startswith(url) else None)
        page.goto(url)
        page.wait_for_function("document.querySelector('.mc-browser-said').textContent.includes('parameters')")
        assert page.title() == page.inner_text("h1") == "Mine & <yours>"
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")
        assert page.locator(".mc-browser-openings button").count() == 3
        page.focus("[name=line]")
        focus = page.evaluate("getComputedStyle(document.activeElement).outlineColor")
        assert focus == {"light": "rgb(168, 65, 42)", "dark": "rgb(224, 154, 134)"}[scheme]
        page.fill("[name=seed]", "5")
        page.click("[name=go]")
        page.wait_for_selector("[name=stop]", state="visible")
        page.wait_for_selector("[name=go]", state="visible", timeout=60_000)
        model, tokenizer = modelcraft.load("gpt-mini", "cpu")
        params = modelcraft.SamplingParams(max_new_tokens=300, temperature=0.8, seed=5)
        text = tokenizer.decode(list(modelcraft.stream(model, tokenizer.encode("ROMEO:"), params)))
        assert page.text_content(".mc-browser-text") == text
        assert page.is_hidden(".mc-browser-first")
        assert page.is_hidden("[name=compare]")  # there is no server to write the same
        assert not complaints and not foreign
    assert {path.strip("/") or "index.html" for path in asked} - {"favicon.ico"} <= {p.name for p in folder.iterdir()}


def test_other_rungs_need_a_server(tmp_path):
    with pytest.raises(ConfigError, match="A browser cannot run blend; choose counting, bigram"):
        write_page(Catalogue("cpu").get("blend"), tmp_path, "blend")
    assert not list(tmp_path.iterdir())
