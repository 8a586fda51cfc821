"""The Space's entry: composes the page and launches it.

`python app.py` serves it on http://127.0.0.1:7860; GRADIO_SERVER_NAME and GRADIO_SERVER_PORT say otherwise, and
MODELCRAFT_HUB_REPOS (user/repo[@revision], comma-separated) names weights on the Hub to run in place of the bundled.
"""

import contextlib
import functools
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported

import gradio as gr
import torch
from starlette.middleware import Middleware

from modelcraft.catalogue import Catalogue
from modelcraft.device import share_one_heap, threads_for_serving
from modelcraft.errors import ModelCraftError
from modelcraft.ui import attention, ladder, look, next_character, plates, surprise, train
from modelcraft.ui.api import add_api, add_api_help
from modelcraft.ui.attention import AttentionView
from modelcraft.ui.chat import Chat
from modelcraft.ui.counting import CountingView
from modelcraft.ui.embeddings import EmbeddingsView
from modelcraft.ui.gate import MAX_BODY, Gate
from modelcraft.ui.ladder import Ladder
from modelcraft.ui.next_character import NextCharacter
from modelcraft.ui.parts import QUIET
from modelcraft.ui.race import Race
from modelcraft.ui.requests import Desk
from modelcraft.ui.surprise import SurpriseView
from modelcraft.ui.train import TrainView

WARM_UP_AFTER_S = 10.0
CACHE_SWEPT_S = (60, 600)  # how often Gradio's folder of files is swept, and how old they may become
TITLE = """<div id="title"><h1>ModelCraft</h1><p>how GPT comes about, rung by rung</p></div>"""


def build(desk: Desk) -> gr.Blocks:
    """Compose the page and the API around the models that `desk` serves."""
    demo: gr.Blocks = gr.Blocks(title="ModelCraft", delete_cache=CACHE_SWEPT_S)
    with demo:
        visitor = gr.BrowserState(
            "", storage_key="modelcraft-visitor"
        )  # not in a tab, which is drawn when it is opened
        kinds: dict[str, Callable[[Desk, gr.Tab], Any]] = {
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
                chat = Chat(desk)
            with gr.Tab("Race", elem_id="race-tab"):
                Race(desk)
            for title, kind in kinds.items():
                with gr.Tab(title, elem_id=f"{title.lower().replace(' ', '-')}-tab") as tab:
                    views[title] = kind(desk, tab)
        choosers = [chooser for view in views.values() for chooser in getattr(view, "choosers", [])]
        views["Train"].offer(demo, tabs, chat.model, choosers)
        add_api_help()
        add_api(desk)
        demo.load(chat.describe, chat.model, chat.status, preprocess=False, **QUIET)
    demo.queue(default_concurrency_limit=None, api_open=False)
    return demo


def launch(demo: gr.Blocks, **options: Any) -> None:
    """Serve the page; Gradio's environment variables give the address. `options` go to Gradio's own launch."""
    gate = Middleware(
        Gate,
        endpoints=lambda: demo.get_api_info()["named_endpoints"],
        functions=functools.cache(lambda: fields(demo)),
    )
    demo.launch(
        theme=look.theme(),
        css="".join(part.CSS for part in (look, plates, next_character, attention, surprise, train, ladder)),
        footer_links=["api"],
        run_history=False,
        enable_monitoring=False,
        show_error=False,
        ssr_mode=False,
        max_threads=256,
        max_file_size=MAX_BODY,
        state_session_capacity=64,  # nothing of ours is kept there, and each costs a megabyte: a copy of the page
        app_kwargs={"middleware": [gate]},
        **options,
    )


def fields(demo: gr.Blocks) -> dict[int, range]:
    """Return how many fields each function takes, by its number; those at the end of an endpoint may have defaults."""
    named = demo.get_api_info()["named_endpoints"]
    takes = {}
    for number, fn in demo.fns.items():
        parameters = named.get(f"/{fn.api_name}", {"parameters": []})["parameters"]
        most = len(fn.inputs)
        takes[number] = range(most - sum(one["parameter_has_default"] for one in parameters), most + 1)
    return takes


def warm_up(models: Catalogue) -> None:
    """Make the default model faster, in the background, when the first visitors have had their page."""
    time.sleep(WARM_UP_AFTER_S)
    while models.pulling:
        time.sleep(1)
    with contextlib.suppress(ModelCraftError):  # a model that cannot be had: whoever asks for it is told
        models.get().model.warm_up()


if __name__ == "__main__":
    share_one_heap()
    torch.set_num_threads(threads_for_serving())
    models = Catalogue()
    models.pull([repo.strip() for repo in os.environ.get("MODELCRAFT_HUB_REPOS", "").split(",") if repo.strip()])
    try:
        models.get()  # the default one, before the first visitor asks
    except ModelCraftError as error:  # the others may run all the same, and weights from the Hub may come
        print(error, file=sys.stderr)
    warming = threading.Thread(target=warm_up, args=(models,), name="warm up", daemon=True)
    warming.start()
    desk = Desk(models)
    launch(build(desk))  # until Ctrl-C
    desk.workshop.close()
    if warming.is_alive():  # a compiler in its midst: Python's own way out would end in C++'s complaint
        sys.stdout.flush()
        os._exit(0)
