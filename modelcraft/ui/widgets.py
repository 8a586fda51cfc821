"""What the views have in common: the question they end with, the chooser of a rung, and how they are wired."""

import contextlib
import functools
import inspect
import logging
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import Any, TypeVar, cast

import gradio as gr
from gradio.events import Dependency

from modelcraft.serving.catalogue import Catalogue
from modelcraft.support.errors import ModelCraftError
from modelcraft.ui.component import script
from modelcraft.ui.labels import choices

MAX_SEEN = 256  # characters of a text that a view looks into: what a screen holds, and one context of the gpt
BROKEN = "Something broke here; try again."
log = logging.getLogger(__name__)
Handler = TypeVar("Handler", bound=Callable[..., Any])
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def told(handler: Handler) -> Handler:
    """Let whoever asked be told in one sentence what a handler raises, whatever it is; never a traceback, nor nothing.

    An error of ours says it itself; anything else is logged for the owner.
    """
    told: Callable[..., Any]
    if inspect.isasyncgenfunction(handler):

        @functools.wraps(handler)
        async def streaming(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
            with _sentences():
                async with aclosing(handler(*args, **kwargs)) as updates:
                    async for update in updates:
                        yield update

        told = streaming
    elif inspect.iscoroutinefunction(handler):

        @functools.wraps(handler)
        async def waiting(*args: Any, **kwargs: Any) -> Any:
            with _sentences():
                return await handler(*args, **kwargs)

        told = waiting
    else:

        @functools.wraps(handler)
        def calling(*args: Any, **kwargs: Any) -> Any:
            with _sentences():
                return handler(*args, **kwargs)

        told = calling
    return cast(Handler, told)


@contextlib.contextmanager
def _sentences() -> Iterator[None]:
    try:
        yield
    except gr.Error:
        raise
    except ModelCraftError as error:
        raise gr.Error(error.for_visitors, print_exception=False) from error
    except Exception as error:  # Gradio would hand on an error without a word
        log.exception("a handler failed")
        raise gr.Error(BROKEN, print_exception=False) from error


def remembered(page: gr.Blocks, key: str) -> tuple[gr.Textbox, Dependency]:
    """Make a text that the visitor's browser keeps under `key`, if it may; else it lasts as long as the page.

    Also returns the event in which it was read, for what has to wait for that. (`gr.BrowserState` would leave the page
    at "Loading…" for ever where nothing may be kept.)
    """
    text = gr.Textbox(visible=False)
    text.change(None, text, None, js=script("keep", key=key), **QUIET)
    return text, page.load(None, None, text, js=recall_js(key), **QUIET)


def recall_js(key: str) -> str:
    """Return the script of a function that gives back what the visitor's browser keeps under `key`."""
    return script("recall", key=key)


def question(text: str) -> None:
    """Put the question on the page that is to be answered before the button is pressed."""
    gr.HTML(f'<p class="mc-question">{text}</p>', apply_default_css=False)


def rung_chooser(catalogue: Catalogue, elem_id: str, label: str = "Rung", value: str | None = None) -> gr.Dropdown:
    """Make the chooser of a rung; `value` if it is there, else the default."""
    names = catalogue.names
    first = next((name for name in (value, catalogue.default, *names) if name in names), None)
    return gr.Dropdown(choices(catalogue), value=first, label=label, filterable=False, elem_id=elem_id, min_width=220)
