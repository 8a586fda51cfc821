"""Components whose front end stands in files of its own: the markup, the style and the script of one in `components/`.

In a script, `element` is the component's own, `props.value` its value, and `watch('value', draw)` calls `draw` when
that changes; before it stand the helpers of `shared.js`. A text never passes through Gradio's templates, which are
evaluated as code: the markup is constant, and the script sets the text. (No subclasses of `gr.HTML`: for each one
Gradio would write a `.pyi` file beside the source.)
"""

import json
from pathlib import Path
from typing import Any

import gradio as gr

FOLDER = Path(__file__).parent / "components"


def component(name: str, value: Any, elem_id: str, **options: Any) -> gr.HTML:
    """Make the component of that name; `options` go to `gr.HTML`."""
    return gr.HTML(
        value,
        html_template=_read(f"{name}.html"),
        js_on_load=_read("shared.js") + _read(f"{name}.js"),
        apply_default_css=False,
        elem_id=elem_id,
        **options,
    )


def script(name: str, **values: Any) -> str:
    """Return a script that Gradio calls as a function; each of `values` takes the place of its name, in capitals."""
    source = "".join(line for line in _read(f"{name}.js").splitlines(keepends=True) if not line.startswith("//"))
    for key, value in values.items():
        source = source.replace(key.upper(), json.dumps(value))
    return source


def stylesheet() -> str:
    """Return the styles of the page and of all components; the page's own come first."""
    names = sorted((path.name for path in FOLDER.glob("*.css")), key=lambda name: (name != "theme.css", name))
    return "".join(map(_read, names))


def _read(file: str) -> str:
    return (FOLDER / file).read_text(encoding="utf-8")
