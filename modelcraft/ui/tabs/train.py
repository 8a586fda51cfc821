"""Train: a visitor trains a rung on a text and watches it learn, then plays, downloads or pushes the model."""

import asyncio
import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import Dependency
from gradio.utils import get_space, get_upload_folder

from modelcraft.data import UTF_8, cleaned, corpus_title, decode_text
from modelcraft.ladder import QUICK_RUNG, RUNGS
from modelcraft.serving.service import Service
from modelcraft.serving.training_job import (
    MAX_STEPS,
    MAX_TEXT,
    SIZES,
    Order,
    Status,
    bundled,
    check_corpus,
    sizes_of,
    trainable,
)
from modelcraft.serving.training_queue import MAX_SECONDS
from modelcraft.serving.visitors import VISITOR_KEY, Texts
from modelcraft.support.checks import check_text, check_whole
from modelcraft.support.errors import ConfigError, CorpusError, HubError, ModelCraftError
from modelcraft.training.fit import FITS
from modelcraft.ui.clients import current_client
from modelcraft.ui.component import script
from modelcraft.ui.labels import choices
from modelcraft.ui.plots import plots_view
from modelcraft.ui.progress import about, may, sheet
from modelcraft.ui.tabs.chat import slider
from modelcraft.ui.widgets import QUIET, question, recall_js, told

OURS, UPLOADED, PASTED = "the text of the app", "a file of yours", "a text you paste"
NOTHING, BUNDLED = "nothing", "the bundled model"
MAX_PASTED = 200_000
DEFAULT_STEPS = 300
LOOK_S = 1.0
PARTS = 9  # of the page that change during a training: the sheet, its state, the timer, and six buttons
DIALS = {"n_embd": "Width", "n_layer": "Blocks", "block_size": "Context"}
INFOS = {
    "n_embd": "numbers a character",
    "n_layer": "one after the other",
    "block_size": "characters it looks back",
}
QUESTION = "Before you press Train: after how many steps will the first real word be there?"
IDLE = (
    "Choose a rung and a text, and press Train. It runs on this machine's own processor, beside everything else, for "
    f"{MAX_SECONDS / 60:.0f} minutes at most."
)


