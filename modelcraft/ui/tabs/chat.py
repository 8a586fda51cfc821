"""The chat: a visitor writes a line of the script, and the model continues it, character by character."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import gradio as gr

from modelcraft.serving.catalogue import Entry
from modelcraft.serving.service import (
    DEFAULT_LENGTH,
    DEFAULT_PACE,
    DEFAULT_TEMPERATURE,
    MAX_LENGTH,
    MAX_PACE,
    MAX_PROMPT,
    MAX_TEMPERATURE,
    Service,
)
from modelcraft.serving.streaming import Meter, as_read
from modelcraft.support.checks import check_text
from modelcraft.support.errors import ConfigError, ModelCraftError
from modelcraft.ui import component
from modelcraft.ui.clients import current_client, unread_events
from modelcraft.ui.labels import choices
from modelcraft.ui.openings import TO_GO_ON, Openings, invitation_of
from modelcraft.ui.script import YOU, ScriptValue, Turn, plain_view, read_script, script, script_view, whole_text
from modelcraft.ui.widgets import told

HINT = "Write a line first, or choose one of the openings."
Updates = tuple[Any, ...]


class Chat:
    """The tab: its components, and what happens when a visitor uses them."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._writing: set[str] = set()  # the sessions in which the model is writing
        self._build()
        self._wire()

    def _build(self) -> None:
        with gr.Column(elem_id="sheet"):
            self.script = script_view("script")
            self.openings = Openings()
        self.status = plain_view("status")
        self.timer = gr.Timer(2, active=self.service.catalogue.pulling)  # until all named weights have come or failed
        with gr.Row(elem_id="tools"):
            self.onward = gr.Button("Continue", size="sm", min_width=0, elem_id="continue")
            self.retry = gr.Button("Retry", size="sm", min_width=0, elem_id="retry")
            self.undo = gr.Button("Undo", size="sm", min_width=0, elem_id="undo")
            self.clear = gr.Button("Clear", size="sm", min_width=0, elem_id="clear")
            self.copy = gr.Button("Copy", size="sm", min_width=0, elem_id="copy")
        with gr.Row(elem_id="desk", elem_classes="mc-desk", equal_height=True):
            self.message = gr.Textbox(
                placeholder=TO_GO_ON.placeholder,
                label="Your line",
                show_label=False,
                lines=1,
                max_lines=5,
                max_length=MAX_PROMPT,
                container=False,
                elem_id="message",
            )
            self.go = gr.Button("Write", variant="primary", min_width=0, elem_id="go")
            self.stop = gr.Button("Stop", variant="stop", min_width=0, elem_id="stop")
        self.model = gr.Dropdown(
            choices(self.service.catalogue),
            value=self.service.catalogue.default,
            label="Model",
            filterable=False,
            elem_id="model",
        )
        with gr.Row(elem_id="dials"):
            self.length = slider("Length", "characters to write", 1, MAX_LENGTH, DEFAULT_LENGTH, 1)
            self.temperature = slider(
                "Temperature",
                "0 always the likeliest, 1 the model's odds",
                0,
                MAX_TEMPERATURE,
                DEFAULT_TEMPERATURE,
                0.05,
            )
        with gr.Accordion("More", open=False, elem_id="more"), gr.Row():
            self.pace = slider("Pace", "characters a second; 0: as fast as it runs", 0, MAX_PACE, DEFAULT_PACE, 1)
            self.top_k = slider("Top-k", "draw from the k likeliest; 0: from all", 0, 100, 0, 1)
            self.top_p = slider("Top-p", "draw from the likeliest with this share; 1: all", 0, 1, 1, 0.01)
            self.seed = gr.Textbox(
                label="Seed",
                info="the same number, the same text",
                placeholder="another text each time",
                max_lines=1,
                min_width=220,
                elem_id="seed",
            )

    def _wire(self) -> None:
        dials = [self.length, self.temperature, self.model, self.top_k, self.top_p, self.seed, self.pace]
        outputs = [self.script, self.message, self.status]
        # The service checks everything; Gradio's own checks would not know a model that a visitor has trained.
        options: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "preprocess": False}
        starts: list[tuple[Any, Any]] = [(self.message.submit, self.message), (self.go.click, self.message)]
        starts += [(button.click, button) for button in self.openings.buttons]
        runs: list[Any] = [start(self.send, [line, self.script, *dials], outputs, **options) for start, line in starts]
        runs.append(self.onward.click(self.go_on, [self.script, *dials], outputs, **options))
        runs.append(self.retry.click(self.again, [self.script, *dials], outputs, **options))

        # End the run first, and change the page only then, so that no text of the run can come after the change.
        def after_ending(button: gr.Button, change: Callable[..., Any], outputs: list[Any]) -> None:
            ended = button.click(None, None, None, cancels=runs, **options)
            ended.then(change, self.script, outputs, **options)

        after_ending(self.stop, self.stopped, [self.script])
        after_ending(self.undo, self.undone, [self.script, self.message])
        after_ending(self.clear, lambda _: script(), [self.script])
        self.copy.click(None, self.script, None, js=component.script("copy"), api_visibility="private").then(
            lambda: gr.Info("Copied.", duration=2), None, None, **options
        )
        self.model.change(self.describe, self.model, self.status, **options)
        invited = [self.message, self.temperature, *self.openings.outputs]
        self.model.change(self.invite, [self.model, self.openings.lead], invited, **options)
        self.timer.tick(self.look_again, self.model, [self.status, self.timer], **options)

    @told
    async def send(self, request: gr.Request, line: Any, value: Any, *dials: Any) -> AsyncIterator[Updates]:
        """Put the visitor's line into the script and let the model continue."""
        check_text("Your line", line, MAX_PROMPT)
        turns = read_script(value)
        if not (line or turns):
            yield {**script(), "note": HINT}, gr.skip(), gr.skip()
            return
        said: list[Turn] = [{"who": YOU, "text": line}] if line else []
        async for updates in self._write(request, [*turns, *said], line, dials, message=""):
            yield updates

    @told
    async def go_on(self, request: gr.Request, value: Any, *dials: Any) -> AsyncIterator[Updates]:
        """Let the model continue the script as it stands."""
        turns = read_script(value)
        if not turns:
            raise ConfigError("There is nothing to continue yet.")
        async for updates in self._write(request, turns, "", dials, message=gr.skip()):
            yield updates

    @told
    async def again(self, request: gr.Request, value: Any, *dials: Any) -> AsyncIterator[Updates]:
        """Take back the model's last turn and let it write another."""
        turns = read_script(value)
        while turns and turns[-1]["who"] != YOU:
            turns.pop()
        if not turns:
            raise ConfigError("There is nothing to retry yet.")
        async for updates in self._write(request, turns, turns[-1]["text"], dials, message=gr.skip()):
            yield updates

    @told
    async def _write(
        self, request: gr.Request, turns: list[Turn], line: str, dials: tuple[Any, ...], message: Any
    ) -> AsyncIterator[Updates]:
        """Stream the model's answer to `turns`, whose last `line` is new; `message` is the new text field.

        Invalid input is refused before anything on the page changes.
        """
        length, temperature, model, top_k, top_p, seed, pace = dials
        session = request.session_hash or ""
        skip = gr.skip()
        seed = read_seed(seed)
        if session in self._writing:
            raise ConfigError("The model is still writing; press Stop first.")
        self.service.streams.check(current_client())
        self._writing.add(session)
        try:
            # Only the end of a long script is read; no model's context is longer than that.
            prompt = whole_text(turns)[-MAX_PROMPT:]
            asked = await self.service.check(prompt, length, temperature, model, top_k, top_p, seed, pace, line)
            if asked.notice:
                gr.Warning(asked.notice)
            reply: Turn = {"who": asked.entry.title, "text": "", "rung": asked.entry.name}
            meter = Meter()
            yield script([*turns, reply], writing=True), message, skip
            texts = as_read(self.service.write(asked, meter), unread_events())
            async with aclosing(texts):
                async for text in texts:
                    reply = {**reply, "text": text}
                    yield script([*turns, reply], writing=True), skip, skip
            yield script([*turns, reply]), skip, status_line(asked.entry, meter)
        finally:
            self._writing.discard(session)

    @told
    def stopped(self, value: Any) -> ScriptValue:
        """Keep the text so far, and show that the model has stopped writing."""
        return script(read_script(value))

    @told
    def undone(self, value: Any) -> Updates:
        """Take back the last line and the model's answer to it; the line returns to the text field."""
        turns = read_script(value)
        while turns and turns[-1]["who"] != YOU:
            turns.pop()
        line = turns.pop()["text"] if turns else ""
        return script(turns), line or gr.skip()

    @told
    async def look_again(self, model: Any) -> Updates:
        """Return the current status, and whether to look again later."""
        pulling = self.service.catalogue.pulling
        return await self.describe(model), gr.Timer(active=pulling)

    @told
    async def invite(self, model: Any, lead: Any) -> Any:
        """Return the field for the line, the temperature and the openings as they suit the model.

        `lead` is the one that is shown: if it suits, nothing changes, the visitor's temperature least of all.
        """
        unchanged = (gr.skip(),) * (2 + len(self.openings.outputs))
        try:
            entry = await self.service.get(model)
        except ModelCraftError:  # the status says so
            return unchanged
        invitation = invitation_of(entry.model.continues, entry.info)
        if lead == invitation.lead:
            return unchanged
        field = gr.update(placeholder=invitation.placeholder)
        return field, invitation.temperature, *self.openings.show(invitation)

    @told
    async def describe(self, model: Any = None) -> str:
        """Return the status of a model that has not written yet, and of the named Hub repositories."""
        try:
            lines = [status_line(await self.service.get(model))]
        except ModelCraftError as error:
            lines = [error.for_visitors]
        lines += [f"{repo}: {state}" for repo, state in self.service.catalogue.states.items()]
        return "\n".join(lines)


