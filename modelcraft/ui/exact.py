"""Components that show text exactly: character for character, never as Markdown, HTML or a template.

Gradio's own Chatbot renders or rewrites what it shows, and the template of `gr.HTML` is evaluated as code, so
nothing of a text may pass through either. Here the template is constant and a script sets the text. (No subclasses:
for each one Gradio would write a `.pyi` file beside the source.)
"""

from collections.abc import Sequence
from typing import Any, TypedDict

import gradio as gr

from modelcraft.errors import ConfigError
from modelcraft.ui.requests import check_text

MAX_SCRIPT = 200_000  # characters of one visitor's script
MAX_TURNS = 500


class Turn(TypedDict):
    """One turn of the script: who wrote it ("you" or a rung's name), and the text exactly as written."""

    who: str
    text: str


class ScriptValue(TypedDict):
    """The value of a script view: its turns, and whether the last one is being written."""

    turns: list[Turn]
    writing: bool


YOU = "you"


def script_view(elem_id: str) -> gr.HTML:
    """Make the page of the play: the visitor's lines and the model's, one under the other; a ScriptValue."""
    return gr.HTML(
        script(), html_template=_SCRIPT_HTML, js_on_load=_SCRIPT_JS, apply_default_css=False, elem_id=elem_id
    )


def plain_view(elem_id: str) -> gr.HTML:
    """Make a line of text that is shown exactly as it is; a `str`."""
    template = '<p class="mc-plain"></p>'
    return gr.HTML("", html_template=template, js_on_load=_PLAIN_JS, apply_default_css=False, elem_id=elem_id)


def script(turns: Sequence[Turn] = (), writing: bool = False) -> ScriptValue:
    """Make the value of a script view."""
    return {"turns": list(turns), "writing": writing}


def read_script(value: Any) -> list[Turn]:
    """Return the turns of a script view's value as a client sent it; raises ConfigError if it is none."""
    turns = value.get("turns") if isinstance(value, dict) else None
    if not isinstance(turns, list) or len(turns) > MAX_TURNS:
        raise ConfigError("This script is too long or not a script; clear it and start again.")
    if sum(len(str(turn.get("text"))) if isinstance(turn, dict) else 0 for turn in turns) > MAX_SCRIPT:
        raise ConfigError(f"This script has more than {MAX_SCRIPT:,} characters; clear it and start again.")
    read: list[Turn] = []
    for turn in turns:
        if not isinstance(turn, dict):
            raise ConfigError("This is not a script; clear it and start again.")
        read.append(
            {"who": check_text("who", turn.get("who"), 40), "text": check_text("text", turn.get("text"), MAX_SCRIPT)}
        )
    return read


def whole_text(turns: Sequence[Turn]) -> str:
    """Join the turns as the model reads them and as Copy copies them: a visitor's line starts a new paragraph."""
    text = ""
    for turn in turns:
        if turn["who"] == YOU and text:
            text += "" if text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
        text += turn["text"]
    return text


_PLAIN_JS = """
const line = element.querySelector('.mc-plain');
const draw = () => { line.textContent = props.value ?? ''; };
draw();
watch('value', draw);
"""

_SCRIPT_HTML = """
<div class="mc-script" role="log" aria-label="The script" aria-live="polite" tabindex="0"></div>
"""

# Each turn keeps its node, and a text that has only grown is appended to: nothing flickers, a selection stays.
_SCRIPT_JS = """
const page = element.querySelector('.mc-script');
const make = (tag, name) => Object.assign(document.createElement(tag), {className: name});
const draw = () => {
  const {turns, writing} = props.value ?? {turns: [], writing: false};
  const follow = page.scrollHeight - page.scrollTop - page.clientHeight < 8;
  const grown = page.children.length < turns.length;
  while (page.children.length > turns.length) page.lastChild.remove();
  turns.forEach((turn, i) => {
    let node = page.children[i];
    if (!node) {
      node = make('div', 'mc-turn');
      node.append(make('span', 'mc-who'), make('div', 'mc-text'));
      node.lastChild.append(document.createTextNode(''));
      page.append(node);
    }
    const who = node.firstChild, text = node.lastChild.firstChild;
    if (who.textContent !== turn.who) who.textContent = turn.who;
    node.dataset.who = turn.who === 'you' ? 'you' : 'model';
    if (text.data !== turn.text) {
      if (turn.text.startsWith(text.data)) text.appendData(turn.text.slice(text.data.length));
      else text.data = turn.text;
    }
    node.classList.toggle('mc-writing', writing && i === turns.length - 1);
  });
  page.setAttribute('aria-busy', writing);
  if (follow || grown) page.scrollTop = page.scrollHeight;
};
draw();
watch('value', draw);
"""

# What Copy puts on the clipboard is `whole_text` of the turns; a page without https has no clipboard to write to.
COPY_JS = """
async (script) => {
  let text = '';
  for (const turn of script.turns) {
    if (turn.who === 'you' && text) text += text.endsWith('\\n\\n') ? '' : text.endsWith('\\n') ? '\\n' : '\\n\\n';
    text += turn.text;
  }
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
  } else {
    const area = document.createElement('textarea');
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
}
"""