class TrainView:
    """The tab: what to train, the buttons that control the training, and its progress."""

    def __init__(self, service: Service, tab: gr.Tab, visitor: gr.Textbox) -> None:
        self.service, self.visitor = service, visitor
        self.title = corpus_title()
        self._texts = Texts()
        self.shown = gr.Textbox(visible=False)  # which state the page shows
        self.timer = gr.Timer(LOOK_S, active=False)
        self._build()
        self._wire(tab)

    def _build(self) -> None:
        self.view = plots_view("train", 420)
        with gr.Row(elem_classes="mc-examples", elem_id="train-lead"):
            self.go = gr.Button(  # enabled when the page knows who its visitor is: see `open`
                "Train", variant="primary", size="sm", min_width=0, interactive=False, elem_id="train-go"
            )
            names = ("Pause", "Resume", "Stop", "Play it", "Download")
            self.lead = [
                gr.Button(name, size="sm", min_width=0, interactive=False, elem_id=f"train-{name.split()[0].lower()}")
                for name in names
            ]
        self.pause, self.resume, self.stop, self.play, self.download = self.lead
        self.file = gr.File(label="Your model", visible=False, elem_id="train-file")
        question(QUESTION)
        self.rung = gr.Dropdown(
            [(f"{name}: {RUNGS[name].adds}", name) for name in trainable()],
            value=QUICK_RUNG,
            label="Rung",
            info="blend is made of models that are trained already, and gpt-video needs a GPU: they are left out here",
            filterable=False,
            elem_id="train-rung",
        )
        self.steps = slider("Steps", "batches to learn from", 1, MAX_STEPS, DEFAULT_STEPS, 1, "train-steps")
        sizes = sizes_of(RUNGS[QUICK_RUNG])
        with gr.Row():
            self.sizes = [
                gr.Slider(
                    *SIZES[name][:2],
                    value=sizes[name],
                    step=SIZES[name][2],
                    label=DIALS[name],
                    info=INFOS[name],
                    min_width=160,
                    elem_id=f"train-{name}",
                )
                for name in SIZES
            ]
        self.source = gr.Radio(
            [(self.title, OURS), UPLOADED, PASTED],
            value=OURS,
            label="Text",
            elem_classes="mc-pills",
            elem_id="train-source",
        )
        with gr.Row(visible=False) as self.upload_row:
            self.upload = gr.UploadButton("Choose a text file …", size="sm", min_width=0, elem_id="train-upload")
            self.uploaded = gr.Textbox(
                f"No file yet. Plain text (UTF-8), at most {MAX_TEXT // 1_000_000} MB.",
                label="The file",
                show_label=False,
                interactive=False,
                container=False,
                elem_id="train-uploaded",
            )
        self.pasted = gr.Textbox(
            label="Your text",
            placeholder="Paste a few pages or more …",
            lines=4,
            max_lines=8,
            max_length=MAX_PASTED,
            visible=False,
            elem_id="train-pasted",
        )
        self.beginning = gr.Radio(
            [NOTHING, BUNDLED],
            value=NOTHING,
            label="Start from",
            info="the bundled model can spell already, and learns a text of yours in fewer steps",
            interactive=bundled(QUICK_RUNG) is not None,
            elem_classes="mc-pills",
            elem_id="train-beginning",
        )
        self.push = None
        if signs_in():
            with gr.Row(elem_id="train-hub"):
                gr.LoginButton(min_width=0, size="sm")
                self.repo = gr.Textbox(
                    label="Repository", placeholder="my-shakespeare", max_lines=1, max_length=96, elem_id="train-repo"
                )
                self.private = gr.Checkbox(False, label="private", min_width=0, elem_id="train-private")
                self.replace = gr.Checkbox(
                    False, label="replace what this app put there", min_width=0, elem_id="train-replace"
                )
                self.push = gr.Button("Push to the Hub", size="sm", min_width=0, elem_id="train-push")

    def _wire(self, tab: gr.Tab) -> None:
        options: dict[str, Any] = {"preprocess": False, **QUIET}
        outputs = [self.view, self.shown, self.timer, self.go, *self.lead]
        # Ask the browser once more: the tab may open before the browser has said who the visitor is.
        recalled = f"(visitor, shown) => [visitor || ({recall_js(VISITOR_KEY)})(), shown]"
        tab.select(self.open, [self.visitor, self.shown], [self.visitor, *outputs], js=recalled, **options)
        self.timer.tick(self.look, [self.visitor, self.shown], outputs, **options)
        order = [self.rung, self.steps, *self.sizes, self.source, self.pasted, self.beginning]
        self.go.click(self.start, [self.visitor, *order], outputs, **options)
        for button in (self.pause, self.resume, self.stop):
            button.click(self.ask(button), self.visitor, outputs, **options)
        self.refitted = refitted = [self.steps, self.beginning, *self.sizes]
        self.rung.input(self.refit, [self.rung, self.source], refitted, **options)
        self.source.input(self.choose, self.source, [self.upload_row, self.pasted], **options)
        self.source.input(self.begin, [self.rung, self.source, self.beginning], refitted, **options)
        self.beginning.input(self.resize, [self.rung, self.beginning], self.sizes, **options)
        self.upload.upload(self.take, [self.visitor, self.upload], [self.visitor, self.uploaded], **options)
        packed = self.download.click(self.pack, self.visitor, self.file, **options)
        packed.success(None, None, None, js=script("download"))
        if self.push is not None:
            asked = [self.visitor, self.repo, self.private, self.replace]
            self.push.click(self.push_to_hub, asked, self.replace, **options)

    def offer(
        self, recalled: Dependency, tabs: gr.Tabs, chat_model: gr.Dropdown, others: Sequence[gr.Dropdown]
    ) -> None:
        """Let `Play it` open the chat, one of `tabs`, with the model, and list the model in all choosers of the page.

        `recalled` is the event in which the browser says who the visitor is.
        """
        choosers = [chat_model, *others]

        @told
        async def listed(visitor: Any) -> list[Any]:
            return [_update(update) for update in await asyncio.to_thread(self.choices, visitor, choosers)]

        @told
        def played(visitor: Any) -> list[Any]:
            job = self.service.trainings.finished(self.owner(visitor))
            updates = self.choices(visitor, choosers)
            return [gr.update(selected="chat"), gr.update(value=job.name, **updates[0]), *map(_update, updates[1:])]

        self.play.click(played, self.visitor, [tabs, *choosers], preprocess=False, **QUIET)
        # At the end of a training, too: its model is then in all lists.
        for event in (recalled.then, self.shown.change):
            event(listed, self.visitor, choosers, preprocess=False, **QUIET)

    def owner(self, visitor: Any) -> str:
        """Return the visitor's secret if this app issued it, else an empty one."""
        return visitor if self.service.visitors.knows(visitor) else ""

    def choices(self, visitor: Any, choosers: Sequence[gr.Dropdown]) -> list[dict[str, Any]]:
        """Return the choices of each chooser, ending with the visitor's own model if there is one."""
        job = self.service.trainings.look(self.owner(visitor))
        there_are = choices(self.service.catalogue)
        entry = None
        with contextlib.suppress(ModelCraftError):  # the job was dropped at this very moment
            entry = job.entry if job is not None and job.status == Status.DONE else None
        if job is not None and entry is not None:
            loss = entry.info.validation_loss
            named = entry.title + (f" · loss {loss:.3f}" if loss is not None else "")
            there_are.append((named, job.name))
        nobody = [[choice for choice in chooser.choices if not choice[1]] for chooser in choosers]
        return [{"choices": [*first, *there_are]} for first in nobody]

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
        state = f"{job.name}{job.status}{job.wanted}{place}/{len(records)}/{about(wait)}" if job else "none"
        if state == shown:
            return gr.skip()
        page = sheet(job, records, place, wait) if job else {"said": IDLE}
        return (
            page,
            state,
            gr.Timer(active=job is not None and job.status in (Status.WAITING, Status.TRAINING, Status.FINISHING)),
            *may(job),
        )

    @told
    async def start(
        self,
        visitor: Any,
        rung: Any,
        steps: Any,
        width: Any,
        layers: Any,
        context: Any,
        source: Any,
        pasted: Any,
        beginning: Any,
    ) -> Any:
        """Start a training; raises gr.Error with one sentence if a value is out of bounds or there is no room."""
        if not self.owner(visitor):
            raise ConfigError("This page has lost who you are; load it again.")
        _check_rung(rung)
        dials = dict(zip(SIZES, (width, layers, context), strict=True))
        known = sizes_of(RUNGS[rung]) if beginning != BUNDLED else {}  # the bundled model has its own
        sizes = {name: check_whole(DIALS[name], dials[name], *SIZES[name][:2]) for name in known}
        title, text = self._text(visitor, source, pasted)
        order = Order(rung, check_whole("Steps", steps, 1, MAX_STEPS), sizes, text, title, beginning == BUNDLED)
        await asyncio.to_thread(self.service.trainings.start, visitor, order, current_client().address)
        return await self.look(visitor)

    def _text(self, visitor: str, source: Any, pasted: Any) -> tuple[str, str | None]:
        if source == OURS:
            return self.title, None
        if source == PASTED:
            if not check_text("Your text", pasted, MAX_PASTED):
                raise CorpusError("There is no text yet; paste one.")
            return "pasted text", cleaned(pasted, "Your text")
        if (uploaded := self._texts.get(visitor)) is None:
            raise CorpusError("There is no file yet; choose one.")
        return uploaded

    def ask(self, button: gr.Button) -> Any:
        """Return the handler of a button that controls a training."""
        act = {self.pause: "pause", self.resume: "resume", self.stop: "stop"}[button]

        @told
        async def do(visitor: Any) -> Any:
            await asyncio.to_thread(getattr(self.service.trainings, act), self.owner(visitor))
            return await self.look(visitor)

        return do

    @told
    async def refit(self, rung: Any, source: Any) -> list[Any]:
        """Fit the form to a rung and a text: a text of the visitor's starts from the bundled model, if there is one.

        The app's text starts from nothing: the bundled model knows it already.
        """
        _check_rung(rung)
        there = bundled(rung) is not None
        chosen = BUNDLED if there and source != OURS else NOTHING
        steps = gr.update(interactive=rung not in FITS)
        return [steps, gr.update(value=chosen, interactive=there), *_dials(rung, chosen)]

    @told
    async def begin(self, rung: Any, source: Any, beginning: Any) -> Any:
        """Refit the form if another text asks for another beginning; else leave the sizes that were set."""
        fitting = NOTHING if source == OURS else BUNDLED
        return gr.skip() if beginning == fitting else await self.refit(rung, source)

    @told
    async def resize(self, rung: Any, beginning: Any) -> list[Any]:
        """Set the dials to the sizes of a rung, or of its bundled model."""
        _check_rung(rung)
        return _dials(rung, beginning)

    @told
    async def choose(self, source: Any) -> list[Any]:
        """Show the fields that the chosen source of the text needs."""
        return [gr.update(visible=source == UPLOADED), gr.update(visible=source == PASTED)]

    @told
    async def take(self, visitor: Any, upload: Any) -> Any:
        """Read an uploaded file at once and delete it; raises gr.Error with one sentence."""
        title, raw = await asyncio.to_thread(read_upload, upload)
        text, encoding = decode_text(raw, title)
        check_corpus(text)
        address = current_client().address
        fresh = self.owner(visitor) or self.service.visitors.welcome(address)
        self._texts.put(fresh, address, title, text)
        read = "" if encoding == UTF_8 else f" It was read as {encoding}."
        return fresh, f"{title}: {len(text):,} characters, {len(set(text)):,} different ones.{read}"

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
            hub_client.push, job.run, repo_id, private is True, None, token.token, later, over
        )
        gr.Info(f"On the Hub: {address}", duration=20)
        return False


