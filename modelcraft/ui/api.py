"""The API: `/chat`, `/generate` and `/models`; it is stable, documented on the page, and checks all that it is sent."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import gradio as gr
from gradio.events import api

from modelcraft.serving.service import DEFAULT_LENGTH, DEFAULT_TEMPERATURE, MAX_PROMPT, Service, TextRequest
from modelcraft.serving.streaming import as_read
from modelcraft.support.checks import check_text
from modelcraft.ui.clients import current_client, unread_events
from modelcraft.ui.component import script
from modelcraft.ui.script import MAX_SCRIPT, YOU, Turn, whole_text
from modelcraft.ui.widgets import QUIET, told

MAX_SESSIONS = 1_000


class Sessions:
    """The scripts of API clients, by session; the least recently written is dropped when there are too many."""

    def __init__(self, most: int = MAX_SESSIONS) -> None:
        self._most = most
        self._turns: OrderedDict[str, list[Turn]] = OrderedDict()

    def read(self, session: str) -> list[Turn]:
        """Return a copy of the turns so far."""
        return list(self._turns.get(session, []))

    def write(self, session: str, turns: list[Turn]) -> None:
        """Replace the turns of a session; a script that is too long keeps only its newest turns."""
        while len(turns) > 2 and sum(len(turn["text"]) for turn in turns) > MAX_SCRIPT // 10:
            turns = turns[2:]
        self._turns[session] = turns
        self._turns.move_to_end(session)
        while len(self._turns) > self._most:
            self._turns.popitem(last=False)


def add_api(service: Service) -> None:
    """Register the endpoints with the current gr.Blocks."""
    sessions = Sessions()

    def written(asked: TextRequest) -> AsyncGenerator[str, None]:
        if asked.notice:
            gr.Warning(asked.notice)
        return as_read(service.write(asked), unread_events())

    @told
    async def generate(
        prompt: str,
        length: int = DEFAULT_LENGTH,
        temperature: float = DEFAULT_TEMPERATURE,
        model: str | None = None,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int | None = None,
        stop: str = "",
    ) -> AsyncIterator[str]:
        """Continue a prompt.

        Parameters:
            prompt: The text to continue, such as ROMEO: and no instruction; of encoder-decoder the lines to restore.
            length: How many characters to write, 1 to 2,000.
            temperature: 0 always takes the likeliest character, 1 draws by the model's own odds; at most 2.
            model: A name that the tool models lists; without one, the app's own choice.
            top_k: Draw from so many of the likeliest characters only; 0 from all.
            top_p: Draw from the likeliest that hold this share of the odds; 1 from all.
            seed: A whole number; the same one gives the same text. Without one, another text each time.
            stop: A text before which the model ends.
        """
        service.streams.check(current_client())
        asked = await service.check(prompt, length, temperature, model, top_k, top_p, seed, stop=stop)
        async with aclosing(written(asked)) as texts:
            async for text in texts:
                yield text

    @told
    async def chat(
        message: str,
        length: int = DEFAULT_LENGTH,
        temperature: float = DEFAULT_TEMPERATURE,
        model: str | None = None,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int | None = None,
        stop: str = "",
    ) -> AsyncIterator[str]:
        session = current_client().session
        text = ""
        service.streams.check(current_client())
        check_text("message", message, MAX_PROMPT)
        line: list[Turn] = [{"who": YOU, "text": message}] if message else []
        # Only the end of a long script is read; no model's context is longer than that.
        prompt = whole_text([*sessions.read(session), *line])[-MAX_PROMPT:]
        asked = await service.check(prompt, length, temperature, model, top_k, top_p, seed, line=message, stop=stop)
        try:
            async with aclosing(written(asked)) as texts:
                async for text in texts:
                    yield text
        finally:  # an interrupted reply is part of the script, too; a line without a reply is not
            if text:
                sessions.write(session, [*sessions.read(session), *line, {"who": asked.entry.title, "text": text}])

    @told
    async def models() -> dict[str, Any]:
        return await asyncio.to_thread(service.catalogue.describe)

    api(generate, api_name="generate", api_description=GENERATE_HELP)
    api(chat, api_name="chat", api_description=CHAT_HELP)
    api(models, api_name="models", api_description=MODELS_HELP)


def add_api_help(demo: gr.Blocks) -> None:
    """Put a short guide to the API on the page; the footer links to Gradio's own page about it."""
    with gr.Accordion("Use it from a program", open=False, elem_id="api"):
        guide = gr.Markdown(API_HELP)
    demo.load(None, None, guide, js=script("served_at", guide=API_HELP), **QUIET)


API_HELP = """
```python
from gradio_client import Client

client = Client("http://127.0.0.1:7860")  # or the name of a Space, "user/space"
print(client.predict("ROMEO:", length=200, seed=1, api_name="/generate"))
for text in client.submit("ROMEO:", length=200, api_name="/chat"):  # the reply so far, again and again
    print(text)
print(client.predict(api_name="/models"))
```
```sh
curl -s http://127.0.0.1:7860/gradio_api/call/v2/generate -H "Content-Type: application/json" \\
    -d '{"prompt": "ROMEO:", "length": 200, "seed": 1}'
# {"event_id": "..."}: ask for the text, which streams
curl -sN http://127.0.0.1:7860/gradio_api/call/v2/generate/EVENT_ID
```
`/generate` continues a prompt, `/chat` a script that grows from call to call, `/models` lists what there is.
"""

LIMITS_HELP = (
    "length 1 to 2,000 characters; temperature 0 (always the likeliest) to 2; model a name from /models, or null; "
    "top_k 0 (all) to 1,000; top_p 0 to 1 (all); seed a whole number, or null for another text each time; stop a text "
    "before which the model ends. Characters that the model does not know are replaced by an equivalent or left out. "
    "encoder-decoder restores the vowels of the lines that it is given, and ends by itself."
)
GENERATE_HELP = (
    "Continue a prompt. Streams the text written so far, the continuation alone, without the prompt. " + LIMITS_HELP
)
CHAT_HELP = (
    "Continue the script: the message is its next line, and what you and the model wrote in this session comes before "
    "it. Streams the reply written so far. " + LIMITS_HELP
)
MODELS_HELP = (
    "List the models with their parameters, exact loss and the source of their weights, and what became of the Hub "
    "repositories that the app was told to use."
)
