"""All commands under one name: `gptcraft train` is `python -m modelcraft.train`, `gptcraft app` is `python app.py`."""

import runpy
import sys
from importlib import import_module

from modelcraft.support.cli import run
from modelcraft.support.files import HOME

HELP = ("--help", "-h", "help")
COMMANDS = {
    "train": "Train a rung on a text.",
    "distill": "Train the best GPT: several teachers, and a student of their mean.",
    "generate": "Continue a text, streamed to the terminal as it is written.",
    "evaluate": "Compute the exact losses of a rung.",
    "hub": "Push a model to the Hugging Face Hub, pull one, or put the app on a Space.",
    "export": "Write a trained GPT for transformers or ONNX.",
    "app": "Serve the page.",
}


def main() -> None:
    """Run the command that the first argument names, with the other arguments."""
    asked = sys.argv[1:2]
    name = asked[0] if asked else "--help"
    if name not in COMMANDS:
        named = "".join(f"  {command:10}{what}\n" for command, what in COMMANDS.items())
        usage = f"Usage: gptcraft COMMAND ...\n\n{named}\ngptcraft COMMAND --help says more of each.\n"
        if name in HELP:
            print(usage, end="")
            sys.exit(0 if asked else 2)
        print(f"There is no command {name!r}; take one of {', '.join(COMMANDS)}.", file=sys.stderr)
        sys.exit(1)
    del sys.argv[1]
    if name == "app":
        runpy.run_path(str(HOME / "app.py"), run_name="__main__")
        return
    module = import_module(f"modelcraft.{name}")  # the others wait: PyTorch takes seconds
    run(module.app if name == "hub" else getattr(module, name), f"gptcraft {name}")


if __name__ == "__main__":
    main()
