"""The ladder, the way in: rung by rung a lesson, what it costs, a question, a fresh sample, the code, and what next."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import gradio as gr

from modelcraft.insight import lessons
from modelcraft.ladder import RUNGS
from modelcraft.serving.service import DEFAULT_TEMPERATURE, MAX_PROMPT, Service
from modelcraft.serving.streaming import as_read
from modelcraft.serving.training_job import Job, trainable
from modelcraft.store.folder import WEIGHTS_DIR
from modelcraft.support.checks import check_text
from modelcraft.support.errors import ConfigError, ModelCraftError
from modelcraft.ui import rung_page
from modelcraft.ui.clients import current_client, unread_events
from modelcraft.ui.component import component, script
from modelcraft.ui.openings import TO_GO_ON, TO_RESTORE
from modelcraft.ui.tabs.attention import AttentionView
from modelcraft.ui.tabs.next_character import NextCharacter
from modelcraft.ui.tabs.race import Race
from modelcraft.ui.tabs.train import TrainView
from modelcraft.ui.widgets import QUIET, told
from modelcraft.ui.words import WORDS

LENGTH, PACE = 300, 60  # characters of a sample, and characters a second: five seconds
PROMPT, TO_RESTORE_FIRST = TO_GO_ON.openings[0][0], TO_RESTORE.openings[0][0]
BUNDLED = ("the bundled one", "")
COUNTED = ("counting", "bigram")  # the tab Counting shows what is in these
ATTENTION, NEXT, COUNTING, RACE, TRAIN = "attention", "next-character", "counting", "race", "train"  # ids of tabs
INSIDE = {ATTENTION: "what it looks at", NEXT: "its odds", COUNTING: "its table"}


class Ladder:
    """The tab: previous, next and a pill for every rung; its page, a sample, its code, and buttons that carry on."""

    def __init__(self, service: Service, tab: gr.Tab) -> None:
        self.service = service
        self._writing: set[str] = set()  # the sessions in which a sample is being written
        names = service.catalogue.names
        with gr.Row(elem_id="ladder-steps"):
            self.previous = gr.Button("← Previous", min_width=0, elem_id="ladder-previous", interactive=False)
            self.rung = gr.Radio(
                names,
                value=names[0] if names else None,
                label="Rung",
                show_label=False,
                elem_id="ladder-rung",
                elem_classes="mc-pills",
            )
            self.next = gr.Button("Next →", min_width=0, elem_id="ladder-next", variant="primary")
        self.view = component("ladder", {}, "ladder", WORDS, min_height=600)
        with gr.Row(elem_id="ladder-on"):
            self.race = gr.Button("Race it", min_width=0, elem_id="ladder-race")
            self.look = gr.Button("Look inside", min_width=0, elem_id="ladder-look")
            self.train = gr.Button("Train it yourself", min_width=0, elem_id="ladder-train")
        self.sample = component("ladder_sample", {}, "ladder-sample", WORDS, min_height=260)
        self.who = gr.Radio(
            [BUNDLED], value="", label="Who writes", visible=False, elem_id="ladder-who", elem_classes="mc-pills"
        )
        self.own = gr.Textbox(visible=False)  # the names of the visitor's own models
        with gr.Row(elem_id="ladder-desk", elem_classes="mc-desk", equal_height=True):
            self.prompt = gr.Textbox(
                PROMPT,
                label="How it begins",
                show_label=False,
                placeholder="How it begins …",
                lines=1,
                max_lines=3,
                max_length=MAX_PROMPT,
                container=False,
                elem_id="ladder-prompt",
            )
            self.write = gr.Button("Write", variant="primary", min_width=0, elem_id="ladder-write")
            self.stop = gr.Button("Stop", variant="stop", min_width=0, elem_id="ladder-stop")
        self.code = component("ladder_code", {}, "ladder-code", min_height=600)
        self.onward = gr.Button("Next →", variant="primary", min_width=0, elem_id="ladder-onward")
        self._wire(tab)

    def _wire(self, tab: gr.Tab) -> None:
        options: dict[str, Any] = {"preprocess": False, **QUIET}
        asked = [self.rung, self.prompt, self.own]
        starts = (self.write.click, self.prompt.submit)
        writing = [self.rung, self.prompt, self.who]
        runs: list[Any] = [start(self.written, writing, self.sample, **options) for start in starts]
        outputs = [self.view, self.code, self.sample, self.prompt, self.previous, self.next]
        outputs += [self.onward, self.race, self.look, self.train, self.who]
        tab.select(self.open, [self.view, *asked], outputs, **options)
        self.rung.change(self.read, asked, outputs, cancels=runs, **options)
        self.own.change(self.read_again, [self.view, *asked], [self.view, self.who], **options)
        for button, places in ((self.previous, -1), (self.next, 1), (self.onward, 1)):
            step = script("next_in", names=self.service.catalogue.names, places=places)
            stepped = button.click(None, self.rung, self.rung, js=step, **QUIET)
        stepped.then(None, None, None, js=script("arrive", place="#ladder-next"), **QUIET)
        # Ask the server once before the sample is marked as stopped: after its answer, no text of the run can follow.
        ended = self.stop.click(None, None, None, cancels=runs, **options).then(lambda: None, None, None, **options)
        stopped = "sample => [{...sample, writing: false}]"
        ended.then(None, self.sample, self.sample, js=stopped, **options)

    @told
    async def open(self, shown: Any, name: Any, prompt: Any, own: Any) -> Any:
        """Show the first rung when the tab first opens."""
        return (gr.skip(),) * 11 if shown else await self.read(name, prompt, own)

    @told
    async def read_again(self, shown: Any, name: Any, prompt: Any, own: Any) -> Any:
        """Show a visitor's new model on the page of its rung, if that is open."""
        if not shown:
            return (gr.skip(),) * 2
        page, *_, who = await self.read(name, prompt, own)
        return page, who

    @told
    async def read(self, name: Any, prompt: Any, own: Any) -> tuple[Any, ...]:
        """Return everything that the tab shows of a rung; `own` names the visitor's own models."""
        self.service.catalogue.check(name)
        names = self.service.catalogue.names
        after = next(iter(names[names.index(name) + 1 :]), None)
        mine = self.mine(name, own)
        lead = await self.service.look(rung_page.lead, self.service.catalogue, name, mine)
        code = await self.service.look(rung_page.source, name)
        fitting = PROMPT if rung_page.comparable(name) else TO_RESTORE_FIRST
        stored = lessons.sample(WEIGHTS_DIR / name)
        note = "This one stands on its model card. Press Write for a fresh one."
        rival = self.rival(name)
        return (
            lead,
            code,
            _sample(name, "", stored, note if stored else "Press Write, and it goes on from the text below."),
            gr.update(value=fitting) if prompt in (PROMPT, TO_RESTORE_FIRST) else gr.skip(),
            gr.update(interactive=name != names[0]),
            gr.update(interactive=after is not None),
            gr.update(value=f"Next: {after} →" if after else "That was the last rung", interactive=after is not None),
            gr.update(value=f"Race it against {rival}", interactive=True)
            if rival
            else gr.update(value="No race: it restores lines", interactive=False),
            gr.update(value=f"Look inside: {INSIDE[self.inside(name)]}"),
            gr.update(value="Train it yourself", interactive=True)
            if name in trainable()
            else gr.update(value="No training here", interactive=False),
            gr.update(choices=[BUNDLED, *((one.title, one.name) for one in mine)], value="", visible=bool(mine)),
        )

    def mine(self, name: str, own: Any) -> list[Job]:
        """Return a visitor's own models of the rung `name`; `own` are their names, as the page has them."""
        found = []
        for one in check_text("own", own or "", 200).split():
            with contextlib.suppress(ModelCraftError):  # it is not there any more
                job = self.service.trainings.job(one)
                found += [job] if job.order.rung == name else []
        return found

    @property
    def lists(self) -> list[Any]:
        """The components that change with a visitor's own models."""
        return [self.own]

    def with_own(self, mine: Sequence[Job]) -> list[Any]:
        """Return the updates of `lists` for a visitor with the models `mine`."""
        return [" ".join(job.name for job in mine)]

    @told
    async def written(self, request: gr.Request, name: Any, prompt: Any, who: Any) -> AsyncIterator[dict[str, Any]]:
        """Let a rung, or the visitor's own model `who` of it, write a fresh sample, another one each time."""
        session = request.session_hash or ""
        self.service.catalogue.check(name)
        if session in self._writing:
            raise ConfigError("A sample is being written; press Stop first.")
        self.service.streams.check(current_client())
        self._writing.add(session)
        try:
            drawn = (LENGTH, DEFAULT_TEMPERATURE if rung_page.comparable(name) else 0, who or name, 0, 1.0, None, PACE)
            asked = await self.service.check(prompt, *drawn, line=prompt)
            said = prompt if asked.entry.model.continues else f"{prompt}\n"
            writer = f"Written by {asked.entry.title}, at" if asked.entry.own else "At"
            note = f"{writer} temperature {drawn[1]}, top-p 1. {asked.notice}".strip()
            text = ""
            yield _sample(name, said, text, note, writing=True)
            async with aclosing(as_read(self.service.write(asked), unread_events())) as texts:
                async for text in texts:
                    yield _sample(name, said, text, note, writing=True)
            yield _sample(name, said, text, note)
        finally:
            self._writing.discard(session)

    def offer(self, tabs: gr.Tabs, race: Race, attention: AttentionView, odds: NextCharacter, train: TrainView) -> None:
        """Let the buttons open other tabs, which are in `tabs`, with the rung chosen there."""
        options: dict[str, Any] = {"preprocess": False, **QUIET}

        @told
        def raced(name: Any) -> list[Any]:
            self.service.catalogue.check(name)
            rival = self.rival(name)
            if rival is None:
                raise ConfigError(f"{name} restores lines; it does not race.")
            chosen = [one for one in race.names if one in (name, rival)]
            return [gr.update(selected=RACE), chosen, [lane for lane in race.ladder() if lane["name"] in chosen]]

        @told
        def looked(name: Any) -> list[Any]:
            self.service.catalogue.check(name)
            inside = self.inside(name)
            return [gr.update(selected=inside), *(name if inside == tab else gr.skip() for tab in (ATTENTION, NEXT))]

        @told
        async def attended(name: Any, *inputs: Any) -> Any:
            inside = isinstance(name, str) and self.inside(name) == ATTENTION
            return await attention.show(*inputs) if inside else (gr.skip(),) * len(attention.outputs)

        @told
        async def weighed(name: Any, *inputs: Any) -> Any:
            return await odds.look(*inputs) if isinstance(name, str) and self.inside(name) == NEXT else gr.skip()

        @told
        async def trained(name: Any, source: Any) -> list[Any]:
            return [gr.update(selected=TRAIN), name, *await train.form.refit(name, source)]

        arrive = script("arrive", place="#tabs [role=tab][aria-selected=true]")
        ended = self.race.click(None, None, None, cancels=race.runs, **options)
        ended.then(raced, self.rung, [tabs, race.rungs, race.view], **options).then(
            None, None, None, js=arrive, **options
        )
        looking = self.look.click(looked, self.rung, [tabs, attention.rung, odds.rung], **options)
        looking.then(None, None, None, js=arrive, **options)
        looking.then(attended, [self.rung, *attention.inputs], attention.outputs, **options)
        looking.then(weighed, [self.rung, *odds.inputs], odds.view, **options)
        chosen = self.train.click(
            trained, [self.rung, train.form.source], [tabs, train.form.rung, *train.form.refitted], **options
        )
        chosen.then(None, None, None, js=arrive, **options)

    def rival(self, name: str) -> str | None:
        """Return the rung to race against: the one before, for the first the one after; None where there is no race."""
        racing = [one for one in self.service.catalogue.names if rung_page.comparable(one)]
        if name not in racing or len(racing) < 2:
            return None
        below, place = RUNGS[name].below, racing.index(name)
        return below if below in racing else racing[place - 1 if place else 1]

    def inside(self, name: str) -> str:
        """Return the id of the tab that shows most of what is in a rung."""
        if name in COUNTED:
            return COUNTING
        return NEXT if RUNGS[name].parts else ATTENTION


def _sample(name: str, said: str, text: str, note: str, writing: bool = False) -> dict[str, Any]:
    return {"name": name, "said": said, "text": text, "note": note, "writing": writing}
