"""The Space's entry: prepares the process, and serves the page.

`python app.py` serves it on http://127.0.0.1:7860; GRADIO_SERVER_NAME and GRADIO_SERVER_PORT say otherwise, and
MODELCRAFT_HUB_REPOS (user/repo[@revision], comma-separated) names weights on the Hub to run in place of the bundled.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from typing import Any

from modelcraft.support.surroundings import address, prepare

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported
# For a page of figures, which is closed here, Gradio makes a table of the last 10,000 events whenever one is done.
os.environ.update(GRADIO_ANALYTICS_MAX_EVENTS="1", GRADIO_ANALYTICS_CACHE_FREQUENCY=str(sys.maxsize))
os.environ["MPLBACKEND"] = "agg"  # gradio imports matplotlib, which a backend that is not installed here forbids
if __name__ == "__main__":
    scratch = prepare()

import torch

from modelcraft.serving.catalogue import Catalogue
from modelcraft.serving.service import Service
from modelcraft.support import logs
from modelcraft.support.device import give_back_memory, share_one_heap, threads_for_serving
from modelcraft.support.errors import ModelCraftError, StartError
from modelcraft.ui.clients import current_client
from modelcraft.ui.page import build, launch, warm_up

__all__ = ["build", "launch", "serve"]

# Reading a prompt takes the interpreter's lock some 300 times. A busy event loop keeps it for 5 ms each time, unless
# told otherwise: a second and a half a prompt.
SWITCH_S = 1e-4
GIVE_BACK_S = 10.0  # how often memory goes back to the system


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
