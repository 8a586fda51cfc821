"""Many streams through one model: requests join and leave a running batch between two steps.

A step of the GPT reads all weights once, for one text or for thirty; so it generates thirty texts together many times
as fast as one after the other. An engine keeps the texts of its model in `Rows`, adds new ones and removes finished
ones between two steps, and samples each text with its own parameters from its own generator: a text is the same alone
and in a batch, except for ties within rounding.

It knows token ids but no text, and nothing about who sends a request.
"""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from modelcraft.inference.decoder import decoder_for
from modelcraft.inference.rows import Rows
from modelcraft.inference.stop import Ending, Stop
from modelcraft.inference.threads import Threads
from modelcraft.model import LanguageModel, evaluating
from modelcraft.sampling import SamplingParams, sample_rows
from modelcraft.support.device import threads_for_many
from modelcraft.support.errors import BusyError, ModelError, UnreadError

MAX_ROWS = 128  # texts generated at a time: past 64 they slow each other down, but waiting costs more
MAX_WAITING = 128  # requests that wait for a row
SHARE = 3 / 4  # of the rows: the most that one client may have, so that another client always finds one
READ_A_STEP = 1_024  # characters of prompts that are read at most before the running texts take their next step
PATIENCE_S = 60.0  # the engine ends a stream that nobody reads for this long
BROKEN = "The model was stopped while it wrote; ask for the text again."
log = logging.getLogger(__name__)


@dataclass(eq=False)
class Stream:
    """One request and the tokens generated for it so far; `take` and iteration serve one reader only."""

    ids: Sequence[int]
    params: SamplingParams
    generator: torch.Generator
    ending: Ending
    client: str = ""  # who sent the request, if known; clients share the rows fairly
    tokens: list[int] = field(default_factory=list)  # all tokens released so far; only the engine appends
    finished: bool = False
    cancelled: bool = False
    error: Exception | None = None
    wake: Callable[[], None] | None = None  # called once, on the engine's thread, when the stream has changed
    written: int = 0  # how many tokens were sampled; some may be held back, see Ending
    worked: float = 0.0  # seconds of CPU time for its tokens: its share of the common steps
    read: int = 0  # how many of the tokens the reader has taken
    read_at: float = field(default_factory=time.monotonic)
    changed: threading.Event = field(default_factory=threading.Event)

    def take(self) -> list[int]:
        """Return the tokens added since the last call; once all are taken, raise the error that ended the stream."""
        self.read_at = time.monotonic()
        finished = self.finished  # read before the tokens: once it is set, no token can be added
        new = self.tokens[self.read :]
        self.read += len(new)
        if finished and not new and self.error is not None:
            raise self.error
        return new

    def cancel(self) -> None:
        """Cancel the stream; its row is free before the next step."""
        self.cancelled = True

    @property
    def exhausted(self) -> bool:
        """Whether the stream is finished and all its tokens have been taken."""
        return self.finished and self.read == len(self.tokens)

    def __iter__(self) -> Iterator[int]:
        """Yield each token as soon as it is available; a reader that stops iterating cancels the stream."""
        try:
            while True:
                self.changed.clear()
                for token in self.take():
                    self.read_at = time.monotonic()  # a slow reader still counts as a reader
                    yield token
                if self.exhausted:
                    self.take()
                    return
                if not self.finished:
                    self.changed.wait(1)
        finally:
            self.cancel()

    def notify(self) -> None:
        """Wake the reader if one waits."""
        self.changed.set()
        wake, self.wake = self.wake, None
        if wake is not None:
            try:
                wake()
            except Exception:  # the reader's fault must not stop the engine
                log.exception("a reader could not be woken")