def slider(
    label: str, info: str, low: float, high: float, value: float, step: float, elem_id: str | None = None
) -> gr.Slider:
    """Make a slider; its element id comes from its label, or is `elem_id` where another tab has that label."""
    elem_id = elem_id or label.lower().replace("-", "_")
    return gr.Slider(low, high, value, step=step, label=label, info=info, min_width=220, elem_id=elem_id)


def read_seed(text: Any) -> int | None:
    """Return the typed seed, or None for an empty field; raises ConfigError for anything but a number."""
    digits = check_text("Seed", text or "", 30).strip()
    if not digits:
        return None
    if not (digits.isascii() and digits.isdigit()):
        raise ConfigError("Seed must be a whole number, or empty for another text each time.")
    return int(digits)


def status_line(entry: Entry, meter: Meter | None = None) -> str:
    """Say what runs: rung, parameters, loss, device, weights, and, after a text, the speed."""
    loss = entry.info.validation_loss
    parts = [
        entry.title,
        f"{entry.model.num_parameters:,} parameters",
        f"loss {loss:.3f} nats per character" if loss is not None else "loss not measured",
        f"on {str(entry.model.device).upper()}",
        f"weights {entry.source}",
        *([] if entry.model.continues else ["restores the vowels of a line"]),
    ]
    if meter and meter.characters:
        parts.append(f"the model writes {meter.speed or meter.pace:,.0f} characters/s")  # however slow the display is
    return "\u00a0 ·  ".join(parts)  # a line may break after a dot, never before it
