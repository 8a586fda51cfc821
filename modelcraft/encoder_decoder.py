"""Rung: the encoder–decoder. It reads one text and writes another.

The idea. Every rung so far goes on with the one text that it is given. Here there are two: a source, which is there
already, and a text to be written. The encoder reads the source; its blocks are the GPT's without the mask, so that
every character looks at all others. The decoder writes the text as a GPT does, and its blocks have a third layer, in
which the text looks at the source: the queries come from the text, the keys and values from the source,

    wei = softmax(q(text) @ k(source)ᵀ / √head_size)
    out = wei @ v(source).

That is cross-attention, and with it this is the transformer of 2017, which was made for translation; a GPT is its
decoder alone. Here, too, it translates: the source is a line of the play without its vowels, and the text is the line.

    T b, r nt t b: tht s th qstn
    To be, or not to be: that is the question

A translator who knows which word comes next looks there first. So in cross-attention a query is turned not by its own
position but by that of the next consonant (`cursor`): as many places into the source as consonants are written.

What it gains shows when the source is changed. The loss in nats per character, on lines that it has never seen:

    the line's own source   0.19
    another line's          5.45   worse than guessing (4.17): it believes what it reads
    none                    1.73   what is left is a small GPT

Before you run it: a mask kept every other rung from seeing what it has to predict. Why may the encoder do without one?
(What is to be predicted is the text, and its vowels are not in the source.)
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelcraft.data import UNSCORED
from modelcraft.gpt import ROPE_BASE, Attention, Block, FeedForward, GPTConfig, norm, start_at_zero
from modelcraft.model import LanguageModel, evaluating
from modelcraft.sampling import SamplingParams, sample
from modelcraft.support.errors import ConfigError, CorpusError, VocabularyError
from modelcraft.vowels import NOTHING, SOURCES, Lines, cut_lines, is_vowel, wrapped

Angles = tuple[Tensor, Tensor]  # cosines and sines
Offered = tuple[Tensor, Tensor]  # keys and values


@dataclass(frozen=True)
class EncoderDecoderConfig(GPTConfig):
    """The sizes of an encoder–decoder, `n_layer` blocks in each half, and what it must know of its characters.

    `newline`, `space` and `vowels` are their ids; `space` is the newline's where a text has no spaces.
    """

    block_size: int = field(default=96, metadata={"least": 2})  # a newline, and something to write
    n_embd: int = 128
    n_layer: int = field(default=4, metadata={"most": 64})
    n_kv_head: int = 4
    dropout: float = 0.05
    noise: float = 0.0
    newline: int = field(default=0, metadata={"least": 0})
    space: int = field(default=1, metadata={"least": 0})
    vowels: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "vowels", tuple(self.vowels))  # JSON has lists
        known = range(self.vocab_size)
        for name, tokens in (("newline", [self.newline]), ("space", [self.space]), ("vowels", self.vowels)):
            if any(isinstance(token, bool) or token not in known for token in tokens):
                raise ConfigError(f"{name} must be of the vocabulary, from 0 to {self.vocab_size - 1:,}.")


class DecoderBlock(nn.Module):
    """The GPT's block, with cross-attention in its middle."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.sa = Attention(config)
        self.ca = Attention(config)
        self.ffwd = FeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Tensor, positions: Angles, past: Tensor, cursor: Angles, offered: Offered, visible: Tensor
    ) -> Tensor:
        """Return (B, T, C) for (B, T, C); `offered` are the keys and values of the source, seen where `visible`."""
        x = x + self.dropout(self.sa(norm(x), *positions, past))
        x = x + self.dropout(self.ca.gather(self.ca.ask(norm(x), *cursor), *offered, visible))
        return x + self.dropout(self.ffwd(norm(x)))


