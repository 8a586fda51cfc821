"""Many streams through one model: requests join and leave a running batch between two of its steps.

A step of the GPT reads all weights once, whether for one text or for thirty; so thirty texts together are written many
times as fast as one after the other. The engine keeps the texts of each model in a batch of `Slots`, takes new ones in
and lets finished ones go between two steps, and draws each text's characters with its own parameters from its own
generator: a text is the same alone and in company, but for a tie within rounding.

It knows token ids, never text, and nothing of who asks.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from modelcraft.errors import BusyError
from modelcraft.model import LanguageModel, Slots, evaluating
from modelcraft.sampling import SamplingParams, sample_rows

MAX_ROWS = 64  # texts that a model writes at a time
MAX_WAITING = 128  # requests that wait for a row
JOINS_A_STEP = 8  # so many prompts at most are read before the others write on
PATIENCE_S = 60.0  # a stream that nobody reads for so long is ended


@dataclass(eq=False)
class Stream:
    """One request: what was asked, and what has been written so far. `take` and iteration are for one reader."""

    model: LanguageModel
    ids: Sequence[int]
    params: SamplingParams
    generator: torch.Generator
    tokens: list[int] = field(default_factory=list)  # all that was written; only the engine appends
    finished: bool = False
    cancelled: bool = False
    error: Exception | None = None
    wake: Callable[[], None] | None = None  # called once, by the engine's thread, when there is news
    worked: float = 0.0  # seconds of processor time that its tokens took, its share of what was done together
    read: int = 0  # so many of the tokens were taken
    read_at: float = field(default_factory=time.monotonic)
    changed: threading.Event = field(default_factory=threading.Event)

    def take(self) -> list[int]:
        """Return the tokens that are new since the last time; raises what ended the stream, once all are taken."""
        self.read_at = time.monotonic()
        finished = self.finished  # before the look at the tokens: none can come after it
        new = self.tokens[self.read :]
        self.read += len(new)
        if finished and not new and self.error is not None:
            raise self.error
        return new

    def cancel(self) -> None:
        """Ask for no more; the row is free before the next step."""
        self.cancelled = True

    @property
    def exhausted(self) -> bool:
        """Whether everything there will ever be has been taken."""
        return self.finished and self.read == len(self.tokens)

    def __iter__(self) -> Iterator[int]:
        """Yield each token as soon as it is there; whoever stops listening cancels."""
        try:
            while True:
                self.changed.clear()
                yield from self.take()
                if self.exhausted:
                    self.take()
                    return
                if not self.finished:
                    self.changed.wait(1)
        finally:
            self.cancel()

    def notify(self) -> None:
        """Tell the reader, if one waits."""
        self.changed.set()
        wake, self.wake = self.wake, None
        if wake is not None:
            wake()


@dataclass
class Batch:
    """The texts that one model writes now: row k of `slots` is that of `streams[k]`."""

    slots: Slots
    streams: list[Stream] = field(default_factory=list)
    newest: list[int] = field(default_factory=list)


class Engine:
    """Runs all models on a thread of its own, which is there while there is work."""

    def __init__(
        self, max_rows: int = MAX_ROWS, max_waiting: int = MAX_WAITING, patience_s: float = PATIENCE_S
    ) -> None:
        self.max_rows, self.max_waiting, self.patience_s = max_rows, max_waiting, patience_s
        self._waiting: deque[Stream] = deque()
        self._batches: dict[LanguageModel, Batch] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._speed = 1_000.0  # tokens a second of late, all streams together

    def submit(self, model: LanguageModel, ids: Sequence[int], params: SamplingParams) -> Stream:
        """Take a request in: the continuation of the token ids `ids`, at least one.

        Raises BusyError, at once, when too many wait, and VocabularyError for ids that the model does not know.
        """
        model.check_context(torch.tensor([list(ids)], dtype=torch.long))
        stream = Stream(model, list(ids)[-model.block_size :], params, params.make_generator())
        if not params.max_new_tokens:
            stream.finished = True
            return stream
        with self._lock:
            if len(self._waiting) >= self.max_waiting:
                raise BusyError(self._seconds_to_wait())
            self._waiting.append(stream)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
                self._thread.start()
        return stream

    @property
    def running(self) -> int:
        """How many streams are written now."""
        return sum(len(batch.streams) for batch in list(self._batches.values()))

    @property
    def waiting(self) -> int:
        """How many streams wait for a row."""
        return len(self._waiting)

    def _seconds_to_wait(self) -> int:
        """Guess when there will be room: what is still to be written, by the speed of late."""
        streams = [stream for batch in list(self._batches.values()) for stream in batch.streams]
        left = sorted(stream.params.max_new_tokens - len(stream.tokens) for stream in streams)
        return max(1, round(len(left) * (left[0] if left else 0) / self._speed))

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting and not any(batch.streams for batch in self._batches.values()):
                    self._batches.clear()  # with their memories
                    self._thread = None
                    return
            self._drop()
            self._join()
            started, written = time.perf_counter(), 0
            for model, batch in list(self._batches.items()):
                if not batch.streams:
                    continue
                written += len(batch.streams)
                try:
                    self._step(model, batch)
                except Exception as error:  # the model's own, or no memory: its streams end, other models go on
                    del self._batches[model]
                    for stream in batch.streams:
                        self._finish(stream, error)
            if written:
                speed = written / max(1e-6, time.perf_counter() - started)
                self._speed += 0.05 * (speed - self._speed)

    def _drop(self) -> None:
        """Let go of the streams that nobody wants any more."""
        now = time.monotonic()

        def unwanted(stream: Stream) -> bool:
            return stream.cancelled or now - stream.read_at > self.patience_s

        with self._lock:
            gone = [stream for stream in self._waiting if unwanted(stream)]
            for stream in gone:
                self._waiting.remove(stream)
        for stream in gone:
            self._finish(stream)
        for batch in self._batches.values():
            for row in reversed(range(len(batch.streams))):
                if unwanted(batch.streams[row]):
                    self._leave(batch, row)

    def _join(self) -> None:
        """Take in who waits, as far as there are rows: read their prompts, and write their first token."""
        for _ in range(JOINS_A_STEP):
            with self._lock:
                ready = (s for s in self._waiting if len(self._rows(s.model)) < self.max_rows)
                stream = next(ready, None)
                if stream is None:
                    return
                self._waiting.remove(stream)
            try:
                self._read(stream)
            except Exception as error:  # its own affair
                self._finish(stream, error)

    def _rows(self, model: LanguageModel) -> list[Stream]:
        batch = self._batches.get(model)
        return batch.streams if batch else []

    def _read(self, stream: Stream) -> None:
        """Give a stream a row: read its prompt, write its first token."""
        model = stream.model
        batch = self._batches.get(model) or Batch(model.make_slots())
        with evaluating(model):
            logits = batch.slots.join(torch.tensor([list(stream.ids)], device=model.device))  # (1, T) -> (1, V)
            token = int(sample_rows(logits, [stream.params], [stream.generator]))
        batch.streams.append(stream)
        batch.newest.append(token)
        self._batches[model] = batch
        self._write(batch, len(batch.streams) - 1)

    def _step(self, model: LanguageModel, batch: Batch) -> None:
        """Write one token of every text of a batch."""
        began = time.thread_time()
        with evaluating(model):
            idx = torch.tensor(batch.newest, device=model.device)[:, None]  # (B, 1)
            logits = batch.slots.step(idx)  # (B, V)
            params = [stream.params for stream in batch.streams]
            tokens = sample_rows(logits, params, [stream.generator for stream in batch.streams])  # (B,)
        batch.newest = tokens.tolist()
        share = (time.thread_time() - began) / len(batch.streams)
        for stream in batch.streams:
            stream.worked += share
        for row in reversed(range(len(batch.streams))):  # from the last, for who leaves is replaced by the last
            self._write(batch, row)

    def _write(self, batch: Batch, row: int) -> None:
        stream = batch.streams[row]
        stream.tokens.append(batch.newest[row])
        if len(stream.tokens) == stream.params.max_new_tokens:
            self._leave(batch, row)
        else:
            stream.notify()

    def _leave(self, batch: Batch, row: int) -> None:
        """Free a row; the last one takes its place."""
        stream = batch.streams[row]
        batch.slots.leave(row)
        for column in (batch.streams, batch.newest):
            column[row] = column[-1]  # type: ignore[index, assignment]
            column.pop()
        self._finish(stream)

    def _finish(self, stream: Stream, error: Exception | None = None) -> None:
        stream.error = error
        stream.finished = True
        stream.notify()
