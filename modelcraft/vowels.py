"""Pairs of a line without its vowels and the line itself, from which the encoder–decoder learns.

The encoder reads "T b, r nt t b", and the decoder writes "To be, or not to be". A line is the text between two
newlines; a line longer than the model's context is first wrapped at a space, as on a page.
"""

import unicodedata
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from modelcraft.data import UNSCORED, Batch, garble
from modelcraft.support.device import read_at_once
from modelcraft.support.errors import ConfigError, CorpusError

SOURCES = ("right", "shuffled", "none")
NOTHING = -1  # padding of sources: no character
UNPROMPTED_SHARE = 0.1  # of training lines: they have no source, or the model would never have seen the case "none"
BUCKETS = 16  # of lines of similar length, so that a batch has little padding, and of equally many characters
VOWELS = frozenset("aeiouæœøı" + "αεηιουω" + "аеиоуыэюяіє")  # Latin, Greek, Cyrillic, without their accents
CONSONANTS = frozenset("йў")  # although Unicode composes them of a vowel and a mark


def is_vowel(character: str) -> bool:
    """Return whether `character` is a vowel of the Latin, Greek or Cyrillic script, with or without accents."""
    small = character.lower()
    return small not in CONSONANTS and unicodedata.normalize("NFD", small)[:1] in VOWELS


def wrapped(line: Tensor, space: int, longest: int) -> list[tuple[int, int]]:
    """Cut a line (N,) into pieces (start, end) of at most `longest` characters, at spaces if it has any."""
    pieces, start, longest = [], 0, max(1, longest)
    while len(line) - start > longest:
        spaces = (line[start + 1 : start + longest + 1] == space).nonzero()
        end = start + 1 + int(spaces[-1]) if len(spaces) else start + longest
        pieces.append((start, end))
        start = end + bool(len(spaces))  # the space itself becomes the newline
    return [*pieces, (start, len(line))]


def cut_lines(data: Tensor, newline: int, space: int, longest: int) -> list[tuple[int, int]]:
    """Return the start and end of each line of `data` (N,), without its newline; skip empty lines."""
    ends = [*(data == newline).nonzero().flatten().tolist(), len(data)]
    lines, start = [], 0
    for end in ends:
        lines += [(start + a, start + b) for a, b in wrapped(data[start:end], space, longest)]
        start = end + 1
    return [(a, b) for a, b in lines if b > a]


def fill_up(rows: Sequence[Tensor], filling: int) -> Tensor:
    """Stack rows (T,) of different lengths into (B, T); pad the shorter ones on the right with `filling`."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=filling)


class Lines:
    """The lines of `data` (N,), each with a source: the line without the ids `vowels`.

    A batch holds the arguments of the model's `forward` by name: `source` (B, S), the stripped lines, each with its
    newline and padded with NOTHING; `idx` (B, T), a newline and the line; `targets` (B, T), the line and its newline.
    Raises CorpusError for a text with nothing to restore.
    """

    def __init__(
        self, data: Tensor, vowels: Sequence[int], newline: int, space: int, block_size: int, device: torch.device
    ) -> None:
        data = data.cpu()
        lines = cut_lines(data, newline, space, block_size - 1)
        if len(lines) < 2:
            raise CorpusError(
                "Restoring vowels is learned from lines, and this text (or its last tenth) has no two of them; use a "
                "text with line breaks."
            )
        struck = torch.isin(data, torch.tensor(list(vowels), dtype=torch.long))  # (N,)
        if not bool(struck.any()):
            raise CorpusError(
                "This text (or its last tenth) has no vowel that could be struck out and restored (a, e, i, o, u, or "
                "those of Greek or Cyrillic); train another rung on it."
            )
        self.newline, self.device = newline, device
        lines.sort(key=lambda line: line[1] - line[0])  # similar lengths together; stable
        mark = data.new_tensor([newline])
        self.lines = [torch.cat((data[a:b], mark)) for a, b in lines]
        self.sources = [torch.cat((data[a:b][~struck[a:b]], mark)) for a, b in lines]
        ends = torch.tensor([len(line) for line in self.lines]).cumsum(0)
        shares = ends[-1] * torch.arange(BUCKETS + 1) // BUCKETS
        self.buckets = torch.searchsorted(ends, shares, right=True).tolist()
        self.characters = int(ends[-1]) / len(self.lines)  # of a line, on average

    def draw(
        self, batch_size: int, generator: torch.Generator | None = None, noise: float = 0.0, first: int | None = None
    ) -> Batch:
        """Draw lines of similar length, a tenth without their source; `generator` (on the CPU) makes every choice.

        `batch_size` is the mean number of lines: a batch of short lines has more of them, so that all batches have as
        many characters, and every line is drawn as often as any other. `first` changes nothing: the lines are random.
        """
        bucket = int(torch.randint(BUCKETS, (), generator=generator))
        begin, end = self.buckets[bucket : bucket + 2]
        rows = max(1, round(batch_size * self.characters / len(self.lines[(begin + end - 1) // 2])))
        drawn = (begin + torch.randint(max(1, end - begin), (rows,), generator=generator)).tolist()
        unprompted = (torch.rand(rows, generator=generator) < UNPROMPTED_SHARE).tolist()
        sources = [self._nothing if alone else self.sources[k] for k, alone in zip(drawn, unprompted, strict=True)]
        batch = self._batch([self.lines[k] for k in drawn], sources)
        if noise:
            batch["idx"] = garble(batch["idx"], noise, generator)
        return {name: tensor.to(self.device) for name, tensor in batch.items()}

    def windows(self, protocol: str) -> Iterator[Batch]:
        """Yield all lines once, with their own sources ("right"), those of other lines ("shuffled"), or "none"."""
        if protocol not in SOURCES:
            raise ConfigError(f"source must be one of {', '.join(SOURCES)}, not {protocol!r}.")
        sources = self.sources
        if protocol == "shuffled":
            # Put all lines in a random circle: each gets the source of its neighbour, so none keeps its own.
            circle = torch.randperm(len(sources), generator=torch.Generator().manual_seed(0)).tolist()
            sources = list(sources)
            for place, k in enumerate(circle):
                sources[k] = self.sources[circle[place - 1]]
        elif protocol == "none":
            sources = [self._nothing] * len(sources)
        rows = max(1, read_at_once(self.device) // len(self.lines[-1]))
        for start in range(0, len(self.lines), rows):
            yield self._batch(self.lines[start : start + rows], sources[start : start + rows])

    @property
    def _nothing(self) -> Tensor:
        return torch.tensor([self.newline])

    def _batch(self, lines: Sequence[Tensor], sources: Sequence[Tensor]) -> Batch:
        begun = [torch.cat((self._nothing, line[:-1])) for line in lines]
        return {
            "source": fill_up(sources, NOTHING),
            "idx": fill_up(begun, self.newline),
            "targets": fill_up(lines, UNSCORED),
        }
