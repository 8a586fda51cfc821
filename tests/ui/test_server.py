"""What an output that is skipped costs, and what of it reaches the page."""

import asyncio

import gradio as gr
import pytest

from modelcraft.ui.server import Page

pytestmark = pytest.mark.cases


@pytest.fixture
def built(monkeypatch):
    """The components that have been built."""
    built = []
    init = gr.components.Component.__init__

    def counted(self, *args, **kwargs):
        built.append(self)
        init(self, *args, **kwargs)

    monkeypatch.setattr(gr.components.Component, "__init__", counted)
    return built


def answer(page_class, predictions):
    """Return what a page sends for three outputs."""
    with page_class() as page:
        fields = [gr.Textbox(), gr.Textbox(), gr.Textbox()]
        gr.Button().click(lambda: None, None, fields)
    (event,) = page.fns.values()
    return asyncio.run(page.postprocess_data(event, predictions, None))


def test_what_is_skipped_is_sent_as_gradio_sends_it_and_builds_nothing(built):
    for predictions in (("O", gr.skip(), gr.skip()), (gr.skip(), None, "Romeo"), ("O", gr.update(label="Line"), "!")):
        theirs = answer(gr.Blocks, list(predictions))
        their_count = len(built)
        assert answer(Page, list(predictions)) == theirs
        assert len(built) - their_count == their_count - predictions.count(gr.skip())
        built.clear()


def test_a_skip_of_all_outputs_still_skips_all():
    assert answer(Page, gr.skip()) == [gr.skip()] * 3


def test_a_text_of_its_own_form_is_not_taken_for_outputs():
    with Page() as page:
        view = gr.JSON()
        gr.Button().click(lambda: None, None, view)
    (event,) = page.fns.values()
    (sent,) = asyncio.run(page.postprocess_data(event, [gr.skip(), 1], None))
    assert sent == [gr.skip(), 1] or sent.model_dump() == [gr.skip(), 1]
