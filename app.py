"""The Space's entry: composes the page and launches it.

`python app.py` serves it on http://127.0.0.1:7860; GRADIO_SERVER_NAME and GRADIO_SERVER_PORT say otherwise, and
MODELCRAFT_HUB_REPOS (user/repo[@revision], comma-separated) names weights on the Hub to run in place of the bundled.
"""

import contextlib
import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from modelcraft.support.surroundings import address, prepare

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported
# For a page of figures, which is closed here, Gradio makes a table of the last 10,000 events whenever one is done.
os.environ.update(GRADIO_ANALYTICS_MAX_EVENTS="1", GRADIO_ANALYTICS_CACHE_FREQUENCY=str(sys.maxsize))
os.environ["MPLBACKEND"] = "agg"  # gradio imports matplotlib, which a backend that is not installed here forbids
if __name__ == "__main__":
    scratch = prepare()

import gradio as gr
import torch
from starlette.middleware import Middleware

from modelcraft.serving.catalogue import Catalogue
from modelcraft.serving.service import Service
from modelcraft.serving.visitors import VISITOR_KEY
from modelcraft.support import logs
from modelcraft.support.device import give_back_memory, share_one_heap, threads_for_serving
from modelcraft.support.errors import ModelCraftError, StartError
from modelcraft.ui import theme
from modelcraft.ui.api import add_api, add_api_help
from modelcraft.ui.bodies import MAX_BODY
from modelcraft.ui.clients import current_client
from modelcraft.ui.component import script, stylesheet
from modelcraft.ui.connections import MAX_CONNECTIONS, bounded
from modelcraft.ui.middleware import Function, RequestMiddleware
from modelcraft.ui.server import App, Page
from modelcraft.ui.tabs.attention import AttentionView
from modelcraft.ui.tabs.chat import Chat
from modelcraft.ui.tabs.counting import CountingView
from modelcraft.ui.tabs.embeddings import EmbeddingsView
from modelcraft.ui.tabs.ladder import Ladder
from modelcraft.ui.tabs.next_character import NextCharacter
from modelcraft.ui.tabs.race import Race
from modelcraft.ui.tabs.surprise import SurpriseView
from modelcraft.ui.tabs.train import TrainView
from modelcraft.ui.unread import MAX_SESSIONS
from modelcraft.ui.widgets import QUIET, remembered

WARM_UP_AFTER_S = 10.0
# Reading a prompt takes the interpreter's lock some 300 times. A busy event loop keeps it for 5 ms each time, unless
# told otherwise: a second and a half a prompt.
SWITCH_S = 1e-4
GIVE_BACK_S = 10.0  # so often memory goes back to the system
CACHE_SWEPT_S = (60, 600)  # how often Gradio's folder of files is swept, and how old they may become
TITLE = """<div id="title"><h1>ModelCraft</h1><p>how GPT comes about, rung by rung</p></div>"""


def build(service: Service) -> Page:
    """Compose the page and the API around the models that `service` serves."""
    demo = Page(title="ModelCraft", delete_cache=CACHE_SWEPT_S)
    with demo:
        visitor, recalled = remembered(demo, VISITOR_KEY)  # not in a tab, which is drawn when it is opened
        kinds: dict[str, Callable[[Service, gr.Tab], Any]] = {
            "Next character": NextCharacter,
            "Attention": AttentionView,
            "Surprise": SurpriseView,
            "Counting": CountingView,
            "Embeddings": EmbeddingsView,
            "Train": functools.partial(TrainView, visitor=visitor),
            "Ladder": Ladder,
        }
        views: dict[str, Any] = {}
        gr.HTML(TITLE, apply_default_css=False)
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Chat", id="chat", elem_id="chat-tab"):
                chat = Chat(service)
            with gr.Tab("Race", elem_id="race-tab"):
                Race(service)
            for title, kind in kinds.items():
                with gr.Tab(title, elem_id=f"{title.lower().replace(' ', '-')}-tab") as tab:
                    views[title] = kind(service, tab)
        choosers = [chooser for view in views.values() for chooser in getattr(view, "choosers", [])]
        views["Train"].offer(recalled, tabs, chat.model, choosers)
        add_api_help()
        add_api(service)
        demo.load(None, None, chat.script, js=script("recall_script"), **QUIET)
        demo.load(chat.describe, chat.model, chat.status, preprocess=False, **QUIET)
    demo.queue(default_concurrency_limit=None, api_open=False)
    return demo


