"""Check and fulfil the requests of visitors; Gradio validates nothing that a client sends, so this module does."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from modelcraft.data import load_corpus
from modelcraft.insight.real_words import words_of
from modelcraft.sampling import MAX_SEED, SamplingParams
from modelcraft.serving.catalogue import Catalogue, Entry
from modelcraft.serving.clients import Client, Shares
from modelcraft.serving.pool import P, Pool, Result
from modelcraft.serving.streaming import TICK_S, Meter, gather
from modelcraft.serving.training_job import PREFIX
from modelcraft.serving.training_queue import TrainingQueue
from modelcraft.serving.visitors import Visitors
from modelcraft.support.checks import check_number, check_text, check_whole
from modelcraft.support.device import threads_for_serving
from modelcraft.support.errors import ConfigError, CorpusError, VocabularyError

MAX_LENGTH, DEFAULT_LENGTH = 2_000, 400
MAX_TEMPERATURE, DEFAULT_TEMPERATURE = 2.0, 0.8
MAX_TOP_K = 1_000
MAX_PACE, DEFAULT_PACE = 120, 30
MAX_PROMPT = 10_000
MAX_STOP = 100
MAX_STREAMS = 128  # texts generated at a time; more would only slow all of them down
STREAMS_AN_ADDRESS = 64
OPEN_STREAMS = (512, 64, 8)  # streams still being read, however slowly: in total, per address, per session
EVENTS_PER_SECOND = 300  # to all clients together: more would take the cores that the models compute on


@dataclass(frozen=True)
class TextRequest:
    """A valid request: the prompt in the model's vocabulary, and a notice of what was changed to fit it."""

    entry: Entry
    ids: list[int]
    params: SamplingParams
    pace: float
    notice: str


