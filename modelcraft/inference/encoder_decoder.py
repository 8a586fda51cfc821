"""The decoder of the rung encoder-decoder: it reads each source once, and of the text only the new token."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from modelcraft.encoder_decoder import EncoderDecoder
from modelcraft.gpt import norm
from modelcraft.inference.rows import Decoder, Rows
from modelcraft.inference.stop import Stop

LONGEST_PROMPT = 2_000  # characters


@dataclass
class Restoring:
    """One row: the sources that are not read yet, and the progress of the current line."""

    sources: list[Tensor]
    length: int = 0  # characters of the line read so far, including the newline it starts from
    cursor: int = -1  # index of the last consonant read


class LineRows(Rows):
    """Each row generates one line, at its own position; a prompt holds the sources of one or several lines.

    `own` caches the keys and values of the lines, `offered` those of the sources; each tensor has the shape
    (n_layer, rows, n_kv, block_size, hs). `source_lengths` is the length of each row's source.
    """

    model: EncoderDecoder

    def __init__(self, model: EncoderDecoder) -> None:
        super().__init__(model)
        self.lines: list[Restoring] = []
        self.own, self.offered = self._room(1), self._room(1)
        self.source_lengths: list[int] = []

    def join(self, prompts: Iterable[Tensor]) -> Tensor:
        """Read k prompts (T,) of lines with or without vowels into new last rows; return the logits (k, V)."""
        before = len(self.lines)
        try:
            return torch.cat([self.add(self.model.sources(prompt)) for prompt in prompts])
        except Exception:  # so that prompts that cannot be read leave no rows behind
            for row in reversed(range(before, len(self.lines))):
                self.leave(row)
            raise

    def add(self, sources: Sequence[Tensor]) -> Tensor:
        """Begin to restore `sources` in a new last row; return the logits (1, V) of the next token."""
        row = len(self.lines)
        if row == self.own[0].shape[1]:  # double the room, so that rows are rarely copied
            self.own, self.offered = (
                [torch.cat(pair, dim=1) for pair in zip(kind, self._room(row), strict=True)]
                for kind in (self.own, self.offered)
            )
        line = Restoring(list(sources))
        self.source_lengths.append(0)
        try:
            self._begin(row, line)
            logits = self._read([row], [line], [self.model.config.newline])
        except BaseException:
            self.source_lengths.pop()
            raise
        self.lines.append(line)
        return logits

    def step(self, newest: Tensor) -> Tensor:
        """Read the newest token of each row, (B, 1); return the logits (B, V) of the next."""
        newline = self.model.config.newline
        tokens = [newline + 1] * len(newest) if newest.is_meta else newest[:, 0].tolist()
        for row, (line, token) in enumerate(zip(self.lines, tokens, strict=True)):
            if token == newline:
                self._begin(row, line)
        return self._read(list(range(len(self.lines))), self.lines, tokens)

    def leave(self, row: int) -> None:
        """Remove a row; the last row takes its place."""
        last = len(self.lines) - 1
        for kind in (*self.own, *self.offered):
            kind[:, row] = kind[:, last]
        self.lines[row], self.source_lengths[row] = self.lines[-1], self.source_lengths[-1]
        self.lines.pop()
        self.source_lengths.pop()

    def _room(self, rows: int) -> list[Tensor]:
        c = self.model.config
        shape = (c.n_layer, rows, c.n_kv_head, c.block_size, c.head_size)
        return [torch.zeros(shape, device=self.model.device) for _ in range(2)]

    def _begin(self, row: int, line: Restoring) -> None:
        """Read the next source of a row; after the last one, read an empty source."""
        source = line.sources.pop(0) if line.sources else torch.tensor([self.model.config.newline])
        source = source.to(self.model.device)[None]  # (1, S)
        offered = self.model.encode(source, torch.ones_like(source, dtype=torch.bool)[:, None])
        for layer, (k, v) in enumerate(offered):
            self.offered[0][layer, row, :, : source.shape[1]] = k[0]
            self.offered[1][layer, row, :, : source.shape[1]] = v[0]
        self.source_lengths[row] = source.shape[1]
        line.length, line.cursor = 0, -1

    def _read(self, rows: list[int], lines: Sequence[Restoring], tokens: list[int]) -> Tensor:
        """Read one token of each of the consecutive `rows`; return the logits (B, V) of the next."""
        model, device = self.model, self.model.device
        idx = torch.tensor(tokens, device=device)[:, None]  # (B, 1)
        consonant = [token not in model.config.vowels for token in tokens]
        for line, counts in zip(lines, consonant, strict=True):
            line.cursor += counts
        lengths = torch.tensor([line.length for line in lines], device=device)  # (B,)
        cursor = model.angles(torch.tensor([[line.cursor] for line in lines], device=device))
        positions = model.angles(lengths[:, None])
        some = slice(rows[0], rows[-1] + 1)
        sources = torch.tensor(self.source_lengths[some], device=device)
        T, S = max(line.length for line in lines) + 1, max(self.source_lengths[some])
        past = (torch.arange(T, device=device) <= lengths[:, None])[:, None]  # (B, 1, T)
        visible = (torch.arange(S, device=device) < sources[:, None])[:, None]  # (B, 1, S)
        at = (torch.arange(len(rows), device=device), slice(None), lengths)
        x = model.embed(idx)  # (B, 1, C)
        for layer, block in enumerate(model.blocks):
            k, v = block.sa.offer(norm(x), *positions)  # (B, n_kv, 1, hs) each
            keys, values = (kind[layer, some] for kind in self.own)
            keys[at], values[at] = k[:, :, 0], v[:, :, 0]
            x = x + block.sa.gather(block.sa.ask(norm(x), *positions), keys[:, :, :T], values[:, :, :T], past)
            offered = (self.offered[0][layer, some, :, :S], self.offered[1][layer, some, :, :S])
            x = x + block.ca.gather(block.ca.ask(norm(x), *cursor), *offered, visible)
            x = x + block.ffwd(norm(x))
        for line in lines:
            line.length += 1
        return model.ended(model.score(x)[:, 0], [line.length for line in lines])


class EncoderDecoderDecoder(Decoder):
    """The decoder of the rung encoder-decoder."""

    model: EncoderDecoder

    @property
    def longest_prompt(self) -> int:
        """The number of tokens read from the end of a prompt: a page of lines."""
        return LONGEST_PROMPT

    def stops(self, prompt: Tensor) -> list[Stop]:
        """Return the one stop of a text: the end of its last line."""
        return [Stop((self.model.config.newline,), len(self.model.sources(prompt[0])))]

    def rows(self) -> LineRows:
        """Return empty rows for texts that are generated together."""
        return LineRows(self.model)
