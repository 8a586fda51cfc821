"""The house has floors: nothing imports what stands above it, and no modules import each other in a circle."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# From the ground up. A floor is a package, or modules that stand together in modelcraft/.
FLOORS = (
    ("support",),
    ("data", "tokenizer", "sampling", "model", "loss"),
    # The rungs: each one may stand on those before it.
    ("bigram", "averaging", "head", "multihead", "feedforward", "residual", "block"),
    ("vowels", "gpt", "encoder_decoder", "ngrams", "counting", "blend"),
    ("ladder",),
    ("inference",),
    ("store",),
    ("training",),
    ("insight",),
    ("serving",),
    ("ui",),
    ("train", "distill", "evaluate", "generate", "export", "hub"),
    ("__init__", "__main__"),
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}


def modules() -> dict[str, Path]:
    """Return the files of the package by their modules' names, `gpt` and `ui.tabs.chat` and the like."""
    files = (ROOT / "modelcraft").rglob("*.py")
    return {".".join(file.relative_to(ROOT / "modelcraft").with_suffix("").parts): file for file in files}


def imported(file: Path) -> set[str]:
    """Return what a file imports, within functions and for the type checker, too: `modelcraft.gpt`, `gradio`."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{one.name}" for one in node.names} | {node.module}
    return found


def arrows() -> dict[str, set[str]]:
    """Return which of our modules each of them imports."""
    known = modules()
    found = {}
    for name, file in known.items():
        ours = {one.removeprefix("modelcraft.") for one in imported(file) if one.startswith("modelcraft")}
        found[name] = {one for one in ours if one in known}
        found[name] -= {name}
    return found


def test_there_is_no_circle():
    try:
        tuple(TopologicalSorter(arrows()).static_order())
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None


def test_nothing_leans_on_what_stands_above_it():
    up = [
        f"{name} imports {one}"
        for name, those in arrows().items()
        for one in those
        if FLOOR[one.split(".")[0]] > FLOOR[name.split(".")[0]]
    ]
    assert not up, "\n".join(sorted(up))


def test_only_the_page_knows_gradio():
    knows = {name for name, file in modules().items() if any(one.split(".")[0] == "gradio" for one in imported(file))}
    assert {name for name in knows if not name.startswith("ui.")} == set()
