"""Shared code of the command lines: `python -m modelcraft.train`, `.evaluate`, `.generate`, `.hub`.

The exit code is 0 on success, 1 with one sentence on stderr for a user's error, 130 after Ctrl-C with everything saved.
"""

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from safetensors import SafetensorError

from modelcraft.support.device import launched
from modelcraft.support.errors import FOR_VISITOR, ModelCraftError, ModelCraftWarning, TrainingError

CORPUS_HELP = "tiny_shakespeare (downloaded on first use), or the path of any UTF-8 text."
DEVICE_HELP = "cuda, cpu, …; without it the GPU if there is one, else the CPU."
MODEL_HELP = "A rung's name, a model folder, or a Hub repository user/repo[@revision]."
CorpusName = Annotated[
    str | None, typer.Option(envvar="MODELCRAFT_CORPUS", help=CORPUS_HELP, show_default="tiny_shakespeare")
]
Device = Annotated[str | None, typer.Option(help=DEVICE_HELP, show_default="auto")]


def run(command: Callable[..., Any] | typer.Typer, name: str | None = None) -> None:
    """Run a command with the arguments of this process, then exit with its exit code; `name` is what its help says."""
    if isinstance(command, typer.Typer):
        app = command
    else:
        app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        app.command()(command)
    warnings.formatwarning = _as_a_sentence
    if isinstance(sys.stdout, io.TextIOWrapper):  # print "?" for characters that it cannot encode, as terminals do
        sys.stdout.reconfigure(errors="replace")
    try:
        code = app(standalone_mode=False, prog_name=name)
    except ModelCraftError as error:
        _fail(error)
    except typer.TyperException as error:
        _fail(ModelCraftError(error.format_message() if hasattr(error, "format_message") else str(error)))
    except BrokenPipeError:  # `… | head` stops reading, which is not our error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except SafetensorError as error:  # safetensors raises it if it cannot write a file
        _fail(TrainingError(f"The weights cannot be written ({str(error)[:200]}); check the disk."))
    except (MemoryError, RuntimeError) as error:
        out_of_it = ("out of memory", "not enough memory", "allocate memory")  # as GPUs and CPUs word it
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in out_of_it):
            raise
        _fail(ModelCraftError("There is not enough memory for this; take a smaller batch, context or model."))
    except OSError as error:
        where = f" {error.filename!r}" if error.filename else ""
        why = error.strerror or error
        _fail(TrainingError(f"A file{where} cannot be read or written: {why}; check the disk and the path."))
    sys.exit(code if isinstance(code, int) else 0)


def _as_a_sentence(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Format one of our warnings without its place in the code."""
    if issubclass(category, ModelCraftWarning):
        return f"{message}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n"


def _fail(error: ModelCraftError) -> NoReturn:
    if launched()[0] == 0:  # only one of several processes prints it
        print(error, file=sys.stderr)
        if sentence_file := os.environ.get(FOR_VISITOR):
            with contextlib.suppress(OSError):
                Path(sentence_file).write_text(error.for_visitors, encoding="utf-8")
    sys.exit(error.exit_code)
