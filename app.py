"""The Space's entry point: prepares the process and serves the page.

`python app.py` serves it on http://127.0.0.1:7860; `python app.py --help` says what can be chosen, and by which
variables of the environment a Space chooses it.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from typing import Any

from modelcraft.support.surroundings import address, prepare, take_options

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported
# Gradio rebuilds a table of the last 10,000 events after each event, for a page of statistics that is closed here.
os.environ.update(GRADIO_ANALYTICS_MAX_EVENTS="1", GRADIO_ANALYTICS_CACHE_FREQUENCY=str(sys.maxsize))
os.environ["MPLBACKEND"] = "agg"  # matplotlib, which gradio imports, fails with a backend that is not installed
if __name__ == "__main__":
    take_options(sys.argv[1:])
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

# Reading a prompt takes the interpreter's lock about 300 times. By default, a busy event loop keeps it for 5 ms each
# time: 1.5 seconds per prompt.
SWITCH_S = 1e-4
GIVE_BACK_S = 10.0  # how often the process returns memory to the system


def serve() -> None:
    """Serve the page until Ctrl-C, SIGTERM or SIGHUP. Raises StartError or CorpusError."""
    with contextlib.ExitStack() as at_the_end:
        with contextlib.suppress(KeyboardInterrupt):
            catch_signals(signal.default_int_handler)
            models = Catalogue()
            repos = os.environ.get("MODELCRAFT_HUB_REPOS", "").split(",")
            models.pull([repo.strip() for repo in repos if repo.strip()])
            try:
                models.get()  # load the default model before the first visitor asks
            except ModelCraftError as error:  # other models may still run, and weights from the Hub may still come
                print(error, file=sys.stderr)
            service = Service(models, who=current_client)
            threading.Thread(target=warm_up, args=(service,), name="warm up", daemon=True).start()
            at_the_end.callback(service.trainings.close)
            demo = build(service)
            at_the_end.callback(demo.close)
            try:
                launch(demo, service, server_port=address()[1])
            except ModelCraftError:
                raise
            except Exception as error:  # Gradio may raise any type
                reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
                raise StartError(
                    f"The page cannot be served ({reason}); start it again, or look at the settings whose names begin "
                    "with GRADIO_."
                ) from error
            while True:
                time.sleep(GIVE_BACK_S)
                give_back_memory()
        catch_signals(signal.SIG_IGN)  # the process ends within seconds


def catch_signals(handler: Any) -> None:
    """Set `handler` for Ctrl-C, SIGTERM and SIGHUP, except for signals ignored from the start (under nohup, say)."""
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
    os._exit(0)  # Python's own exit would wait for running work, and end with a C++ error about a compiler
