"""Prepare this machine for the app before Gradio is imported, because Gradio reads some of the settings."""

import argparse
import os
import signal
import socket
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import httpx

from modelcraft.support.errors import ModelCraftError, StartError
from modelcraft.support.scratch import Scratch

PORT = 7860
OPTIONS = {  # of `python app.py`: each is a variable of the environment, what it is, and what it says
    "address": ("GRADIO_SERVER_NAME", "HOST", "where the page is served; 0.0.0.0 is every address of this machine"),
    "port": ("GRADIO_SERVER_PORT", "NUMBER", f"at which port; {PORT} if nothing is said"),
    "hub-repos": ("MODELCRAFT_HUB_REPOS", "USER/REPO,…", "models on the Hub to run in place of the bundled ones"),
    "model": ("MODELCRAFT_MODEL", "RUNG", "the rung that the page opens with"),
    "corpus": ("MODELCRAFT_CORPUS", "PATH", "the text to learn from in the tab Train"),
}
PRIVATE = "127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,::1,fc00::/7"


def take_options(given: Sequence[str]) -> None:
    """Put the options of `python app.py` into the environment, where everything looks for them; `--help` ends it."""
    parser = argparse.ArgumentParser(
        description="Serve the page.",
        epilog="Without an option the variable in brackets decides, if it is set. README.md has all variables. For a "
        "projector, open the page with ?projector=1, and with &__theme=light or &__theme=dark for the paper.",
        allow_abbrev=False,
    )
    for name, (variable, metavar, what) in OPTIONS.items():
        parser.add_argument(f"--{name}", dest=variable, metavar=metavar, help=f"{what} ({variable})")
    os.environ.update({name: value for name, value in vars(parser.parse_args(given)).items() if value is not None})


def prepare() -> Scratch:
    """Check the address and the proxies, and make a folder; exit with one sentence if the app cannot start."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C loses nothing yet, so it needs no message
    try:
        host, port = address()
        pass_by_proxies(host)
        if os.environ.get("SPACE_ID"):  # trust the proxy of Spaces to say who the client is
            os.environ.setdefault("FORWARDED_ALLOW_IPS", PRIVATE)
        os.environ.setdefault("FORWARDED_ALLOW_IPS", "")  # trust nobody; uvicorn would trust this whole machine
        check_is_free(host, port)
        scratch = Scratch()
        give_uploads(scratch.path / "uploads")
        if on_zero_gpu():
            register_for_zero_gpu()
        return scratch
    except ModelCraftError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


def on_zero_gpu() -> bool:
    """Say whether this is a Space on ZeroGPU hardware, which lends a GPU for the seconds of one function call."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def register_for_zero_gpu() -> None:
    """Register a function for the lent GPU, before PyTorch is imported: ZeroGPU ends an app that has none.

    Nobody calls it. The models are small, and the engine is a thread that goes on and on, so all runs on the CPU there.
    """
    try:
        import spaces
    except ImportError as error:
        raise StartError("ZeroGPU hardware needs the package spaces; add it to requirements.txt.") from error
    spaces.GPU(lambda: None)


def address() -> tuple[str, int]:
    """Return the page's host and port from GRADIO_SERVER_NAME and GRADIO_SERVER_PORT, or raise StartError."""
    name, port = os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1", os.environ.get("GRADIO_SERVER_PORT", str(PORT))
    if not (port.isdecimal() and 0 < int(port) < 1 << 16):
        raise StartError(f"GRADIO_SERVER_PORT must be a number from 1 to 65535, not {port!r}.")
    return name.strip("[]"), int(port)


def pass_by_proxies(host: str) -> None:
    """Let requests to this machine bypass the proxies, because Gradio asks itself whether it runs.

    The environment then names all proxies, because Python looks nowhere else once NO_PROXY is set. Raises StartError.
    """
    known = urllib.request.getproxies()
    proxies = {f"{kind}_proxy": known[kind] for kind in ("http", "https", "all") if kind in known}
    if not proxies:
        return
    direct = ",".join(filter(None, [known.get("no"), "localhost", "127.0.0.1", "::1", host]))
    os.environ.update(proxies, no_proxy=direct, NO_PROXY=direct)
    try:
        httpx.Client().close()
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise StartError(
            f"{' or '.join(proxies)} names a proxy that cannot be used ({error}); give one that begins with http://, "
            "https:// or socks5://."
        ) from error


def check_is_free(host: str, port: int) -> None:
    """Raise StartError unless the page can be served at `host` and `port`."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # without the address, which Python adds
        raise StartError(
            f"The page cannot be served at {host}:{port} ({reason}); choose another port with "
            "GRADIO_SERVER_PORT, or another address with GRADIO_SERVER_NAME."
        ) from error


def give_uploads(folder: Path) -> None:
    """Let Gradio keep its files in `folder`, or GRADIO_TEMP_DIR if set; raise StartError if it is not writable."""
    folder = Path(os.environ.setdefault("GRADIO_TEMP_DIR", str(folder)))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise StartError(
            f"The folder {str(folder)!r} cannot be written to ({error.strerror}); name another with GRADIO_TEMP_DIR."
        ) from error
