"""What a visitor has written outlives the connection, and the page says what happened."""

import pytest


@pytest.mark.cases
def test_a_script_outlives_a_lost_stream(server, visitor):
    tab = visitor()
    tab.more()
    tab.set("pace", 0)
    tab.set("length", 200)
    tab.say("ROMEO:")
    before = tab.wait_written()
    server.delay = 0.02
    tab.say("JULIET:")
    tab.page.wait_for_function("document.querySelectorAll('.mc-text').length === 4")
    tab.page.wait_for_timeout(1500)
    server.demo._queue.pending_messages_per_session.clear()  # as if the server had forgotten its visitors
    tab.page.wait_for_function("document.querySelector('.mc-script-note')?.textContent", timeout=30_000)
    assert "The connection was lost here" in tab.page.inner_text(".mc-script-note")
    after = tab.texts()
    assert after[:2] == before[:2]
    assert after[2] == "JULIET:"
    server.delay = 0
    assert server.settled(90)
    tab.page.wait_for_function("document.querySelector('#status').textContent.includes('parameters')")
    tab.page.click("#retry")
    tab.page.wait_for_function("!document.querySelector('.mc-script-note').textContent")  # it writes anew
    assert tab.wait_written(4)[:3] == after[:3]
    assert tab.page.inner_text(".mc-script-note") == ""


@pytest.mark.cases
def test_a_script_is_its_tabs_own_and_clear_forgets_it(server, visitor):
    tab = visitor()
    tab.say("ROMEO:")
    written = tab.wait_written()
    tab.page.reload()
    tab.page.wait_for_function("document.querySelectorAll('.mc-text').length === 2")
    assert tab.texts() == written
    assert visitor().texts() == []
    tab.page.wait_for_function("document.querySelector('#status').textContent.includes('parameters')")
    tab.page.click("#clear")
    tab.page.wait_for_function("document.querySelectorAll('.mc-text').length === 0")
    tab.page.reload()
    tab.page.wait_for_function("document.querySelector('#status')?.textContent.includes('parameters')")
    assert tab.texts() == []
