"""A play as speeches and replies: what the encoder–decoder is trained and measured on.

In tiny Shakespeare a speech ends with a blank line, and the next one answers it. So a text falls into speeches, each
with every character up to its second newline in a row, and each but the first is the reply to the one before.
"""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from modelcraft.data import UNSCORED, Batch
from modelcraft.support.device import read_at_once
from modelcraft.support.errors import ConfigError, CorpusError

SOURCES = ("right", "shuffled", "none")
NOTHING = -1  # fills up a row of speeches: no character
UNPROMPTED_SHARE = 0.1  # so many replies are learned without the speech, or "none" would be a sight never seen before


def cut_speeches(data: Tensor, newline: int) -> list[tuple[int, int]]:
    """Return where each speech of `data` (N,) starts and ends; together they are all of it.

    A speech ends after two newlines in a row; of three, the third begins the next speech. The last one may end without.
    """
    is_newline = data == newline
    start, spans = 0, []
    for end in ((is_newline[:-1] & is_newline[1:]).nonzero().flatten() + 2).tolist():
        if end - start >= 2:  # of three newlines in a row the third begins the next speech
            spans.append((start, end))
            start = end
    if start < len(data):
        spans.append((start, len(data)))
    return spans


def as_source(speech: Tensor, newline: int, block_size: int) -> Tensor:
    """Return what an encoder reads of `speech` (N,): its last `block_size` characters, less the newlines at the end.

    Of several speeches it is the last one.
    """
    speech = speech[-block_size:]
    if speech.is_meta:
        return speech
    words = (speech != newline).nonzero()
    if not len(words):
        return speech[:0]
    speech = speech[: int(words[-1]) + 1]
    breaks = ((speech[:-1] == newline) & (speech[1:] == newline)).nonzero()
    return speech[int(breaks[-1]) + 2 :] if len(breaks) else speech


class Dialogue:
    """The replies in `data` (N,), in windows of at most `block_size` characters, each with the speech it answers.

    A reply longer than a window is cut into several, one after the other, so that every character of every reply is
    predicted in one window and in no other. A batch is what the model's `forward` takes, by name: `source` (B, S), the
    speeches; `idx` (B, T), the character before each window and all of the window but its last; `targets` (B, T), the
    window. The character before a reply is the newline that ended the speech, so a decoder starts from a newline.
    Raises CorpusError for a text without two speeches.
    """

    def __init__(self, data: Tensor, newline: int, block_size: int, device: torch.device | str | None = None) -> None:
        spans = cut_speeches(data, newline)
        if len(spans) < 2:
            raise CorpusError(
                "A model of replies needs speeches with a blank line after each, and this text (or its last tenth) has "
                "no two of them; use a longer text, or one with blank lines."
            )
        self.data, self.newline = data, newline
        self.block_size = block_size
        self.device = device if device is not None else data.device
        sources, windows, replies = [], [], []
        for reply, ((start, end), (first, last)) in enumerate(itertools.pairwise(spans)):
            sources.append((max(start, end - block_size), len(as_source(data[start:end], newline, block_size))))
            for begin in range(first, last, block_size):
                windows.append((begin, min(block_size, last - begin)))
                replies.append(reply)
        echoes = [(begin, len(as_source(data[begin : begin + n], newline, block_size))) for begin, n in windows]
        self.echoes = torch.tensor(echoes)  # (W, 2): each window as if it were the speech
        self.sources = torch.tensor(sources)  # (R, 2): where the speech that each reply answers starts, how long it is
        self.spans = torch.tensor(windows)  # (W, 2): where each window starts, how long it is
        self.replies = torch.tensor(replies)  # (W,): which reply each window is of

    @property
    def characters(self) -> int:
        """How many characters the replies have."""
        return int(self.spans[:, 1].sum())

    def draw(self, batch_size: int, generator: torch.Generator | None = None, noise: float = 0.0) -> Batch:
        """Draw `batch_size` windows, a tenth of them with no speech to answer; `generator` (on the CPU) decides all.

        In a share `noise` of them the speech is the window itself.
        """
        drawn = torch.randint(len(self.spans), (batch_size,), generator=generator)  # (B,)
        sources = self.sources[self.replies[drawn]]  # (B, 2)
        chance = torch.rand(batch_size, generator=generator)
        sources[chance < UNPROMPTED_SHARE, 1] = 0
        echoed = chance >= 1 - noise
        sources[echoed] = self.echoes[drawn[echoed]]
        return self._rows(self.spans[drawn], sources, self.device)

    def windows(self, protocol: str) -> Iterator[Batch]:
        """Yield all windows once, with the speech that each answers ("right"), another's ("shuffled"), or "none"."""
        source, rows = protocol, max(1, read_at_once(torch.device(self.device)) // self.block_size)
        if source not in SOURCES:
            raise ConfigError(f"source must be one of {', '.join(SOURCES)}, not {source!r}.")
        sources = self.sources.clone()  # (R, 2)
        if source == "shuffled":
            # All replies in a random circle: each is given the speech of the next, so none keeps its own.
            circle = torch.randperm(len(sources), generator=torch.Generator().manual_seed(0))
            sources[circle] = self.sources[circle.roll(-1)]
        elif source == "none":
            sources[:, 1] = 0
        order = self.spans[:, 1].argsort(stable=True)  # like lengths together: little to fill up
        for some in torch.split(order, rows):
            yield self._rows(self.spans[some], sources[self.replies[some]], self.data.device)

    def _rows(self, windows: Tensor, sources: Tensor, device: torch.device | str | None) -> Batch:
        before = windows - torch.tensor([1, 0])  # one character earlier, equally long
        return {
            "source": self._cut(sources, NOTHING, device),
            "idx": self._cut(before, self.newline, device),
            "targets": self._cut(windows, UNSCORED, device),
        }

    def _cut(self, spans: Tensor, filling: int, device: torch.device | str | None) -> Tensor:
        """Cut pieces (B, 2), each a start and a length, out of the text, and fill the rows up on the right: (B, T)."""
        starts, lengths = spans[:, :1], spans[:, 1:]  # (B, 1) each
        offsets = torch.arange(int(lengths.max()))  # (T,)
        places = (starts + offsets).clamp(max=len(self.data) - 1)  # (B, T)
        rows = self.data[places.to(self.data.device)]
        rows = rows.masked_fill((offsets >= lengths).to(rows.device), filling)
        return rows.to(device if device is not None else rows.device)
