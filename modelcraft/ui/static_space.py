"""A page with a model in it, for a static Space or any file server: it writes in the visitor's browser.

The markup and the scripts are those of the app's tab "In your browser".
"""

import html
import json
import shutil
from pathlib import Path

from modelcraft.serving.catalogue import Entry
from modelcraft.support.files import write_text
from modelcraft.ui.component import FOLDER
from modelcraft.ui.in_browser import MEDIA, SCRIPTS, description, stored

PARTS = ("browser", "browser_line", "browser_dials")  # the sheet, and what stands beside it
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="page.css">
<link rel="stylesheet" href="browser.css">
</head>
<body>
<header><h1>{title}</h1><p>{adds}</p></header>
<main>
{markup}</main>
<footer>It runs in your browser; nothing that you type leaves it.
<a href="https://huggingface.co/docs/hub/spaces-sdks-static">A static Space</a>, made with ModelCraft.</footer>
<script type="module">
import {{mount}} from "./page.js";
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.body.classList.toggle("dark", dark.matches);
dark.addEventListener("change", follow);
follow();
const here = new URL("./", import.meta.url);
mount(document.querySelector("main"), here).open(new URL("model.json", here));
</script>
</body>
</html>
"""
FRONT_MATTER = """---
title: {quoted}
emoji: ✒️
colorFrom: red
colorTo: yellow
sdk: static
pinned: false
license: mit
short_description: A character-level model that writes in your browser
tags: [modelcraft, character-level, text-generation]
---

# {title}

A language model of {parameters:,} parameters that writes one character at a time, in the visitor's browser and nowhere
else. Made with ModelCraft.
"""


def write_page(entry: Entry, folder: Path, title: str) -> None:
    """Write the page, its scripts and the model of `entry` to `folder`; raise ConfigError unless a browser runs it."""
    weights = stored(entry)  # raises for another rung
    about = description(entry, "model.safetensors", len(weights))
    sheet, *controls = [(FOLDER / f"{name}.html").read_text(encoding="utf-8") for name in PARTS]
    markup = f"{sheet}<div>\n{''.join(controls)}</div>\n"
    adds = f"{entry.model.num_parameters:,} parameters, character by character"
    write_text(folder / "index.html", PAGE.format(title=html.escape(title), adds=adds, markup=markup))
    write_text(
        folder / "README.md",
        FRONT_MATTER.format(title=title, quoted=json.dumps(title), parameters=entry.model.num_parameters),
    )
    write_text(folder / "model.json", json.dumps(about, ensure_ascii=False) + "\n")
    (folder / "model.safetensors").write_bytes(weights)
    scripts = [path for path in SCRIPTS.iterdir() if path.suffix in (*MEDIA, ".css")]
    for path in (*scripts, FOLDER / "browser.css"):
        shutil.copyfile(path, folder / path.name)
