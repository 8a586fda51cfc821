"""What the views share: the question that they ask, the rung chooser, and error and event handling."""

import contextlib
import functools
import inspect
import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Any, TypeVar, cast

import gradio as gr
from gradio.events import Dependency

from modelcraft.serving.catalogue import Catalogue
from modelcraft.support.errors import ModelCraftError
from modelcraft.ui.component import component, script
from modelcraft.ui.labels import choices

MAX_SEEN = 256  # characters of a text that a view examines: one screen, and one context of the gpt
BROKEN = "Something broke here; try again."
log = logging.getLogger(__name__)
Handler = TypeVar("Handler", bound=Callable[..., Any])
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def told(handler: Handler) -> Handler:
    """Make a handler report any exception to the visitor in one sentence, never as a traceback or as silence.

    A ModelCraftError has its own sentence; any other exception is logged for the owner.
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
    except Exception as error:  # Gradio would pass on an error without a sentence
        log.exception("a handler failed")
        raise gr.Error(BROKEN, print_exception=False) from error


def remembered(page: gr.Blocks, key: str) -> tuple[gr.Textbox, Dependency]:
    """Make a text that the visitor's browser stores under `key` if it may; otherwise it lasts as long as the page.

    Also returns the event that reads it, for handlers that must wait for it. (`gr.BrowserState` would leave the page
    at "Loading…" forever where storage is forbidden.)
    """
    text = gr.Textbox(visible=False)
    text.change(None, text, None, js=script("keep", key=key), **QUIET)
    return text, page.load(None, None, text, js=recall_js(key), **QUIET)


def recall_js(key: str) -> str:
    """Return the script of a function that returns what the visitor's browser stores under `key`."""
    return script("recall", key=key)


def guess(elem_id: str, question: str, guesses: Sequence[str], right: int, answer: str) -> gr.HTML:
    """Put a question on the page with guesses to choose from; the answer and its reason appear after the guess."""
    value = {"question": question, "guesses": list(guesses), "right": right, "answer": answer}
    return component("guess", value, elem_id)


def text_field(elem_id: str, value: str, placeholder: str, most: int, lines: int = 2) -> gr.Textbox:
    """Make the field of a text that a view looks at: at most `most` characters, always `lines` lines high."""
    return gr.Textbox(
        value,
        label="The text",
        show_label=False,
        placeholder=placeholder,
        lines=lines,
        max_lines=lines,
        max_length=most,
        container=False,
        elem_id=elem_id,
    )


def rung_chooser(
    catalogue: Catalogue,
    elem_id: str,
    label: str = "Rung",
    value: str | None = None,
    able: Callable[[str], bool] = lambda _: True,
) -> gr.Dropdown:
    """Make a chooser of the rungs that are `able`, set to `value` if that is one of them, else to the default."""
    listed = choices(catalogue, able=able)
    names = [name for _, name in listed]
    first = next((name for name in (value, catalogue.default, *names) if name in names), None)
    return gr.Dropdown(listed, value=first, label=label, filterable=False, elem_id=elem_id, min_width=220)
