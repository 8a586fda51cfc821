"""Train: a visitor trains a rung on a text and watches it learn, then plays, downloads or pushes the model."""

import asyncio
import os
from collections.abc import Sequence
from typing import Any, Protocol

import gradio as gr
from gradio.events import Dependency
from gradio.utils import get_space

from modelcraft.serving.service import Service
from modelcraft.serving.training_job import MAX_STEPS, Job, Status
from modelcraft.serving.training_queue import MAX_SECONDS
from modelcraft.serving.visitors import VISITOR_KEY
from modelcraft.support.checks import check_text, check_whole
from modelcraft.support.errors import ConfigError, HubError
from modelcraft.ui.clients import current_client
from modelcraft.ui.component import component, script
from modelcraft.ui.labels import choices, label_of
from modelcraft.ui.progress import about, may, sheet
from modelcraft.ui.tabs.race import Race
from modelcraft.ui.training_form import TrainingForm
from modelcraft.ui.widgets import QUIET, guess, recall_js, told

LOOK_S = 1.0
PARTS = 14  # of the page that change during a training: the sheet, its state, the timer, buttons, and the models
QUESTION = "Before you press Train: what will the model have learned first?"
GUESSES = ("To spell words", "Which characters are frequent", "Who speaks")
ANSWER = (
    "Which characters are frequent: that alone takes the loss from 4.17 to 3.35, in a handful of steps. Then come "
    "pairs, the shape of a line and of a speech, and short words; whole sentences that mean something never come."
)
IDLE = (
    "Choose a rung and a text, and press Train. It runs on this machine's own processor, beside everything else, for "
    f"{MAX_SECONDS / 60:.0f} minutes at most."
)


class OwnModels(Protocol):
    """A view that lists models in its own way."""

    @property
    def lists(self) -> list[Any]:
        """The components that change with a visitor's own models."""

    def with_own(self, mine: Sequence[Job]) -> list[Any]:
        """Return the updates of `lists` for a visitor with the models `mine`."""