class Service:
    """Handles requests: it checks them and streams the text from the model."""

    def __init__(
        self, catalogue: Catalogue, trainings: TrainingQueue | None = None, who: Callable[[], Client] = Client
    ) -> None:
        self.catalogue = catalogue
        self._who = who
        self.trainings = trainings or TrainingQueue()
        self.streams = Shares(*OPEN_STREAMS)
        self._pool = Pool(threads_for_serving())
        self.visitors = Visitors()
        self.words: frozenset[str] = frozenset()  # of the app's text: see `read_words`
        self.writing = Shares(MAX_STREAMS, STREAMS_AN_ADDRESS, STREAMS_AN_ADDRESS)  # streams that are not finished

    @property
    def running(self) -> int:
        """The number of open streams."""
        return self.streams.total

    async def get(self, name: Any = None) -> Entry:
        """Return the model `name`, loaded outside the event loop; raise ConfigError for an unknown one."""
        if name is not None and not isinstance(name, str):
            raise ConfigError(f"model must be the name of a model, not {type(name).__name__}.")
        if name is not None and name.startswith(PREFIX):
            return await asyncio.to_thread(self.trainings.get, name)
        if (entry := self.catalogue.loaded(name)) is not None:  # at once: the threads may be busy loading another one
            return entry
        return await asyncio.to_thread(self.catalogue.get, name)

    async def look(self, work: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        """Return `work(...)`, the work of a view, run at the client's turn; raise BusyError if too many wait."""
        return await self._pool.run(self._who(), work, *args, **kwargs)

    async def check(
        self,
        prompt: Any,
        length: Any,
        temperature: Any,
        model: Any,
        top_k: Any,
        top_p: Any,
        seed: Any,
        pace: Any = 0,
        line: str | None = None,
        stop: Any = "",
    ) -> TextRequest:
        """Turn what a client sent into a TextRequest; raise ConfigError or VocabularyError with one sentence.

        Null means the default. Only the end of a prompt is read if it is longer than the model's context. `line` is the
        new part of a prompt that has parts: the model must be able to read some of it. The text ends before `stop`, if
        that is not empty.
        """
        defaults = (DEFAULT_LENGTH, DEFAULT_TEMPERATURE, 0, 1.0, "")
        given = (length, temperature, top_k, top_p, stop)
        length, temperature, top_k, top_p, stop = (d if g is None else g for g, d in zip(given, defaults, strict=True))
        params = check_dials(length, temperature, top_k, top_p, seed, pace)
        check_prompt(prompt)
        check_text("stop", stop, MAX_STOP)
        return await self.request(model, prompt, params, pace, line, stop)

    async def request(
        self,
        model: Any,
        prompt: str,
        params: SamplingParams,
        pace: float = 0,
        line: str | None = None,
        stop: str = "",
    ) -> TextRequest:
        """Prepare a checked prompt for one model; raise ConfigError, CheckpointError or VocabularyError."""
        entry = await self.get(model)
        if not entry.model.continues:  # it does not use what came before the line
            if line == "":
                raise ConfigError(f"Write a line first: {entry.title} restores lines, and does not go on with a text.")
            prompt = line or prompt
        new = entry.tokenizer.normalize(line or prompt)
        if not new.text:
            raise VocabularyError(f"Nothing is left of the prompt. {new.report()}")
        read = entry.tokenizer.normalize(prompt).text[-entry.engine.decoder.longest_prompt :]
        ids = entry.tokenizer.encode(read)
        if not entry.tokenizer.unknown(stop):  # unknown characters cannot occur in the text
            params = replace(params, stop=tuple(entry.tokenizer.encode(stop)))
        self.check_room()
        return TextRequest(entry, ids, params, pace, new.report())

    async def write(self, asked: TextRequest, meter: Meter | None = None) -> AsyncGenerator[str, None]:
        """Yield the text so far, repeatedly; an unchanged text is a heartbeat; raise BusyError if there is no room."""
        self.check_room()
        client = self._who()
        with self.streams.hold(client), contextlib.ExitStack() as writing:
            text = ""
            writing.enter_context(self.writing.hold(client))
            stream = asked.entry.engine.submit(asked.ids, asked.params, client.address)
            batches = gather(stream, asked.pace, meter, lambda: max(TICK_S, self.running / EVENTS_PER_SECOND))
            async with aclosing(batches):  # so that a client that leaves is removed at once
                async for batch in batches:
                    text += asked.entry.tokenizer.decode(batch)
                    if stream.finished:  # so that a slow reader blocks nobody's generation
                        writing.close()
                    yield text

    def words_of(self, entry: Entry) -> frozenset[str]:
        """Return the words of the text that a model learned from; none while the app's text is not at hand."""
        own = None
        if entry.own:
            with contextlib.suppress(ConfigError):  # it went meanwhile; who writes with it goes on
                own = self.trainings.job(entry.own).words
        return self.words if own is None else own

    def read_words(self) -> None:
        """Read the words of the app's text, which may have to be downloaded; without it there are none."""
        with contextlib.suppress(CorpusError):
            self.words = words_of(load_corpus().text)

    def check_room(self, streams: int = 1) -> None:
        """Raise BusyError unless this client may start `streams` more texts."""
        self.writing.check(self._who(), streams)


def check_dials(length: Any, temperature: Any, top_k: Any, top_p: Any, seed: Any, pace: Any) -> SamplingParams:
    """Turn a client's settings into SamplingParams; raise ConfigError with one sentence."""
    length = check_whole("length", length, 1, MAX_LENGTH)
    check_number("temperature", temperature, 0, MAX_TEMPERATURE)
    top_k = check_whole("top_k", top_k, 0, MAX_TOP_K)
    check_number("top_p", top_p, 0, 1)
    seed = None if seed is None else check_whole("seed", seed, 0, MAX_SEED)
    check_number("pace", pace, 0, MAX_PACE)
    if 0 < pace < 1:
        raise ConfigError("pace must be 0, as fast as the model runs, or at least 1 character a second.")
    return SamplingParams(length, temperature, top_k, top_p, seed)


def check_prompt(prompt: Any) -> None:
    """Raise ConfigError or VocabularyError unless `prompt` is a text to continue."""
    if not check_text("prompt", prompt, MAX_PROMPT):
        raise VocabularyError("The prompt is empty; give at least one character to continue.")
