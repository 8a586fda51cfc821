"""Components that show text exactly: character for character, never as Markdown, HTML or a template.

Gradio's own Chatbot renders or rewrites what it shows, and the template of `gr.HTML` is evaluated as code, so
nothing of a text may pass through either. Here the template is constant and a script sets the text. (No subclasses:
for each one Gradio would write a `.pyi` file beside the source.)
"""

import json
from collections.abc import Sequence
from typing import Any, TypedDict

import gradio as gr

from modelcraft.support.checks import check_text
from modelcraft.support.errors import ConfigError

MAX_SCRIPT = 200_000  # characters of one visitor's script
MAX_TURNS = 500


class Turn(TypedDict):
    """One turn of the script: who wrote it ("you" or a rung's name), and the text exactly as written."""

    who: str
    text: str


class ScriptValue(TypedDict):
    """The value of a script view: its turns, whether the last one is being written, and a word about it."""

    turns: list[Turn]
    writing: bool
    note: str


class Lane(TypedDict):
    """One column of a race: a rung and its figures, and what it has written so far."""

    name: str
    adds: str
    loss: str
    share: float  # of the loss of guessing: how long its bar is
    parameters: str
    said: str  # the prompt
    text: str
    speed: int  # characters a second that the model can do
    note: str  # why it writes nothing, or no more
    writing: bool


YOU = "you"


def script_view(elem_id: str) -> gr.HTML:
    """Make the page of the play: the visitor's lines and the model's, one under the other; a ScriptValue."""
    return gr.HTML(
        script(), html_template=_SCRIPT_HTML, js_on_load=_SCRIPT_JS, apply_default_css=False, elem_id=elem_id
    )


def race_view(lanes: Sequence[Lane], elem_id: str) -> gr.HTML:
    """Make the sheet of a race: up to four columns side by side, each a rung; a list of Lanes."""
    return gr.HTML(lanes, html_template=_RACE_HTML, js_on_load=_RACE_JS, apply_default_css=False, elem_id=elem_id)


def plain_view(elem_id: str) -> gr.HTML:
    """Make a line of text that is shown exactly as it is; a `str`."""
    template = '<p class="mc-plain"></p>'
    return gr.HTML("", html_template=template, js_on_load=_PLAIN_JS, apply_default_css=False, elem_id=elem_id)


