"""A Space is a frame in another site's page, where the browser may forbid it to keep anything."""

import http.server
import threading

import pytest
from app_server import AppServer

STORAGE = "() => { try { localStorage.setItem('here', 'yes'); return true; } catch { return false; } }"


@pytest.fixture(scope="module")
def server():
    one = AppServer()
    one.delay = 0.02  # a text is long enough to be stopped
    yield one
    one.close()


@pytest.fixture
def other_site(server):
    """The address of a page of another site with the app in a frame."""
    address = server.url.replace("127.0.0.1", "localhost")  # to a browser another site than 127.0.0.1

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(f'<iframe src="{address}" width="1000" height="800"></iframe>'.encode())

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{site.server_port}/"
        site.shutdown()
        thread.join()


@pytest.mark.cases
@pytest.mark.parametrize("forbidden", [True, False])
def test_the_page_works_in_a_frame(browser, server, other_site, forbidden):
    with browser.new_context() as context:
        if forbidden:
            context.add_init_script(
                "Object.defineProperty(window, 'localStorage', "
                "{get() { throw new DOMException('not here', 'SecurityError'); }})"
            )
        page = context.new_page()
        page.goto(other_site)
        frame = page.frames[1]
        frame.wait_for_function("document.querySelector('#status')?.textContent.includes('parameters')", timeout=20_000)
        assert not (forbidden and frame.evaluate(STORAGE))
        frame.fill("#length input[type=number]", "2000")
        frame.press("#length input[type=number]", "Tab")
        frame.fill("#message textarea", "ROMEO:")
        frame.press("#message textarea", "Enter")
        frame.wait_for_selector(".mc-turn[data-who=model]")
        frame.click("#stop")
        frame.click("role=tab[name='Train']")
        frame.click("#train-go")
        frame.wait_for_function("document.querySelector('.mc-training h2')?.textContent.includes(' on ')")
        frame.click("#train-stop")


@pytest.mark.cases
def test_who_visits_is_remembered_where_that_is_allowed(browser, server):
    with browser.new_context() as context:
        page, known = context.new_page(), []
        for _ in range(2):
            page.goto(server.url)
            page.wait_for_function("document.querySelector('#status')?.textContent.includes('parameters')")
            page.click("role=tab[name='Train']")
            page.wait_for_function("localStorage.getItem('modelcraft-visitor')")
            page.wait_for_timeout(500)
            known.append(page.evaluate("localStorage.getItem('modelcraft-visitor')"))
        assert known[0] == known[1]
        assert len(known[0]) >= 32
