"""The race: one prompt, one seed, one temperature, and up to four rungs that continue the prompt side by side."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from contextlib import aclosing
from typing import Any

import gradio as gr

from modelcraft.insight.real_words import real_words
from modelcraft.ladder import RUNGS
from modelcraft.sampling import SamplingParams
from modelcraft.serving.service import (
    DEFAULT_LENGTH,
    DEFAULT_TEMPERATURE,
    MAX_LENGTH,
    MAX_PACE,
    MAX_PROMPT,
    MAX_TEMPERATURE,
    Service,
    TextRequest,
    check_dials,
    check_prompt,
)
from modelcraft.serving.streaming import HEARTBEAT_S, Meter, as_read, together
from modelcraft.serving.training_job import PREFIX, Job
from modelcraft.support.errors import ConfigError, ModelCraftError
from modelcraft.ui.clients import current_client, unread_events
from modelcraft.ui.component import component
from modelcraft.ui.lanes import FIRST_RACE, absent, empty_lane, first_choice, own_lane, snapshot
from modelcraft.ui.script import STOPPED_JS, Lane, line_up_js, race_view
from modelcraft.ui.tabs.chat import read_seed, slider
from modelcraft.ui.widgets import guess, told

MAX_LANES = 4
DEFAULT_SEED = 1337
RACE_PACE = 40  # a reader keeps up; above 30, a lane that waited for a slower one catches up
RACE_TICK_S = 1 / 15  # an event updates all lanes: as much work for a browser as two events of the chat
EXAMPLES = ("ROMEO:", "QUEEN", "First Cit", "To be, or not to", "The king's ")
QUESTION = "Before you press Start: which of these writes the fewest words that stand in the play?"
FEWEST = "head"
ANSWER = (
    "The head, though its loss is lower than the bigram's: some 24 of a hundred of its words stand in the play, of the "
    "bigram's 35, the block's 69, the gpt's 97. It averages what it sees, so it is less sure which character came last."
)
log = logging.getLogger(__name__)


class Race:
    """The tab: its components, and what happens when a visitor uses them."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._racing: set[str] = set()  # the sessions with a race under way
        ladder = self.ladder()
        self._build(ladder)
        self._wire(ladder)

    def _build(self, ladder: list[Lane]) -> None:
        chosen = first_choice(self.names)
        if chosen == [*FIRST_RACE]:  # it asks about these
            guess("race-guess", QUESTION, FIRST_RACE, FIRST_RACE.index(FEWEST), ANSWER)
        with gr.Row(elem_classes="mc-beside mc-racing"):
            with gr.Column():
                self.view = race_view([lane for lane in ladder if lane["name"] in chosen], "race")
            with gr.Column():
                self._build_prompt()
                self.rungs = gr.CheckboxGroup(
                    self.names,
                    value=chosen,
                    label="Rungs, up to four",
                    info=absent(self.service.catalogue.names),
                    elem_id="race-rungs",
                    elem_classes="mc-pills",
                )
                self.told = component("line", "", "race-told")
                self._build_dials()
        self.own = gr.Textbox("[]", visible=False)  # the lanes of the visitor's own models

    def _build_prompt(self) -> None:
        with gr.Row(elem_id="race-desk", elem_classes="mc-desk mc-stays", equal_height=True):
            self.prompt = gr.Textbox(
                EXAMPLES[0],
                label="The prompt of all",
                show_label=False,
                placeholder="How it begins …",
                lines=1,
                max_lines=5,
                max_length=MAX_PROMPT,
                container=False,
                elem_id="race-prompt",
            )
            self.go = gr.Button("Start", variant="primary", min_width=0, elem_id="race-go")
            self.stop = gr.Button("Stop", variant="stop", min_width=0, elem_id="race-stop")
        with gr.Row(elem_id="race-examples", elem_classes="mc-examples"):
            self.examples = [gr.Button(line, size="sm", min_width=0) for line in EXAMPLES]

    def _build_dials(self) -> None:
        with gr.Row(elem_id="race-dials"):
            self.length = slider(
                "Length", "characters of each", 1, MAX_LENGTH, DEFAULT_LENGTH, 1, elem_id="race-length"
            )
            self.temperature = slider(
                "Temperature",
                "0 always the likeliest, 1 the model's odds",
                0,
                MAX_TEMPERATURE,
                DEFAULT_TEMPERATURE,
                0.05,
                elem_id="race-temperature",
            )
            self.pace = slider(
                "Pace",
                "characters a second of each; 0: as fast as it runs",
                0,
                MAX_PACE,
                RACE_PACE,
                1,
                elem_id="race-pace",
            )
            self.seed = gr.Textbox(
                str(DEFAULT_SEED),
                label="Seed",
                info="all draw with the same luck",
                max_lines=1,
                min_width=220,
                elem_id="race-seed",
            )

    def _wire(self, ladder: list[Lane]) -> None:
        options: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        dials = [self.rungs, self.seed, self.temperature, self.length, self.pace]
        starts: list[tuple[Any, Any]] = [(self.prompt.submit, self.prompt), (self.go.click, self.prompt)]
        starts += [(button.click, button) for button in self.examples]
        # Skip Gradio's own checks: their messages are not for visitors, and ours check everything.
        self.runs = [
            start(self.start, [line, *dials], self.view, preprocess=False, **options) for start, line in starts
        ]
        # Ask the server once before the columns are marked as stopped: after its answer, no text of the run can follow.
        ended = self.stop.click(None, None, None, cancels=self.runs, **options).then(
            lambda: None, None, None, **options
        )
        ended.then(None, self.view, self.view, js=STOPPED_JS, **options)
        for button in self.examples:
            button.click(None, button, self.prompt, js="line => line", **options)
        self.ticked = ticked = [self.rungs, self.view, self.own]
        self.lined_up = [self.rungs, self.view, self.told]
        self.rungs.input(None, ticked, self.lined_up, js=line_up_js(ladder), **options)

    @told
    async def start(
        self, request: gr.Request, prompt: Any, names: Any, seed: Any, temperature: Any, length: Any, pace: Any
    ) -> AsyncIterator[list[Lane]]:
        """Let the rungs called `names` continue the prompt, all at the same time, in one stream of events."""
        session = request.session_hash or ""
        luck = read_seed(seed)
        if luck is None:
            raise ConfigError("Give a seed, so that all draw with the same luck.")
        params = check_dials(length, temperature, 0, 1, luck, pace)
        check_prompt(prompt)
        chosen = self.read_names(names)
        self.service.check_room(len(chosen))
        self.service.streams.check(current_client(), len(chosen))
        lined_up = await asyncio.to_thread(self.lanes, chosen)
        if session in self._racing:
            raise ConfigError("A race is on; press Stop first.")
        lanes: list[Lane] = [{**lane, "said": prompt, "writing": True} for lane in lined_up]
        self._racing.add(session)
        try:
            async with aclosing(as_read(self._race(lanes, prompt, params, pace), unread_events())) as news:
                async for updates in news:
                    yield updates
        finally:
            self._racing.discard(session)

    async def _race(
        self, lanes: list[Lane], prompt: str, params: SamplingParams, pace: float
    ) -> AsyncGenerator[list[Lane], None]:
        requests: dict[str, TextRequest] = {}

        async def get_ready(lane: Lane) -> None:
            requests[lane["name"]] = await self.service.request(lane["name"], prompt, params, pace)

        async def write(lane: Lane) -> None:
            asked, meter = requests[lane["name"]], Meter()
            known = await asyncio.to_thread(self.service.words_of, asked.entry)
            async with aclosing(self.service.write(asked, meter)) as texts:
                async for text in texts:
                    lane["text"], lane["speed"] = text, round(meter.speed)
                    lane["real"], lane["words"] = real_words(text, known, prompt, whole=False) if known else ([], 0)
            lane["writing"] = False
            lane["real"], lane["words"] = real_words(lane["text"], known, prompt) if known else ([], 0)

        clock = asyncio.get_running_loop().time
        shown, sent = snapshot(lanes), clock()
        yield shown
        for part in (get_ready, write):  # a fair start: no rung writes before all are ready
            going = [lane for lane in lanes if lane["writing"]]
            async with aclosing(together([guarded(lane, part(lane)) for lane in going], RACE_TICK_S)) as ticks:
                async for _ in ticks:
                    now = snapshot(lanes)
                    if now != shown or clock() - sent >= HEARTBEAT_S:
                        shown, sent = now, clock()
                        yield shown
            if part is get_ready:
                for notice in dict.fromkeys(asked.notice for asked in requests.values() if asked.notice):
                    gr.Warning(notice)
        yield snapshot(lanes)

    def ladder(self) -> list[Lane]:
        """Return an empty lane for every rung that can race."""
        return [empty_lane(self.service.catalogue.figures(name)) for name in self.names]

    def lanes(self, chosen: Sequence[str]) -> list[Lane]:
        """Return an empty lane for each of `chosen`, in the order of the ladder, and then a visitor's own."""
        own = [own_lane(self.service.trainings.job(name)) for name in chosen if name.startswith(PREFIX)]
        return [lane for lane in self.ladder() if lane["name"] in chosen] + own

    @property
    def lists(self) -> list[Any]:
        """The components that change with a visitor's own models."""
        return [self.rungs, self.own]

    def with_own(self, mine: Sequence[Job]) -> list[Any]:
        """Return the updates of `lists` for a visitor with the models `mine`."""
        able = [job for job in mine if job.continues]
        choices = [*((name, name) for name in self.names), *((job.title, job.name) for job in able)]
        return [gr.update(choices=choices), json.dumps([own_lane(job) for job in able])]

    def against_own(self, own: Job) -> list[Any]:
        """Return the updates of rungs, lanes and prompt for a race of one's own model against the bundled one."""
        rivals = [name for name in (own.order.rung, self.service.catalogue.default) if name in self.names]
        chosen = [*rivals[:1], own.name]
        prompt = next(iter(own.info.snippets), EXAMPLES[0])
        return [gr.update(value=chosen), self.lanes(chosen), prompt]

    @property
    def names(self) -> list[str]:
        """Return the rungs that can race: those that continue a prompt."""
        return [name for name in self.service.catalogue.names if RUNGS[name].model_class.continues]

    def read_names(self, names: Any) -> list[str]:
        """Return the rungs that a client chose; raises ConfigError unless they are one to four rungs that can race."""
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names[: MAX_LANES + 1]):
            raise ConfigError("The rungs of a race are a list of their names.")
        if not names:
            raise ConfigError("Choose a rung first, better two to four.")
        if len(names) > MAX_LANES:
            raise ConfigError(f"Up to {MAX_LANES} rungs race at a time, not {len(names):,}.")
        if len(set(names)) < len(names):
            raise ConfigError("Each rung has one lane; name it once.")
        for name in names:
            if name.startswith(PREFIX):
                if not (own := self.service.trainings.job(name)).continues:
                    raise ConfigError(f"{own.title} restores lines, and cannot go on with a prompt; leave it out.")
                continue
            self.service.catalogue.check(name)
            if name not in self.names:
                raise ConfigError(absent([name]) or "")
        return names


async def guarded(lane: Lane, work: Awaitable[None]) -> None:
    """Do a lane's work; if it fails, the lane says why, and the others run on."""
    try:
        await work
    except ModelCraftError as error:
        lane["note"], lane["writing"] = error.for_visitors, False
    except Exception:  # any failure affects this lane alone
        log.exception("%s", lane["title"])  # an own model's name is a secret
        lane["note"], lane["writing"] = "Something broke in this model; the others go on.", False