class TrainView:
    """The tab: what to train, the buttons that control the training, and its progress."""

    def __init__(self, service: Service, tab: gr.Tab, visitor: gr.Textbox) -> None:
        self.service, self.visitor = service, visitor
        self.shown = gr.Textbox(visible=False)  # which state the page shows
        self.had = gr.Textbox(visible=False)  # which models the lists of the page have
        self.timer = gr.Timer(LOOK_S, active=False)
        self._build()
        self._wire(tab)

    def _build(self) -> None:
        guess("train-guess", QUESTION, GUESSES, 1, ANSWER)
        with gr.Row(elem_classes="mc-beside mc-form"):
            with gr.Column():
                self.form = TrainingForm(self.service, self.visitor)
                self._build_buttons()
            with gr.Column():
                self.view = component("training", {}, "train")
                self._build_models()
        self.push: gr.Button | None = None
        if signs_in():
            self._build_hub()

    def _build_buttons(self) -> None:
        with gr.Row(elem_id="train-lead"):
            self.go = gr.Button(  # enabled when the page knows who its visitor is: see `open`
                "Train", variant="primary", size="sm", min_width=0, interactive=False, elem_id="train-go"
            )
            self.pause, self.resume, self.stop = map(_button, ("pause", "resume", "stop"), ("Pause", "Resume", "Stop"))

    def _build_models(self) -> None:
        """Build what can be done with the models that are kept: to choose one, play it, train it on, take it home."""
        with gr.Column(visible=False, elem_id="train-kept") as self.kept:
            self.mine = gr.Radio([], label="Your models", elem_classes="mc-pills", elem_id="train-mine")
            with gr.Row(elem_id="train-outcome"):
                names, labels = ("play", "race", "on", "download"), ("Play it", "Race it", "Train on", "Download")
                self.play, self.race, self.on, self.download = map(_button, names, labels)
        self.file = gr.File(label="Your model", visible=False, elem_id="train-file")

    def _build_hub(self) -> None:
        with gr.Row(elem_id="train-hub"):
            gr.LoginButton(min_width=0, size="sm")
            self.repo = gr.Textbox(
                label="Repository", placeholder="my-shakespeare", max_lines=1, max_length=96, elem_id="train-repo"
            )
            self.private = gr.Checkbox(False, label="private", min_width=0, elem_id="train-private")
            self.replace = gr.Checkbox(
                False, label="replace what this app put there", min_width=0, elem_id="train-replace"
            )
            self.snippets = gr.Checkbox(
                True, label="with four lines of its text, to begin with", min_width=0, elem_id="train-snippets"
            )
            self.push = gr.Button("Push to the Hub", size="sm", min_width=0, elem_id="train-push")

    def _wire(self, tab: gr.Tab) -> None:
        options: dict[str, Any] = {"preprocess": False, **QUIET}
        buttons = [self.go, self.pause, self.resume, self.stop, self.play, self.race, self.on, self.download]
        outputs = [self.view, self.shown, self.timer, *buttons, self.kept, self.mine, self.had]
        # Ask the browser once more: the tab may open before the browser has said who the visitor is.
        recalled = f"(visitor, shown) => [visitor || ({recall_js(VISITOR_KEY)})(), shown]"
        tab.select(self.open, [self.visitor, self.shown], [self.visitor, *outputs], js=recalled, **options)
        tab.select(self.form.expect, self.form.asked, self.form.estimate, **options)
        self.timer.tick(self.look, [self.visitor, self.shown], outputs, **options)
        self.go.click(self.start, [self.visitor, *self.form.fields], outputs, **options)
        for button in (self.pause, self.resume, self.stop):
            button.click(self.ask(button), self.visitor, outputs, **options)
        self.on.click(self.train_on, [self.visitor, self.form.steps], outputs, **options)
        self.mine.input(self.choose, [self.visitor, self.mine], outputs, **options)
        packed = self.download.click(self.pack, self.visitor, self.file, **options)
        packed.success(None, None, None, js=script("download"))
        if self.push is not None:
            asked = [self.visitor, self.repo, self.private, self.replace, self.snippets]
            self.push.click(self.push_to_hub, asked, self.replace, **options)

    def offer(
        self,
        recalled: Dependency,
        tabs: gr.Tabs,
        chat_model: gr.Dropdown,
        race: Race,
        choosers: Sequence[gr.Dropdown],
        lists: Sequence[OwnModels],
    ) -> None:
        """Let the model be played and raced in other ones of `tabs`, and list a visitor's models all over the page.

        They are appended to the choices of `choosers`; `lists` say themselves how theirs change. `recalled` is the
        event in which the browser says who the visitor is.
        """
        outputs = [chat_model, *choosers, *(part for one in lists for part in one.lists)]

        @told
        async def listed(visitor: Any) -> list[Any]:
            mine = await asyncio.to_thread(self.models, visitor)
            there_are = choices(self.service.catalogue, mine)
            firsts = [[choice for choice in one.choices if not choice[1]] for one in (chat_model, *choosers)]
            updates = [gr.update(choices=[*first, *there_are]) for first in firsts]
            return [*updates, *(update for one in lists for update in one.with_own(mine))]

        @told
        def played(visitor: Any) -> list[Any]:
            job = self.service.trainings.finished(self.owner(visitor))
            return [gr.update(selected="chat"), job.name]

        @told
        def raced(visitor: Any) -> list[Any]:
            own = self.service.trainings.finished(self.owner(visitor))
            if not own.continues:
                raise ConfigError(f"{own.title} restores lines; it does not race.")
            return [gr.update(selected="race"), *race.against_own(own)]

        # At the end of a training, too: its model is then in all lists.
        for event in (recalled.then, self.had.change):
            event(listed, self.visitor, outputs, preprocess=False, **QUIET)
        options: dict[str, Any] = {"preprocess": False, **QUIET}
        self.play.click(played, self.visitor, [tabs, chat_model], **options)
        ended = self.race.click(None, None, None, cancels=race.runs, **options)
        ended.then(raced, self.visitor, [tabs, race.rungs, race.view, race.prompt], **options).then(
            None, None, None, js=script("arrive", place="#tabs [role=tab][aria-selected=true]"), **options
        )

    def owner(self, visitor: Any) -> str:
        """Return the visitor's secret if this app issued it, else an empty one."""
        return visitor if self.service.visitors.knows(visitor) else ""

    def models(self, visitor: Any) -> list[Job]:
        """Return the trainings that have left the visitor's own models, the oldest first."""
        return self.service.trainings.models(self.owner(visitor))

    @told
    async def open(self, visitor: Any, shown: Any) -> Any:
        """Show the training's progress when the tab opens; a new visitor gets a secret."""
        fresh = gr.skip() if self.owner(visitor) else self.service.visitors.welcome(current_client().address)
        page = await self.look(visitor, shown)
        return fresh, *(page if isinstance(page, tuple) else [page] * PARTS)  # if nothing is new, all parts stay

    @told
    async def look(self, visitor: Any, shown: Any = None) -> Any:
        """Return the page of the visitor's training, or nothing if the page already shows it."""
        return await asyncio.to_thread(self._look, visitor, shown)

    @told
    def _look(self, visitor: Any, shown: Any) -> Any:
        job = self.service.trainings.look(self.owner(visitor))
        place = self.service.trainings.position(job) if job else 0
        records = job.records if job else []
        wait = self.service.trainings.wait(job) if job and place else 0.0
        left = self.service.trainings.left(job) if job and job.status == Status.TRAINING else 0.0
        mine = self.models(visitor)
        state = f"{job.name}{job.status}{job.wanted}{place}/{len(records)}/{about(wait)}" if job else "none"
        state += f"/{len(mine)}"
        if state == shown:
            return gr.skip()
        page = sheet(job, records, place, wait, left) if job else {"heading": "A model of your own", "now": IDLE}
        chosen = job.name if job is not None and job.status == Status.DONE else None
        return (
            page,
            state,
            gr.Timer(active=job is not None and job.status in (Status.WAITING, Status.TRAINING, Status.FINISHING)),
            *may(job),
            gr.update(visible=bool(mine)),
            gr.update(choices=[*map(label_of, mine)], value=chosen, interactive=chosen is not None),
            " ".join(f"{one.name}/{one.info.training.get('steps_done')}" for one in mine),
        )

    @told
    async def start(self, visitor: Any, *order: Any) -> Any:
        """Start a training; raises gr.Error with one sentence if a value is out of bounds or there is no room."""
        if not self.owner(visitor):
            raise ConfigError("This page has lost who you are; load it again.")
        wanted = self.form.order(visitor, *order)
        await asyncio.to_thread(self.service.trainings.start, visitor, wanted, current_client().address)
        return await self.look(visitor)

    def ask(self, button: gr.Button) -> Any:
        """Return the handler of a button that controls a training."""
        act = {self.pause: "pause", self.resume: "resume", self.stop: "stop"}[button]

        @told
        async def do(visitor: Any) -> Any:
            await asyncio.to_thread(getattr(self.service.trainings, act), self.owner(visitor))
            return await self.look(visitor)

        return do

    @told
    async def train_on(self, visitor: Any, steps: Any) -> Any:
        """Train the model that is shown for more steps; raises gr.Error with one sentence."""
        more = check_whole("Steps", steps, 1, MAX_STEPS)
        await asyncio.to_thread(self.service.trainings.train_on, self.owner(visitor), more)
        return await self.look(visitor)

    @told
    async def choose(self, visitor: Any, name: Any) -> Any:
        """Show another model of the visitor's."""
        await asyncio.to_thread(self.service.trainings.show, self.owner(visitor), check_text("The model", name, 100))
        return await self.look(visitor)

    @told
    async def pack(self, visitor: Any) -> Any:
        """Offer the model folder as a zip."""
        path = await asyncio.to_thread(self.service.trainings.archive, self.owner(visitor))
        return gr.update(value=str(path), visible=True)

    @told
    async def push_to_hub(
        self,
        visitor: Any,
        repo: Any,
        private: Any,
        replace: Any,
        snippets: Any,
        profile: gr.OAuthProfile | None,
        token: gr.OAuthToken | None,
    ) -> bool:
        """Push the finished model to the signed-in visitor's account; the token is used once and not kept.

        An existing repository is replaced only if the visitor says so, for this one time.
        """
        if profile is None or token is None:  # never with the login of the machine itself
            raise HubError("Sign in with Hugging Face first.")
        job = self.service.trainings.finished(self.owner(visitor))
        name = check_text("Repository", repo, 200).strip()
        if not name:
            raise HubError("Name the repository first, such as my-shakespeare.")
        repo_id = name if "/" in name else f"{profile.username}/{name}"
        from modelcraft.store import hub_client

        later = " Your model is still here: try again, or download it."
        over: hub_client.Over = "anything" if replace is True else "nothing"
        address = await asyncio.to_thread(
            hub_client.push, job.run, repo_id, private is True, None, token.token, later, over, snippets is not False
        )
        gr.Info(f"On the Hub: {address}", duration=20)
        return False


def signs_in() -> bool:
    """Say whether visitors can sign in: only on a Space with `hf_oauth`; elsewhere Gradio uses the machine's login."""
    return bool(get_space() and os.environ.get("OAUTH_CLIENT_ID"))


def _button(name: str, label: str) -> gr.Button:
    return gr.Button(label, size="sm", min_width=0, interactive=False, elem_id=f"train-{name}")