def script(turns: Sequence[Turn] = (), writing: bool = False) -> ScriptValue:
    """Make the value of a script view."""
    return {"turns": list(turns), "writing": writing, "note": ""}


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
<p class="mc-script-note" role="status"></p>
"""

# Each turn keeps its node, and a text that has only grown is appended to: nothing flickers, a selection stays. The tab
# keeps the script where the browser lets it: when Gradio loses its connection it loads the page anew.
_SCRIPT_JS = """
const page = element.querySelector('.mc-script'), said = element.querySelector('.mc-script-note');
let kept = 0;
const keep = () => {
  const {turns, writing} = props.value ?? {};
  if (!turns || (writing && Date.now() - kept < 1000)) return;
  kept = Date.now();
  try { sessionStorage.setItem('modelcraft-script', JSON.stringify({turns, writing})); } catch {}
};
addEventListener('pagehide', () => { kept = 0; keep(); });
const make = (tag, name) => Object.assign(document.createElement(tag), {className: name});
const draw = () => {
  const {turns, writing, note = ''} = props.value ?? {turns: [], writing: false};
  said.textContent = note;
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
watch('value', () => { draw(); keep(); });  // not at first: the empty page would take the place of what was kept
"""

# What the tab has kept, shown again when the page is loaded.
RECALL_JS = """() => {
  try {
    const {turns = [], writing = false} = JSON.parse(sessionStorage.getItem('modelcraft-script')) ?? {};
    return {turns, writing: false, note: writing ? LOST : ''};
  } catch { return {turns: [], writing: false, note: ''}; }
}""".replace("LOST", json.dumps("The connection was lost here. Write on with an empty line, or Retry."))

_RACE_HTML = """
<div class="mc-race" role="group" aria-label="The race"></div>
"""

# As above: what has only grown is appended to. Many events a second come here, so the page is laid out anew once for
# each, not once for each column: all is measured, then all is written, then all is scrolled. The button that was
# pressed vanishes in favour of the other one, which gets its focus: who races by keyboard stays where they were.
_RACE_JS = """
const sheet = element.querySelector('.mc-race');
const make = (tag, name, ...children) => {
  const node = Object.assign(document.createElement(tag), {className: name});
  node.append(...children);
  return node;
};
const lane = () => {
  const text = () => document.createTextNode('');
  const page = make('div', 'mc-lane-page', make('span', 'mc-lane-said', text()), make('span', 'mc-lane-text', text()),
    make('p', 'mc-lane-note'));
  page.tabIndex = 0;
  page.setAttribute('role', 'region');
  const foot = make('p', 'mc-lane-foot', make('span', 'mc-lane-size'), make('span', 'mc-lane-speed'));
  foot.setAttribute('role', 'status');
  return make('section', 'mc-lane', make('h2', 'mc-lane-name'), make('span', 'mc-lane-loss'),
    make('p', 'mc-lane-adds'), page, foot);
};
const set = (node, text) => {
  node = node.firstChild?.nodeType === Node.TEXT_NODE ? node.firstChild : node;
  const now = node.textContent;
  if (now === text) return;
  if (node.nodeType === Node.TEXT_NODE && text.startsWith(now)) node.appendData(text.slice(now.length));
  else node.textContent = text;
};
let last = null, raced = false;
document.addEventListener('focusin', event => { last = event.target; });
const draw = () => {
  const lanes = props.value ?? [];
  while (sheet.children.length > lanes.length) sheet.lastChild.remove();
  while (sheet.children.length < lanes.length) sheet.append(lane());
  const pages = [...sheet.querySelectorAll('.mc-lane-page')];
  const following = pages.filter((page, i) =>
    !lanes[i].text || page.scrollHeight - page.scrollTop - page.clientHeight < 8);
  lanes.forEach((one, i) => {
    const node = sheet.children[i];
    const [name, loss, adds, page, foot] = node.children;
    set(name, one.name);
    set(loss, one.loss);
    node.style.setProperty('--loss', one.share);
    set(adds, one.adds);
    set(page.children[0], one.said);
    set(page.children[1], one.text);
    set(page.children[2], one.note);
    set(foot.children[0], one.parameters);
    set(foot.children[1], one.speed && !one.writing ? one.speed.toLocaleString('en') : '');
    const label = `What ${one.name} writes`;
    if (page.ariaLabel !== label) page.ariaLabel = label;
    if (page.ariaBusy !== String(one.writing)) page.ariaBusy = String(one.writing);
    node.classList.toggle('mc-writing', one.writing);
    node.classList.toggle('mc-told', Boolean(one.said));
  });
  for (const page of following) page.scrollTop = page.scrollHeight;
  const racing = lanes.some(one => one.writing);
  if (racing === raced) return;
  raced = racing;
  setTimeout(() => {
    if (document.activeElement === document.body && last?.closest('#race-go, #race-stop'))
      document.querySelector(racing ? '#race-stop' : '#race-go')?.focus({preventScroll: true});
  }, 50);
};
draw();
watch('value', draw);
"""

# What was ticked becomes the columns: no fifth one, in the order of the ladder, and who stays keeps the text.
_LINE_UP_JS = """
(names, lanes) => {
  const ladder = LADDER;
  names = names.slice(0, 4);
  if (lanes.some(lane => lane.writing)) return [names, lanes];
  const chosen = ladder.filter(lane => names.includes(lane.name));
  return [names, chosen.map(lane => lanes.find(one => one.name === lane.name) ?? lane)];
}
"""
# The list is within another one: Gradio takes what comes as the list of all outputs.
STOPPED_JS = "lanes => [lanes.map(lane => ({...lane, writing: false}))]"


def line_up_js(ladder: Sequence[Lane]) -> str:
    """Return the script that turns the names that were ticked into the columns of a race; `ladder`: all there are."""
    return _LINE_UP_JS.replace("LADDER", json.dumps(ladder))


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