def _check_rung(rung: Any) -> None:
    if not isinstance(rung, str) or rung not in trainable():
        raise ConfigError(f"The rungs that can be trained here are {', '.join(trainable())}.")


def _dials(rung: str, beginning: Any) -> list[Any]:
    """Set the dials to the sizes that a training begins with; those that cannot be set are disabled."""
    trained = bundled(rung) if beginning == BUNDLED else None
    sizes = sizes_of(RUNGS[rung])
    own = vars(trained.config) if trained else sizes
    return [
        gr.update(value=own[name], interactive=trained is None) if name in sizes else gr.update(interactive=False)
        for name in SIZES
    ]


def signs_in() -> bool:
    """Say whether visitors can sign in: only on a Space with `hf_oauth`; elsewhere Gradio uses the machine's login."""
    return bool(get_space() and os.environ.get("OAUTH_CLIENT_ID"))


def read_upload(upload: Any) -> tuple[str, bytes]:
    """Return the title and the bytes of an uploaded file, and delete the file.

    Raises CorpusError for anything but a file in the folder where Gradio puts uploads.
    """
    path, name = (upload.get("path"), upload.get("orig_name")) if isinstance(upload, dict) else (None, None)
    again = CorpusError("The file did not arrive; choose it again.")
    if not isinstance(path, str) or "\0" in path:
        raise again
    try:
        real = Path(path).resolve(strict=True)
        if not real.is_relative_to(Path(get_upload_folder()).resolve()) or not real.is_file():
            raise again
        with real.open("rb") as file:
            raw = file.read(4 * MAX_TEXT + 1)
        real.unlink(missing_ok=True)
    except (OSError, ValueError, RuntimeError):
        raise again from None
    title = re.sub(r"[^\w .,()-]+", "", Path(name).name if isinstance(name, str) else "")[:60].strip()
    return title or "your file", raw


def _update(update: dict[str, Any]) -> Any:
    return gr.update(**update)