def launch(demo: Page, service: Service, **options: Any) -> None:
    """Serve the page; Gradio's environment variables give the address. `options` go to Gradio's own launch."""
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
    demo.launch(
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
        _app=App(middleware=[middleware]),
        _frontend=False,  # its second look at itself gives up after three seconds, however busy the machine is
        prevent_thread_lock=True,
        **options,
    )
    served = demo.server.config  # which uvicorn asks at each connection
    served.limit_concurrency, served.http_protocol_class = MAX_CONNECTIONS, bounded(served.http_protocol_class)


def functions(demo: gr.Blocks) -> dict[int, Function]:
    """Return what each function behind the page is, by its number."""
    named = demo.get_api_info()["named_endpoints"]
    found = {}
    for number, fn in demo.fns.items():
        parameters = named.get(f"/{fn.api_name}", {"parameters": []})["parameters"]
        most = len(fn.inputs)
        fields = range(most - sum(one["parameter_has_default"] for one in parameters), most + 1)
        files = frozenset(place for place, part in enumerate(fn.inputs) if isinstance(part, gr.File | gr.UploadButton))
        found[number] = Function(fields, fn.api_visibility == "public", fn.types_generator, files)
    return found


def warm_up(models: Catalogue) -> None:
    """Make the default model faster, in the background, when the first visitors have had their page."""
    time.sleep(WARM_UP_AFTER_S)
    while models.pulling:
        time.sleep(1)
    with contextlib.suppress(ModelCraftError):  # a model that cannot be had: whoever asks for it is told
        models.get().engine.decoder.warm_up()


def serve() -> None:
    """Serve the page until Ctrl-C, SIGTERM or SIGHUP. Raises StartError or CorpusError."""
    with contextlib.ExitStack() as at_the_end:
        with contextlib.suppress(KeyboardInterrupt):
            catch_signals(signal.default_int_handler)
            models = Catalogue()
            repos = os.environ.get("MODELCRAFT_HUB_REPOS", "").split(",")
            models.pull([repo.strip() for repo in repos if repo.strip()])
            try:
                models.get()  # the default one, before the first visitor asks
            except ModelCraftError as error:  # the others may run all the same, and weights from the Hub may come
                print(error, file=sys.stderr)
            threading.Thread(target=warm_up, args=(models,), name="warm up", daemon=True).start()
            service = Service(models, who=current_client)
            at_the_end.callback(service.trainings.close)
            demo = build(service)
            at_the_end.callback(demo.close)
            try:
                launch(demo, service, server_port=address()[1])
            except Exception as error:  # Gradio raises anything
                reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
                raise StartError(
                    f"The page cannot be served ({reason}); start it again, or look at the settings whose names begin "
                    "with GRADIO_."
                ) from error
            while True:
                time.sleep(GIVE_BACK_S)
                give_back_memory()
        catch_signals(signal.SIG_IGN)  # it ends, within seconds


def catch_signals(handler: Any) -> None:
    """Set what happens at Ctrl-C, SIGTERM and SIGHUP, unless whoever started this (nohup, say) wants nothing to."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # Windows lacks the last one
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


if __name__ == "__main__":
    logs.set_up()
    share_one_heap()
    sys.setswitchinterval(SWITCH_S)
    torch.set_num_threads(threads_for_serving())
    try:
        with contextlib.closing(scratch):
            serve()
    except ModelCraftError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    sys.stdout.flush()
    os._exit(0)  # Python's own way out would wait for whoever is at work, and end in C++'s complaint over a compiler