class EncoderDecoder(LanguageModel):
    """Scores the next character of a text from what is written of it and from its source."""

    protocols: ClassVar[tuple[str, ...]] = SOURCES
    continues: ClassVar[bool] = False
    example: ClassVar[str] = "T b, r nt t b: tht s th qstn"
    config: EncoderDecoderConfig
    freqs: Tensor
    consonant: Tensor

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__(config)
        self.token_embedding_table = nn.Embedding(config.vocab_size, config.n_embd)  # the same for both texts
        self.dropout = nn.Dropout(config.dropout)
        self.encoder_blocks: Sequence[Block] = nn.ModuleList(Block(config) for _ in range(config.n_layer))  # type: ignore[assignment]
        self.blocks: Sequence[DecoderBlock] = nn.ModuleList(DecoderBlock(config) for _ in range(config.n_layer))  # type: ignore[assignment]
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        start_at_zero(self)
        half = config.head_size // 2
        self.register_buffer("freqs", ROPE_BASE ** (-torch.arange(half) / half), persistent=False)  # (hs/2,)
        consonant = torch.ones(config.vocab_size, dtype=torch.bool)  # and whatever else is no vowel
        consonant[list(config.vowels)] = False
        self.register_buffer("consonant", consonant, persistent=False)  # (V,)

    @classmethod
    def settings_for(cls, vocabulary: str) -> dict[str, Any]:
        """Return what of a config follows from the characters that the model is to know."""
        if "\n" not in vocabulary:
            raise CorpusError(
                "Restoring vowels is learned from lines, and this text has only one; break it into lines."
            )
        space = vocabulary.index(" " if " " in vocabulary else "\n")
        vowels = tuple(token for token, character in enumerate(vocabulary) if is_vowel(character))
        return super().settings_for(vocabulary) | {
            "newline": vocabulary.index("\n"),
            "space": space,
            "vowels": vowels,
        }

    @property
    def noise(self) -> float:
        """The share of the characters that `garble` replaces while the model is trained."""
        return self.config.noise

    def dataset(self, data: Tensor, block_size: int | None = None) -> Lines:
        """Return the lines of `data` (N,) and their sources."""
        c = self.config
        return Lines(data, c.vowels, c.newline, c.space, block_size or self.block_size, self.device)

    def forward(
        self, idx: Tensor, targets: Tensor | None = None, source: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Return logits (B, T, V) and, given `targets` (B, T), the mean loss in nats over those that are not -100.

        `idx` (B, T) is a newline and what is written of a line; `source` (B, S) is the line without its vowels, with
        its newline, filled up with -1, or None: there is none.
        """
        if source is None:
            source = torch.full_like(idx[:, :1], self.config.newline)  # (B, 1)
        visible = (source != NOTHING)[:, None]  # (B, 1, S)
        at = torch.arange(idx.shape[1], device=idx.device)
        past = at[:, None] >= at  # (T, T)
        positions, cursor = self.angles(at), self.angles(self.cursor(idx))
        x = self.embed(idx)  # (B, T, C)
        for block, offered in zip(self.blocks, self.encode(source, visible), strict=True):
            x = block(x, positions, past, cursor, offered, visible)
        logits = self.score(x)  # (B, T, V)
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=UNSCORED)

    def encode(self, source: Tensor, visible: Tensor) -> list[Offered]:
        """Read sources (B, S) as a whole; return what they offer to each of the decoder's blocks."""
        positions = self.angles(torch.arange(source.shape[1], device=source.device))
        x = self.embed(source.clamp(min=0))  # (B, S, C)
        for block in self.encoder_blocks:
            x = block(x, *positions, visible)
        return [block.ca.offer(norm(x), *positions) for block in self.blocks]

    def cursor(self, idx: Tensor) -> Tensor:
        """Count the consonants up to each position of `idx` (B, T), which begins with a newline: (B, T), from 0."""
        return self.consonant[idx].cumsum(1) - 1

    def angles(self, positions: Tensor) -> Angles:
        """Return the cosines and sines (..., 1, hs/2) of `positions` (...); one for all heads."""
        angles = positions[..., None, None] * self.freqs  # (..., 1, hs/2)
        return angles.cos(), angles.sin()

    def embed(self, idx: Tensor) -> Tensor:
        """Look the characters up: (B, T) -> (B, T, C)."""
        return self.dropout(norm(self.token_embedding_table(idx)))

    def score(self, x: Tensor) -> Tensor:
        """Turn what was computed into capped scores: (B, T, C) -> (B, T, V), in float32."""
        cap = self.config.logit_cap
        return cap * torch.tanh(self.lm_head(norm(x)).float() / cap)

    def sources(self, text: Tensor) -> list[Tensor]:
        """Return what the encoder reads of a prompt (N,): its lines one by one, without vowels, each with its newline.

        A line that would not fit when it is whole again is wrapped; one of vowels alone leaves nothing to read. Raises
        VocabularyError if all of the prompt does.
        """
        c, text = self.config, text.to(self.device)
        mark = text.new_tensor([c.newline])
        if text.is_meta:
            return [mark]
        found = []
        for line in (text[start:end] for start, end in cut_lines(text, c.newline, c.space, len(text))):
            consonants = line[self.consonant[line]]
            # Without its vowels a line is half as long, at the least.
            pieces = wrapped(line, c.space, c.block_size - 1 if len(consonants) < len(line) else c.block_size // 2)
            stripped = [line[start:end][self.consonant[line[start:end]]] for start, end in pieces]
            found += [torch.cat((piece, mark)) for piece in stripped if len(piece)]
        if not found:
            raise VocabularyError("Nothing is left to read without the vowels; write a line that has consonants, too.")
        return found

    def generate(
        self,
        idx: Tensor,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Restore the lines of `idx` (B, T), with at most `max_new_tokens` characters; returns (B, T + new).

        What is complete before is filled up with newlines. The slow and clear version: all is read anew each time.
        """
        params = SamplingParams(max_new_tokens=max_new_tokens, temperature=temperature, top_k=top_k, top_p=top_p)
        self.check_context(idx)
        newline = self.config.newline
        restored = idx.new_full((len(idx), max_new_tokens), newline)
        with evaluating(self):
            for text, row in zip(idx, restored, strict=True):
                written = 0
                for source in self.sources(text):
                    line = [newline]
                    while written < max_new_tokens and (len(line) == 1 or line[-1] != newline):
                        logits, _ = self(idx.new_tensor([line]), source=source[None])  # (1, T, V)
                        row[written] = sample(self.ended(logits[:, -1], [len(line)]), params, generator)
                        line.append(int(row[written]))
                        written += 1
        return torch.cat((idx, restored), dim=1)

    def ended(self, logits: Tensor, lengths: Sequence[int]) -> Tensor:
        """Let nothing but a newline follow, logits (B, V), where a line has come to the end of the context."""
        full = torch.tensor(lengths, device=logits.device)[:, None] >= self.block_size  # (B, 1)
        others = torch.arange(self.config.vocab_size, device=logits.device) != self.config.newline  # (V,)
        return logits.masked_fill(full & others, -torch.inf)