class Engine:
    """Generates the texts of one model in one batch, on a thread that lives while there is work."""

    def __init__(
        self,
        model: LanguageModel,
        max_rows: int = MAX_ROWS,
        max_waiting: int = MAX_WAITING,
        patience_s: float = PATIENCE_S,
        threads: int | None = None,
    ) -> None:
        """Prepare to generate with `model`, a step with up to `threads` threads (None: one for each core)."""
        self.model, self.decoder = model, decoder_for(model)
        self.threads = threads or threads_for_many(model.device)
        self.max_rows, self.max_waiting, self.patience_s = max_rows, max_waiting, patience_s
        self._waiting: deque[Stream] = deque()
        self._streams: list[Stream] = []  # stream k is row k of `_rows`
        self._newest: list[int] = []  # the newest token of each stream
        self._rows: Rows | None = None  # None while there is no text to generate
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._threads: Threads | None = None
        self._speed = 1_000.0  # recent tokens per second, all streams together

    def submit(self, ids: Sequence[int], params: SamplingParams, client: str = "") -> Stream:
        """Accept a request of `client` to continue the token ids `ids`, at least one.

        Raises BusyError at once when too many requests wait, and VocabularyError for ids that the model does not know.
        """
        self.model.check_context(torch.tensor([list(ids)], dtype=torch.long))
        ids = list(ids)[-self.decoder.longest_prompt :]
        ending = Ending([Stop(params.stop), *self.decoder.stops(torch.tensor([ids], dtype=torch.long))])
        stream = Stream(ids, params, params.make_generator(), ending, client)
        if not params.max_new_tokens:
            stream.finished = True
            return stream
        with self._lock:
            if len(self._waiting) >= self.max_waiting:
                raise BusyError(self._seconds_to_wait())
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="engine", daemon=True)
                thread.start()  # it first waits for the lock held here
                self._thread = thread
            self._waiting.append(stream)
        return stream

    def close(self) -> None:
        """End all texts and wait for the thread: Python must not exit while the thread runs torch code."""
        while (thread := self._thread) is not None and thread.is_alive():
            for stream in (*self._streams, *self._waiting):  # repeat: a joining stream is in neither
                stream.cancel()
            thread.join(0.02)

    @property
    def running(self) -> int:
        """The number of streams that are being generated or wait for a row."""
        return len(self._streams) + len(self._waiting)

    @property
    def waiting(self) -> int:
        """The number of streams that wait for a row."""
        return len(self._waiting)

    def _seconds_to_wait(self) -> int:
        """Estimate the seconds until a row is free: when the stream closest to its end finishes."""
        left = [stream.params.max_new_tokens - stream.written for stream in list(self._streams)]
        return max(1, round(len(left) * min(left, default=0) / self._speed))

    def _run(self) -> None:
        """Generate until no stream is left; pass any error to the streams that it ends."""
        self._threads = self._threads or Threads(torch.get_num_threads(), self.threads)
        while True:
            with self._lock:
                if not self._waiting and not self._streams:
                    self._rows = self._thread = None
                    return
            try:
                self._drop()
                self._join()
                if self._streams:
                    self._step()
            except BaseException as error:  # an error in the model, or out of memory
                log.exception("%s texts ended", len(self._streams))
                ended, self._streams, self._newest, self._rows = self._streams, [], [], None
                if not isinstance(error, Exception):  # this thread ends: the next request starts another
                    with self._lock:
                        ended += self._waiting
                        self._waiting.clear()
                        self._thread = None
                for stream in ended:
                    self._finish(stream, error if isinstance(error, Exception) else ModelError(BROKEN))
                if not isinstance(error, Exception):
                    return

    def _drop(self) -> None:
        """Remove the streams that were cancelled or that nobody reads."""
        now = time.monotonic()

        def unwanted(stream: Stream) -> bool:
            if now - stream.read_at > self.patience_s and not stream.cancelled:
                stream.cancelled = True
                stream.error = UnreadError(self.patience_s)
            return stream.cancelled

        with self._lock:
            gone = [stream for stream in self._waiting if unwanted(stream)]
            for stream in gone:
                self._waiting.remove(stream)
        for stream in gone:
            self._finish(stream, stream.error)
        for row in reversed(range(len(self._streams))):  # backwards, because the last row replaces a removed one
            if unwanted(self._streams[row]):
                self._leave(row)

    def _join(self) -> None:
        """Give free rows to waiting streams: read their prompts and sample their first tokens."""
        joining = self._admit()
        try:
            self._begin(joining)
        except BaseException:  # `_run` ends them with the others, once the next request can start another thread
            self._streams += [stream for stream in joining if not stream.finished and stream not in self._streams]
            raise

    def _admit(self) -> list[Stream]:
        """Take waiting streams for the free rows, as many as are read before the next step."""
        joining: list[Stream] = []
        longest = 0
        with self._lock:
            while (stream := self._next(joining)) is not None:
                longest = max(longest, len(stream.ids))
                if joining and longest * (len(joining) + 1) > READ_A_STEP:  # each is read as far as the longest
                    break
                self._waiting.remove(stream)
                joining.append(stream)
        return joining

    def _begin(self, joining: Sequence[Stream]) -> None:
        """Read prompts together; if that fails, each by itself, so that only those end that cannot be read."""
        if not joining:
            return
        try:
            tokens = self._read(joining)
        except Exception as error:
            if len(joining) == 1:
                log.exception("a prompt could not be read")
                self._finish(joining[0], error)
                return
            for stream in joining:
                stream.generator = stream.params.make_generator()  # it may have been drawn from
                self._begin([stream])
            return
        first = len(self._streams)
        self._streams += joining
        self._newest += tokens
        for row in reversed(range(first, len(self._streams))):
            self._write(row)

    def _next(self, joining: Sequence[Stream]) -> Stream | None:
        """Return the stream that gets the next row, the oldest of the client with the fewest rows; None if none may."""
        taken = [*self._streams, *joining]
        if not self._waiting or len(taken) >= self.max_rows:
            return None
        rows = Counter(stream.client for stream in taken)
        stream = min(self._waiting, key=lambda stream: rows[stream.client])
        fair = not stream.client or rows[stream.client] < max(1, SHARE * self.max_rows)
        return stream if fair else None

    def _read(self, joining: Sequence[Stream]) -> list[int]:
        """Read prompts into new last rows; return the first token after each."""
        assert self._threads is not None
        began = time.thread_time()
        self._threads.read(len(self._streams) + len(joining))
        self._rows = self._rows or self.decoder.rows()
        prompts = [torch.tensor(stream.ids, device=self.model.device) for stream in joining]  # (T,) each
        with evaluating(self.model):
            logits = self._rows.join(prompts)  # (k, V)
            try:
                tokens = sample_rows(logits, *_sampling(joining))  # (k,)
            except Exception:
                for row in reversed(range(len(self._streams), len(self._streams) + len(joining))):
                    self._rows.leave(row)
                raise
        share = (time.thread_time() - began) / len(joining)
        for stream in joining:
            stream.worked = share
        return tokens.tolist()

    def _step(self) -> None:
        """Generate one token of every text."""
        assert self._rows is not None and self._threads is not None
        began, started, rows = time.thread_time(), time.perf_counter(), len(self._streams)
        with evaluating(self.model), self._threads.step(rows):
            newest = torch.tensor(self._newest, device=self.model.device)[:, None]  # (B, 1)
            logits = self._rows.step(newest)  # (B, V)
            tokens = sample_rows(logits, *_sampling(self._streams))  # (B,)
        self._newest = tokens.tolist()
        self._speed += 0.05 * (rows / max(1e-6, time.perf_counter() - started) - self._speed)
        share = (time.thread_time() - began) / rows
        for row in reversed(range(rows)):
            self._streams[row].worked += share
            self._write(row)

    def _write(self, row: int) -> None:
        stream = self._streams[row]
        stream.written += 1
        stream.tokens += stream.ending.read(self._newest[row])
        if stream.ending.reached or stream.written == stream.params.max_new_tokens:
            self._leave(row)
        else:
            stream.notify()

    def _leave(self, row: int) -> None:
        """Free a row; the last row takes its place."""
        assert self._rows is not None
        stream = self._streams[row]
        self._rows.leave(row)
        self._streams[row], self._newest[row] = self._streams[-1], self._newest[-1]
        self._streams.pop()
        self._newest.pop()
        self._finish(stream, stream.error)

    def _finish(self, stream: Stream, error: Exception | None = None) -> None:
        # Drop the traceback: it would keep all objects in its frames alive.
        stream.error = error.with_traceback(None) if error is not None else None
        stream.tokens += stream.ending.rest()
        stream.finished = True
        stream.notify()


def _sampling(streams: Sequence[Stream]) -> tuple[list[SamplingParams], list[torch.Generator]]:
    """Return what decides the next token of each stream."""
    return [stream.params for stream in streams], [stream.generator for stream in streams]
