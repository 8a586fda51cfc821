"""The page: its tabs and the API, served by Gradio."""

import contextlib
import functools
import time
from collections.abc import Callable
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from modelcraft.serving.service import Service
from modelcraft.serving.visitors import VISITOR_KEY
from modelcraft.support.errors import ModelCraftError
from modelcraft.ui import mcp, theme
from modelcraft.ui.address import follow_address
from modelcraft.ui.along import follow_choices
from modelcraft.ui.api import add_api, add_api_help
from modelcraft.ui.bodies import MAX_BODY
from modelcraft.ui.component import component, script, stylesheet
from modelcraft.ui.compression import CompressedPage
from modelcraft.ui.connections import MAX_CONNECTIONS, bounded
from modelcraft.ui.in_browser import add_routes
from modelcraft.ui.middleware import Function, RequestMiddleware
from modelcraft.ui.script import line_up_js
from modelcraft.ui.server import App, Page
from modelcraft.ui.tabs.attention import AttentionView
from modelcraft.ui.tabs.browser import BrowserView
from modelcraft.ui.tabs.chat import Chat
from modelcraft.ui.tabs.counting import CountingView
from modelcraft.ui.tabs.embeddings import EmbeddingsView
from modelcraft.ui.tabs.ladder import Ladder
from modelcraft.ui.tabs.next_character import NextCharacter
from modelcraft.ui.tabs.one_step import OneStepView
from modelcraft.ui.tabs.race import Race
from modelcraft.ui.tabs.surprise import SurpriseView
from modelcraft.ui.tabs.train import TrainView
from modelcraft.ui.unread import MAX_SESSIONS
from modelcraft.ui.widgets import QUIET, remembered

WARM_UP_AFTER_S = 10.0
CACHE_SWEPT_S = (60, 600)  # how often Gradio's file cache is swept, and how old files may become


def build(service: Service) -> Page:
    """Compose the page and the API around the models that `service` serves."""
    demo = Page(title="ModelCraft", delete_cache=CACHE_SWEPT_S)
    with demo:
        visitor, recalled = remembered(demo, VISITOR_KEY)  # outside the tabs, which are drawn only when opened
        kinds: dict[str, Callable[[Service, gr.Tab], Any]] = {  # three groups, which tabs.css names
            "Chat": lambda service, _: Chat(service),
            "Race": lambda service, _: Race(service),
            "In your browser": BrowserView,
            "Next character": NextCharacter,
            "Attention": AttentionView,
            "One step": OneStepView,
            "Surprise": SurpriseView,
            "Counting": CountingView,
            "Embeddings": EmbeddingsView,
            "Ladder": Ladder,
            "Train": functools.partial(TrainView, visitor=visitor),
        }
        views: dict[str, Any] = {}
        component("head", None, "head")
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap") as tabs:
            for title, kind in kinds.items():
                name = title.lower().replace(" ", "-")
                with gr.Tab(title, id=name, elem_id=f"{name}-tab") as tab:
                    views[title] = kind(service, tab)
        chat, race = views["Chat"], views["Race"]
        choosers = [chooser for view in views.values() for chooser in getattr(view, "choosers", [])]
        lists = [view for view in views.values() if hasattr(view, "with_own")]
        views["Train"].offer(recalled, tabs, chat.model, race, choosers, lists)
        views["Ladder"].offer(tabs, race, *(views[title] for title in ("Attention", "Next character", "Train")))
        add_api_help(demo)
        add_api(service)
        demo.load(None, None, None, js=script("tabs"), **QUIET)
        demo.load(None, None, None, js=script("picture"), **QUIET)
        demo.load(None, None, chat.script, js=script("recall_script"), **QUIET)
        restored = follow_address(demo)
        follow_choices(demo, restored)
        restored.then(None, race.ticked, race.lined_up, js=line_up_js(race.ladder()), **QUIET)
        restored.then(chat.describe, chat.model, chat.status, preprocess=False, **QUIET)
    demo.queue(default_concurrency_limit=None, api_open=False)
    return demo


def launch(demo: Page, service: Service, **options: Any) -> None:
    """Serve the page at the address in Gradio's environment variables; `options` go to Gradio's own launch."""
    middleware = Middleware(
        RequestMiddleware,
        endpoints=functools.cache(lambda: demo.get_api_info()["named_endpoints"]),
        functions=functools.cache(lambda: functions(demo)),
        uploaded=lambda: demo.upload_file_set,
        known=lambda session: session in demo.state_holder,
        pending=demo.pending,
        streams=service.streams,
        queued=demo.queued,
    )
    app = App(middleware=[middleware, Middleware(CompressedPage)])
    add_routes(app, service)
    demo.launch(
        mcp_server=mcp.wanted(),
        theme=theme.theme(),
        css=stylesheet(),
        footer_links=["api"],
        run_history=False,
        enable_monitoring=False,
        show_error=False,
        ssr_mode=False,
        max_threads=256,
        max_file_size=MAX_BODY,
        state_session_capacity=MAX_SESSIONS,
        _app=app,
        _frontend=False,  # Gradio's second self-check gives up after three seconds, however busy the machine is
        prevent_thread_lock=True,
        **options,
    )
    if demo.mcp_server_obj:
        mcp.refine(demo.mcp_server_obj)
    served = demo.server.config  # uvicorn reads it at each connection
    served.limit_concurrency, served.http_protocol_class = MAX_CONNECTIONS, bounded(served.http_protocol_class)


def functions(demo: gr.Blocks) -> dict[int, Function]:
    """Return a description of each function behind the page, by its number."""
    named = demo.get_api_info()["named_endpoints"]
    found = {}
    for number, fn in demo.fns.items():
        parameters = named.get(f"/{fn.api_name}", {"parameters": []})["parameters"]
        most = len(fn.inputs)
        fields = range(most - sum(one["parameter_has_default"] for one in parameters), most + 1)
        files = frozenset(place for place, part in enumerate(fn.inputs) if isinstance(part, gr.File | gr.UploadButton))
        found[number] = Function(fields, fn.api_visibility == "public", fn.types_generator, files)
    return found


def warm_up(service: Service) -> None:
    """Make the default model faster and read the app's text, in the background, after the first pages are served."""
    time.sleep(WARM_UP_AFTER_S)
    while service.catalogue.pulling:
        time.sleep(1)
    with contextlib.suppress(ModelCraftError):  # a model that does not load: requests for it say why
        service.catalogue.get().engine.decoder.warm_up()
    service.read_words()
