"""Rung: the encoder–decoder, which answers a speech with a speech.

The idea. All rungs so far go on with the text that they are given. Here there are two: one that is already there, and
one that is to be written. An encoder reads the first, a speech of the play, as a whole: its blocks have no mask, every
character may look at all others. A decoder writes the second, the reply, as a GPT would, and in each of its blocks it
also looks at the speech: the queries come from the reply, the keys and values from what the encoder made of the speech,

    wei = softmax(q(reply) @ k(speech)ᵀ / √head_size),    out = wei @ v(speech).

That is cross-attention. It is all that is new: no mask in the encoder, a third layer in the decoder's blocks. (Around
it three smaller things change. The heads of a layer are one matrix. The speech has positions of its own. And the loss
is taken over replies only.) The transformer of 2017 was this one, made for translation; a GPT is its decoder alone.

Listening has to be learned, and a decoder that gets along without the speech has no reason to begin: as long as the
encoder says nothing that helps, nobody asks it, and as long as nobody asks, it learns nothing. So while it is trained a
part of the speeches are `echo`es: the reply itself stands in the encoder. Whoever listens then knows every character.
What is learned there, to find what the speech has and to take it over, serves for the names and words that a real reply
takes up; and the share of echoes falls to 0 with the learning rate.

What it buys shows when the speech is changed: the exact loss on the replies is measured with the right speech in the
encoder, with a shuffled one (another reply's), and with none. Were cross-attention not used, the three would be equal:

    without echoes   1.6260 right, 1.6267 shuffled, 1.6262 none   (1,800 steps, contexts of 128: it did not listen)
    with echoes      1.5784 right, 1.5809 shuffled, 1.5759 none   (3,000 steps, contexts of 192; bundled)

With echoes another's speech is worse than the right one: it listens. But on new text it wins nothing by that yet, and
does as well without any speech.

Before you run it: a mask kept every rung from peeking at what it has to predict. Why may the encoder do without? (What
is to be predicted is the reply, and none of it is in the speech.)
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelcraft.data import UNSCORED
from modelcraft.dialogue import SOURCES, Dialogue, as_source
from modelcraft.feedforward import FeedForward
from modelcraft.model import LanguageModel, evaluating, start_even
from modelcraft.multihead import MultiHeadConfig
from modelcraft.residual import BlockConfig
from modelcraft.sampling import SamplingParams, sample
from modelcraft.support.errors import ConfigError

# --- the blocks: one that reads a text as a whole, and one that writes another while it looks at the first ---


def attend(q: Tensor, k: Tensor, v: Tensor, visible: Tensor, dropout: float = 0.0) -> Tensor:
    """Gather as a `Head` does, for all heads at once: q (B, nh, T, hs), k and v (B, nh, S, hs) -> (B, nh, T, hs).

    `visible` is true where a position may look; it broadcasts to (B, nh, T, S). A test holds this equal to
    `F.scaled_dot_product_attention`, with which a training step on a CPU takes a quarter more.
    """
    wei = q @ k.transpose(-2, -1) * k.shape[-1] ** -0.5  # (B, nh, T, hs) @ (B, nh, hs, S) -> (B, nh, T, S)
    wei = wei.masked_fill(~visible, -torch.inf)
    wei = wei.softmax(-1)  # (B, nh, T, S)
    wei = F.dropout(wei, dropout)
    return wei @ v  # (B, nh, T, S) @ (B, nh, S, hs) -> (B, nh, T, hs)


class Attention(nn.Module):
    """The heads of `MultiHeadAttention` side by side in one matrix, for positions of one text or of two.

    Who is asked need not be who asks: `offer` makes keys and values of whatever there is to gather from.
    """

    def __init__(self, config: MultiHeadConfig) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.key = nn.Linear(config.n_embd, config.n_embd, bias=False)
        self.query = nn.Linear(config.n_embd, config.n_embd, bias=False)
        self.value = nn.Linear(config.n_embd, config.n_embd, bias=False)
        self.proj = nn.Linear(config.n_embd, config.n_embd)
        self.dropout = nn.Dropout(config.dropout)

    def split(self, x: Tensor) -> Tensor:
        """Deal the C numbers of each position out to the heads, (B, T, C) -> (B, nh, T, hs)."""
        B, T, _ = x.shape
        return x.view(B, T, self.n_head, -1).transpose(1, 2)

    def offer(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Make the keys and values (B, nh, S, hs) of what stands in x (B, S, C)."""
        return self.split(self.key(x)), self.split(self.value(x))

    def forward(self, x: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> Tensor:
        """Let each position of x (B, T, C) gather from k and v (B, nh, S, hs) where `visible` says so -> (B, T, C)."""
        q = self.split(self.query(x))  # (B, nh, T, hs)
        out = attend(q, k, v, visible, self.dropout.p if self.training else 0.0)  # (B, nh, T, hs)
        out = out.transpose(1, 2).flatten(-2)  # (B, T, C): the heads' numbers in a row again
        return self.dropout(self.proj(out))


class EncoderBlock(nn.Module):
    """A transformer block without the mask: it reads a text that is already there, so all may look at all."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.sa = Attention(config)
        self.ffwd = FeedForward(config)
        self.ln1 = nn.LayerNorm(config.n_embd)
        self.ln2 = nn.LayerNorm(config.n_embd)

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        """Read, (B, S, C) -> (B, S, C); `visible` leaves out what only fills a row up."""
        offered = self.ln1(x)
        x = x + self.sa(offered, *self.sa.offer(offered), visible)
        x = x + self.ffwd(self.ln2(x))
        return x


class KeysAndValues(dict[nn.Module, tuple[Tensor, Tensor]]):
    """What each layer has computed of the reply so far. The past never changes, so neither do its keys and values."""

    def extend(self, layer: nn.Module, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Append the newest keys and values (..., T, hs) to those that `layer` has; return all of them."""
        if layer in self:
            past_k, past_v = self[layer]
            k, v = torch.cat((past_k, k), dim=-2), torch.cat((past_v, v), dim=-2)
        self[layer] = k, v
        return k, v


class DecoderBlock(nn.Module):
    """A transformer block with a third layer in its middle, cross-attention: it asks, and the other text answers."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.sa = Attention(config)
        self.ca = Attention(config)
        self.ffwd = FeedForward(config)
        self.ln1 = nn.LayerNorm(config.n_embd)
        self.ln2 = nn.LayerNorm(config.n_embd)
        self.ln_ca = nn.LayerNorm(config.n_embd)

    def forward(self, x: Tensor, k: Tensor, v: Tensor, visible: Tensor, cache: KeysAndValues | None = None) -> Tensor:
        """Write, (B, T, C) -> (B, T, C), with an eye on what the other text offers: `k` and `v`, where `visible`.

        With a cache `x` holds the newest positions only.
        """
        own = self.ln1(x)
        own_k, own_v = self.sa.offer(own)
        if cache is not None:
            own_k, own_v = cache.extend(self.sa, own_k, own_v)
        T, S = x.shape[1], own_k.shape[2]
        past = torch.ones((T, S), dtype=torch.bool, device=x.device).tril(S - T)  # (T, S)
        x = x + self.sa(own, own_k, own_v, past)
        x = x + self.ca(self.ln_ca(x), k, v, visible)
        x = x + self.ffwd(self.ln2(x))
        return x


# --- the model ---


@dataclass(frozen=True)
class EncoderDecoderConfig(BlockConfig):
    """The sizes of an encoder–decoder: `n_layer` blocks each, a context of `block_size` each.

    `newline` is the id of the newline: a reply begins after one and ends with two. `echo` is the share of the replies
    that are practised with themselves as the speech; it falls with the learning rate.
    """

    block_size: int = 192
    n_embd: int = 128
    echo: float = 0.25
    newline: int = field(default=0, metadata={"least": 0})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.newline >= self.vocab_size:
            raise ConfigError(
                f"newline must be a token of the vocabulary, below {self.vocab_size}, not {self.newline}."
            )


@dataclass
class Heard:
    """What the decoder looks at: the keys and values (B, nh, S, hs) that its blocks make of the speech."""

    offered: list[tuple[Tensor, Tensor]]
    visible: Tensor  # (B, 1, 1, S): false where a row is only filled up


@dataclass
class Turn:
    """One reply while it is written, and the speech it answers."""

    speech: Tensor  # (N,): as it was said
    source: Tensor  # (S,): what the encoder reads of it
    owed: int  # newlines that its blank line still lacks: they are written before the reply
    reply: Tensor  # (T,): the newline that it starts from, and what was written
    heard: Heard | None = None  # the speech, once it has been read
    known: KeysAndValues = field(default_factory=KeysAndValues)  # what the decoder has computed of the reply so far
    done: int = 0  # how many characters of the reply that is


class EncoderDecoder(LanguageModel):
    """Score the next character of a reply from the reply so far and the speech that it answers.

    To `generate` and `step` the first context is the speech; the blank line that ends it is written if it is not there,
    and then the reply. After its blank line the play goes on: the reply is the next speech, and the model answers
    itself.
    """

    protocols: ClassVar[tuple[str, ...]] = SOURCES
    config: EncoderDecoderConfig

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__(config)
        self.token_embedding_table = nn.Embedding(config.vocab_size, config.n_embd)  # the same for both texts
        self.source_position_embedding_table = nn.Embedding(1 + config.block_size, config.n_embd)
        self.encoder_blocks: Sequence[EncoderBlock] = nn.ModuleList(EncoderBlock(config) for _ in range(config.n_layer))  # type: ignore[assignment]
        self.ln_source = nn.LayerNorm(config.n_embd)
        self.position_embedding_table = nn.Embedding(config.block_size, config.n_embd)
        self.blocks: Sequence[DecoderBlock] = nn.ModuleList(DecoderBlock(config) for _ in range(config.n_layer))  # type: ignore[assignment]
        self.ln_f = nn.LayerNorm(config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size)
        start_even(self.lm_head)

    @property
    def noise(self) -> float:
        """The share of the replies that are practised as echoes."""
        return self.config.echo

    def dataset(self, data: Tensor, block_size: int | None = None) -> Dialogue:
        """Find the speeches in `data` (N,)."""
        return Dialogue(data, self.config.newline, block_size or self.block_size, self.device)

    def encode(self, source: Tensor) -> Heard:
        """Read speeches (B, S), S <= block_size; shorter ones are filled up with -1 on the right."""
        # A newline goes before each: so even an empty speech is something to look at, and softmax has a sum.
        source = F.pad(source, (1, 0), value=self.config.newline)  # (B, 1+S)
        visible = (source >= 0)[:, None, None, :]  # (B, 1, 1, 1+S): to every head and every position that asks
        tok_emb = self.token_embedding_table(source.clamp(min=0))  # (B, 1+S, C)
        pos_emb = self.source_position_embedding_table(torch.arange(source.shape[1], device=source.device))  # (1+S, C)
        x = tok_emb + pos_emb  # (B, 1+S, C)
        for block in self.encoder_blocks:
            x = block(x, visible)
        x = self.ln_source(x)
        return Heard([block.ca.offer(x) for block in self.blocks], visible)

    def decode(self, idx: Tensor, heard: Heard, known: KeysAndValues | None = None, start: int = 0) -> Tensor:
        """Score the next characters of replies, (B, T) -> (B, T, V).

        With `known` the `start` characters before `idx` have been read, and only `idx` is.
        """
        tok_emb = self.token_embedding_table(idx)  # (B, T, C)
        pos_emb = self.position_embedding_table(torch.arange(start, start + idx.shape[1], device=idx.device))  # (T, C)
        x = tok_emb + pos_emb  # (B, T, C)
        for block, (k, v) in zip(self.blocks, heard.offered, strict=True):
            x = block(x, k, v, heard.visible, known)
        return self.lm_head(self.ln_f(x))  # (B, T, V)

    def forward(
        self, idx: Tensor, targets: Tensor | None = None, source: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Return logits (B, T, V) and, given `targets` (B, T), the mean loss in nats over those that are not -100.

        `idx` (B, T) begins with a newline, or in the middle of a reply; `source` (B, S) are the speeches, filled up
        with -1, or None: there was no speech.
        """
        if source is None:
            source = idx[:, :0]  # (B, 0)
        logits = self.decode(idx, self.encode(source))
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=UNSCORED)

    def hear(self, speech: Tensor) -> Turn:
        """Begin the reply to `speech` (N,)."""
        newline, block_size = self.config.newline, self.block_size
        speech = speech[-block_size:]
        source = as_source(speech, newline, block_size)
        last = [newline, newline] if speech.is_meta else speech[-2:].tolist()
        owed = 2 if last[-1:] != [newline] else 2 - last.count(newline)
        return Turn(speech, source, owed, reply=speech.new_full((1,), newline))

    def read(self, turn: Turn, token: Tensor) -> Turn:
        """Append `token` (1,) to the reply; if that ends it, return the turn that answers it."""
        if turn.owed:
            return self.hear(torch.cat((turn.speech, token)))
        turn.reply = torch.cat((turn.reply, token))
        written = turn.reply[1:]
        ended = len(written) >= 2 and not written.is_meta and bool((written[-2:] == self.config.newline).all())
        return self.hear(written) if ended else turn

    def generate(
        self,
        idx: Tensor,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Answer the speeches `idx` (B, T) with `max_new_tokens` characters; returns both, (B, T + new).

        This is the slow and clear version: the speech and the reply are read anew for every character.
        """
        params = SamplingParams(max_new_tokens=max_new_tokens, temperature=temperature, top_k=top_k, top_p=top_p)
        self.check_context(idx)
        turns = [self.hear(speech) for speech in idx]
        with evaluating(self):
            for _ in range(params.max_new_tokens):
                logits = torch.cat([self._answer(turn) for turn in turns])  # (B, V): each reply is as long as it is
                idx_next = sample(logits, params, generator)[:, None]  # (B, 1)
                turns = [self.read(turn, token) for turn, token in zip(turns, idx_next, strict=True)]
                idx = torch.cat((idx, idx_next), dim=1)  # (B, T+1)
        return idx

    def _answer(self, turn: Turn) -> Tensor:
        if turn.owed:
            return self._certainly_a_newline(turn)
        logits, _ = self(turn.reply[None, -self.block_size :], source=turn.source[None])  # (1, T, V)
        return logits[:, -1]  # (1, V)

    def _certainly_a_newline(self, turn: Turn) -> Tensor:
        logits = torch.full((1, self.config.vocab_size), -torch.inf, device=turn.speech.device)
        logits[:, self.config.newline] = 0
        return logits

    def answer(self, turn: Turn) -> Tensor:
        """Return the logits (1, V) of what follows a turn, as `generate` has them.

        The speech is encoded once, and of a reply only what is new is read, unless it is longer than the context: then
        that is read again, as in all rungs.
        """
        if turn.owed:
            return self._certainly_a_newline(turn)
        if turn.heard is None:
            turn.heard = self.encode(turn.source[None])
        if len(turn.reply) > self.block_size:
            return self.decode(turn.reply[None, -self.block_size :], turn.heard)[:, -1]
        newest = turn.reply[None, turn.done :]  # (1, T)
        logits = self.decode(newest, turn.heard, turn.known, start=turn.done)
        turn.done = len(turn.reply)
        return logits[:, -1]  # (1, V)
