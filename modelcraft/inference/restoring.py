"""Measure how well the encoder–decoder restores lines: every line of a text, greedily, against the original."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from modelcraft.encoder_decoder import EncoderDecoder
from modelcraft.inference.encoder_decoder import LineRows
from modelcraft.model import evaluating

ROWS = 128  # lines restored together


@dataclass(frozen=True)
class Restored:
    """The number of lines of a text, the share that is exactly right, and the character error rate.

    The character error rate is the number of edits (insert, delete or change a character) that would correct all lines,
    divided by the number of their characters.
    """

    lines: int
    exact: float
    character_error_rate: float

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a dict for JSON."""
        return asdict(self)


def restore_all(model: EncoderDecoder, data: Tensor, progress: bool = False) -> Restored:
    """Restore every line of `data` (N,) from its consonants; always choose the likeliest character."""
    dataset = model.dataset(data)
    exact = edits = characters = 0
    with tqdm(total=len(dataset.lines), unit="line", desc="restoring", leave=False, disable=not progress) as bar:
        for number, written in restored(model, dataset.sources):
            line = dataset.lines[number][:-1].tolist()
            exact += written == line
            edits += edit_distance(written, line)
            characters += len(line)
            bar.update()
    return Restored(len(dataset.lines), exact / len(dataset.lines), edits / characters)


def restored(model: EncoderDecoder, sources: Sequence[Tensor]) -> Iterator[tuple[int, list[int]]]:
    """Yield the number of each source (S,) and its line as soon as it is ready; the last sources come first."""
    rows, left = LineRows(model), list(enumerate(sources))
    numbers: list[int] = []  # the number of each row's source
    lines: list[list[int]] = []
    with evaluating(model):
        while left or numbers:
            while left and len(numbers) < ROWS:
                number, source = left.pop()
                numbers.append(number)
                lines.append([int(rows.add([source]).argmax())])
            for row in reversed(range(len(numbers))):
                if lines[row][-1] == model.config.newline:
                    yield numbers[row], lines[row][:-1]
                    rows.leave(row)
                    numbers[row], lines[row] = numbers[-1], lines[-1]
                    numbers.pop()
                    lines.pop()
            if numbers:
                newest = torch.tensor([[line[-1]] for line in lines], device=model.device)
                for line, token in zip(lines, rows.step(newest).argmax(-1).tolist(), strict=True):
                    line.append(token)


def edit_distance(a: Sequence[int], b: Sequence[int]) -> int:
    """Count the fewest edits that turn `a` into `b` (Levenshtein 1966)."""
    distances = list(range(len(b) + 1))  # from an empty a to each prefix of b
    for i, from_a in enumerate(a, 1):
        before, distances[0] = distances[0], i
        for j, from_b in enumerate(b, 1):
            before, distances[j] = (
                distances[j],
                min(distances[j] + 1, distances[j - 1] + 1, before + (from_a != from_b)),
            )
    return distances[-1]
