"""Components with a front end in separate files: `components/` holds the markup, style and script of each.

In a script, `element` is the component's element, `props.value` its value, and `watch('value', draw)` calls `draw`
when the value changes; the helpers of `shared.js` come first. No text passes through Gradio's templates, which are
evaluated as code: the markup is constant, and the script sets the text. (There are no subclasses of `gr.HTML`: Gradio
would write a `.pyi` file beside the source for each one.)
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

FOLDER = Path(__file__).parent / "components"


def component(name: str, value: Any, elem_id: str, words: Mapping[str, str] | None = None, **options: Any) -> gr.HTML:
    """Make the component called `name`; its script can explain `words`, and `options` go to `gr.HTML`."""
    explains = script("words", definitions=dict(words)) if words else ""
    return gr.HTML(
        value,
        html_template=_read(f"{name}.html"),
        js_on_load=_read("shared.js") + explains + _read(f"{name}.js"),
        apply_default_css=False,
        elem_id=elem_id,
        **options,
    )


def script(name: str, **values: Any) -> str:
    """Return a script that Gradio calls as a function; each of `values` replaces its name in capitals."""
    source = "".join(line for line in _read(f"{name}.js").splitlines(keepends=True) if not line.startswith("//"))
    for key, value in values.items():
        source = source.replace(key.upper(), json.dumps(value))
    return source


def stylesheet() -> str:
    """Return the styles of the page, followed by those of all components."""
    names = sorted((path.name for path in FOLDER.glob("*.css")), key=lambda name: (name != "theme.css", name))
    return "".join(map(_read, names))


def _read(file: str) -> str:
    return (FOLDER / file).read_text(encoding="utf-8")
