"""The form of the tab Train: a rung and its sizes, a text, where to start from, and how long that will take."""

import asyncio
from collections.abc import Sequence
from typing import Any

import gradio as gr

from modelcraft.data import UTF_8, cleaned, corpus_title, decode_text
from modelcraft.ladder import QUICK_RUNG, RUNGS
from modelcraft.serving.service import Service
from modelcraft.serving.training_job import (
    MAX_STEPS,
    MAX_TEXT,
    SIZES,
    Order,
    bundled,
    check_corpus,
    recipe_of,
    sizes_of,
    trainable,
)
from modelcraft.serving.visitors import Texts
from modelcraft.support.checks import check_text, check_whole
from modelcraft.support.errors import CorpusError, ModelCraftError
from modelcraft.training.fit import FITS
from modelcraft.ui.clients import current_client
from modelcraft.ui.component import component
from modelcraft.ui.labels import counted
from modelcraft.ui.progress import about
from modelcraft.ui.training_settings import (
    BUNDLED,
    NOTHING,
    changed_settings,
    check_rung,
    dropout_of,
    recipe_shown,
    sizes_shown,
)
from modelcraft.ui.uploads import read_upload
from modelcraft.ui.widgets import QUIET, told

OURS, UPLOADED, PASTED = "the text of the app", "a file of yours", "a text you paste"
MAX_PASTED = 200_000
DEFAULT_STEPS = 300
MANY = 1_000  # different characters: more than an alphabet has
COSTLY = " So many cost: the model has a row in its tables for each, and every step takes longer."
DIALS = {"n_embd": "Width", "n_layer": "Blocks", "block_size": "Context"}
INFOS = {
    "n_embd": "numbers for each character",
    "n_layer": "one after the other",
    "block_size": "characters that it looks back",
}


class TrainingForm:
    """The fields of an order, and what they say of each other."""

    def __init__(self, service: Service, visitor: gr.Textbox) -> None:
        self.service = service
        self.title = corpus_title()
        self._texts = Texts()
        self.rung = gr.Dropdown(
            [(f"{name}: {RUNGS[name].adds}", name) for name in trainable()],
            value=QUICK_RUNG,
            label="Rung: all but the blend, made of others, and gpt-video, for GPUs",
            filterable=False,
            elem_id="train-rung",
        )
        self.steps = gr.Slider(
            1, MAX_STEPS, DEFAULT_STEPS, step=1, label="Steps: batches to learn from", elem_id="train-steps"
        )
        sizes = sizes_of(RUNGS[QUICK_RUNG])
        self.sizes = [
            gr.Slider(
                *SIZES[name][:2],
                value=sizes[name],
                step=SIZES[name][2],
                label=f"{DIALS[name]}: {INFOS[name]}",
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
            self.upload = gr.File(
                label="Drop a text file here, or choose one", height=96, file_count="single", elem_id="train-upload"
            )
            self.uploaded = gr.Textbox(
                f"No file yet. Plain text of at most {MAX_TEXT // 1_000_000} million characters.",
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
            label="Start from: the bundled model can spell already",
            interactive=bundled(QUICK_RUNG) is not None,
            elem_classes="mc-pills",
            elem_id="train-beginning",
        )
        with gr.Accordion("More: learning rate, batch, dropout", open=False, elem_id="train-more"), gr.Row():
            recipe = recipe_of(QUICK_RUNG)
            self.rate = gr.Number(
                recipe.learning_rate, label="Learning rate", info="the highest", min_width=0, elem_id="train-rate"
            )
            self.batch = gr.Number(
                recipe.batch_size, label="Batch", info="windows", precision=0, min_width=0, elem_id="train-batch"
            )
            self.dropout = gr.Number(
                dropout_of(QUICK_RUNG), label="Dropout", info="share left out", min_width=0, elem_id="train-dropout"
            )
        self.more = [self.rate, self.batch, self.dropout]
        self.estimate = component("line", "", "train-estimate")
        self.visitor = visitor
        self._wire(visitor)

    def _wire(self, visitor: gr.Textbox) -> None:
        options: dict[str, Any] = {"preprocess": False, **QUIET}
        self.refitted = refitted = [self.steps, self.beginning, *self.sizes, *self.more]
        self.rung.input(self.refit, [self.rung, self.source], refitted, **options)
        self.source.input(self.choose, self.source, [self.upload_row, self.pasted], **options)
        self.source.input(self.begin, [self.rung, self.source, self.beginning], refitted, **options)
        self.beginning.input(self.resize, [self.rung, self.beginning], [*self.sizes, *self.more], **options)
        # The file goes at once, so that another one can be dropped.
        self.upload.upload(self.take, [visitor, self.upload], [visitor, self.uploaded, self.upload], **options)
        fields: list[Any] = [self.rung, self.steps, *self.sizes, self.beginning, *self.more]
        self.asked: list[Any] = [visitor, self.source, *fields]
        for field in (self.source, self.uploaded, *fields):
            field.change(self.expect, self.asked, self.estimate, trigger_mode="always_last", **options)

    @property
    def fields(self) -> list[Any]:
        """The fields of an order, as `order` takes them."""
        return [self.rung, self.steps, *self.sizes, self.source, self.pasted, self.beginning, *self.more]

    def order(
        self,
        visitor: str,
        rung: Any,
        steps: Any,
        width: Any,
        layers: Any,
        context: Any,
        source: Any,
        pasted: Any,
        beginning: Any,
        *more: Any,
    ) -> Order:
        """Return what to train; raise a ModelCraftError with one sentence if a value is out of bounds."""
        title, text = self._text(visitor, source, pasted)
        return self._order(rung, steps, (width, layers, context), beginning, more, text, title)

    def _order(
        self,
        rung: Any,
        steps: Any,
        sizes: Sequence[Any],
        beginning: Any,
        more: Sequence[Any],
        text: str | None = None,
        title: str = "",
    ) -> Order:
        known = self._sizes(rung, beginning, *sizes)
        recipe = changed_settings(rung, beginning, *more)
        number = check_whole("Steps", steps, 1, MAX_STEPS)
        return Order(rung, number, known, text, title, beginning == BUNDLED, **recipe)

    def _sizes(self, rung: Any, beginning: Any, *dials: Any) -> dict[str, int]:
        check_rung(rung)
        known = sizes_of(RUNGS[rung]) if beginning != BUNDLED else {}  # the bundled model has its own
        given = dict(zip(SIZES, dials, strict=True))
        return {name: check_whole(DIALS[name], given[name], *SIZES[name][:2]) for name in known}

    @told
    def expect(
        self,
        visitor: Any,
        source: Any,
        rung: Any,
        steps: Any,
        width: Any,
        layers: Any,
        context: Any,
        beginning: Any,
        *more: Any,
    ) -> str:
        """Say how large a model becomes and how long it takes to train; say nothing while a field makes no sense."""
        text = (self._texts.get(visitor) or ("", None))[1] if source == UPLOADED and isinstance(visitor, str) else None
        try:
            order = self._order(rung, steps, (width, layers, context), beginning, more, text)
            if rung in FITS:
                return "It is counted, in seconds; measuring it takes longer the more characters there are."
            seconds, most = self.service.trainings.estimate(order), self.service.trainings.max_seconds
            size = counted(order.parameters)
        except ModelCraftError:
            return ""
        if seconds > most:
            return f"{size}. That is too much for {about(most)}, all that a training has here; its best model is kept."
        return f"{size}; {about(seconds)} here, once it is its turn."

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

    @told
    async def refit(self, rung: Any, source: Any) -> list[Any]:
        """Fit the form to a rung and a text: a text of the visitor's starts from the bundled model, if there is one.

        The app's text starts from nothing: the bundled model knows it already.
        """
        check_rung(rung)
        there = bundled(rung) is not None
        chosen = BUNDLED if there and source != OURS else NOTHING
        steps = gr.update(interactive=rung not in FITS)
        return [
            steps,
            gr.update(value=chosen, interactive=there),
            *sizes_shown(rung, chosen),
            *recipe_shown(rung, chosen),
        ]

    @told
    async def begin(self, rung: Any, source: Any, beginning: Any) -> Any:
        """Refit the form if another text asks for another beginning; else leave the sizes that were set."""
        fitting = NOTHING if source == OURS else BUNDLED
        return gr.skip() if beginning == fitting else await self.refit(rung, source)

    @told
    async def resize(self, rung: Any, beginning: Any) -> list[Any]:
        """Set the dials to the sizes of a rung, or of its bundled model, and the rest to its recipe."""
        check_rung(rung)
        return [*sizes_shown(rung, beginning), *recipe_shown(rung, beginning)]

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
        fresh = visitor if self.service.visitors.knows(visitor) else self.service.visitors.welcome(address)
        self._texts.put(fresh, address, title, text)
        read = "" if encoding == UTF_8 else f" It was read as {encoding}."
        different = len(set(text))
        cost = COSTLY if different > MANY else ""
        return fresh, f"{title}: {len(text):,} characters, {different:,} different ones.{read}{cost}", None
