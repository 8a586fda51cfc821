import codecs
import errno
import hashlib
import os
from pathlib import Path

import pytest
import torch
from helpers import assert_one_sentence
from hypothesis import given
from hypothesis import strategies as st

from modelcraft import data
from modelcraft.data import (
    TINY_SHAKESPEARE,
    UNSCORED,
    Corpus,
    Windows,
    corpus_source,
    corpus_title,
    disjoint_windows,
    garble,
    get_batch,
    load_corpus,
    read_text,
    sliding_windows,
    spread_starts,
)
from modelcraft.support.errors import CorpusError
from modelcraft.tokenizer import CharTokenizer


def write(folder: Path, raw: bytes) -> Path:
    path = folder / "corpus.txt"
    path.write_bytes(raw)
    return path


@pytest.mark.cases
def test_line_endings_become_one_and_the_marks_of_order_go(tmp_path):
    corpus = load_corpus(write(tmp_path, b"\xef\xbb\xbf\xef\xbb\xbfone\r\ntwo\rthree\n\n\xef\xbb\xbf \xe2\x82\xac"))
    assert corpus.text == "one\ntwo\nthree\n\n €"
    assert corpus.name == "corpus.txt"
    assert corpus.encoding == "UTF-8"
    assert corpus.sha256 == hashlib.sha256("one\ntwo\nthree\n\n €".encode()).hexdigest()


@pytest.mark.cases
@pytest.mark.parametrize(
    ("codec", "encoding"),
    [
        ("utf-8", "UTF-8"),
        ("utf-8-sig", "UTF-8"),
        ("utf-16", "UTF-16"),
        ("windows-1252", "Windows-1252"),
        pytest.param(lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"), "UTF-16", id="utf-16-be"),
    ],
)
def test_the_encoding_is_recognised_and_told(tmp_path, codec, encoding):
    text = "“naïve” – Café, 5 €\n"
    raw = text.encode(codec) if isinstance(codec, str) else codec(text)
    corpus = load_corpus(write(tmp_path, raw))
    assert (corpus.text, corpus.encoding) == (text, encoding)


@pytest.mark.parametrize(
    ("raw", "part"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"abc\x81\xfe", "is not UTF-8 text (byte 3"),
        (("Việt " * 5).encode()[:-3], "is not UTF-8 text (byte 30"),  # cut within a character
        (b"\xff\xfea\x00b", "is not UTF-16 text (byte 4"),
        (b"abc\0abc", "NUL bytes"),
        ("abc".encode("utf-16-le"), "UTF-16 without a mark"),
        ("naïve".encode("utf-16-be"), "UTF-16 without a mark"),
        ("abc".encode("utf-32"), "NUL bytes"),
        (b"PK\x03\x04\x14\x00", "a Word document or another archive; open it, save it as plain text"),
        (b"\xd0\xcf\x11\xe0\xa1", "an old Word document"),
        (b"%PDF-1.7\nabc", "a PDF; open it, save it as plain text"),
        (rb"{\rtf1\ansi abc}", "a document in RTF"),
    ],
)
@pytest.mark.cases
def test_no_text(tmp_path, raw, part):
    with pytest.raises(CorpusError) as caught:
        load_corpus(write(tmp_path, raw))
    assert_one_sentence(caught.value, part)


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("missing.txt", "There is no corpus"),
        (".", "is a folder"),
        ("a\0b", "cannot be read"),
        pytest.param("a" * 5_000, "cannot be read", id="long"),
        ("~no-such-user-here/text.txt", "no-such-user-here"),
    ],
)
def test_no_such_corpus(tmp_path, monkeypatch, path, part):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorpusError) as caught:
        load_corpus(path)
    assert_one_sentence(caught.value, part)


def test_a_corpus_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(CorpusError) as caught:
        read_text(tmp_path / "secret.txt")
    assert_one_sentence(caught.value, "secret.txt", "Permission denied")


def test_the_environment_names_the_corpus_and_an_argument_wins(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELCRAFT_CORPUS", str(write(tmp_path, b"from the environment")))
    assert load_corpus().text == "from the environment"
    assert load_corpus("").text == "from the environment"
    other = tmp_path / "other.txt"
    other.write_text("from the argument")
    assert load_corpus(other).text == "from the argument"
    assert load_corpus(str(other)).text == "from the argument"


@pytest.mark.cases
def test_what_the_environment_names_holds_in_any_folder_and_has_a_title(tmp_path, monkeypatch):
    monkeypatch.chdir(write(tmp_path, b"from the environment").parent)
    monkeypatch.setenv("MODELCRAFT_CORPUS", os.path.relpath(next(tmp_path.iterdir())))
    assert Path(corpus_source()) == next(tmp_path.iterdir())
    assert corpus_title() == next(tmp_path.iterdir()).name
    monkeypatch.setenv("MODELCRAFT_CORPUS", "nowhere.txt")
    with pytest.raises(CorpusError, match="There is no corpus"):
        corpus_title()


@pytest.mark.cases
def test_nothing_is_fetched_for_a_title(monkeypatch):
    monkeypatch.setattr(data, "load_corpus", None)
    for name in ("", TINY_SHAKESPEARE):
        monkeypatch.setenv("MODELCRAFT_CORPUS", name)
        assert (corpus_source(), corpus_title()) == (TINY_SHAKESPEARE, "tiny Shakespeare")


def test_tiny_shakespeare_is_fetched_once(tmp_path, monkeypatch):
    fetched = []

    def fetch(url, path, sha256):
        fetched.append((url, sha256))
        path.write_text("Speak, speak.")

    monkeypatch.delenv("MODELCRAFT_CORPUS", raising=False)
    monkeypatch.setattr(data, "data_dir", lambda: tmp_path)
    monkeypatch.setattr(data, "download", fetch)
    assert load_corpus().text == load_corpus(TINY_SHAKESPEARE).text == "Speak, speak."
    assert fetched == [(data.TINY_SHAKESPEARE_URL, data.TINY_SHAKESPEARE_SHA256)]


def test_tiny_shakespeare_is_known_wherever_it_lies(corpus_text, tmp_path):
    assert len(corpus_text) == 1_115_394
    assert load_corpus(write(tmp_path, corpus_text.encode())).name == TINY_SHAKESPEARE


def test_split_is_nine_to_one_and_in_order():
    text = "".join(chr(97 + i % 26) for i in range(1_003))
    tokenizer = CharTokenizer.of(text)
    train, val = Corpus("x", text).splits(tokenizer, block_size=8)
    assert (len(train), len(val)) == (902, 101)
    assert train.dtype == val.dtype == torch.long
    assert tokenizer.decode(train.tolist()) + tokenizer.decode(val.tolist()) == text


@pytest.mark.parametrize(("length", "fits"), [(90, True), (80, False), (9, False), (2, False), (1, False)])
def test_a_text_needs_a_window_in_either_split(length, fits):
    corpus = Corpus("short.txt", ("ab" * length)[:length])
    tokenizer = CharTokenizer.of("ab")
    if fits:
        assert len(corpus.splits(tokenizer, block_size=8)[1]) == 9
        return
    with pytest.raises(CorpusError) as caught:
        corpus.splits(tokenizer, block_size=8)
    assert_one_sentence(caught.value, "'short.txt' is too short", "90 characters or more")


@given(st.integers(1, 2_000))
def test_the_length_that_the_error_names_is_enough(block_size):
    train, val = Corpus("x", "a" * (10 * (block_size + 1))).splits(CharTokenizer("a"), block_size)
    assert min(len(train), len(val)) >= block_size + 1


@given(st.integers(1, 12), st.integers(1, 40), st.integers(1, 30), st.integers(0, 2**40))
def test_batches_are_windows_of_the_data(block_size, more, batch_size, seed):
    text = torch.arange(block_size + more) * 3 + 5  # each character says where it stands
    x, y = get_batch(text, block_size, batch_size, torch.Generator().manual_seed(seed))
    assert x.shape == y.shape == (batch_size, block_size)
    starts = (x[:, 0] - 5) // 3
    assert ((starts >= 0) & (starts < more)).all()
    for row, start in enumerate(starts.tolist()):
        assert torch.equal(x[row], text[start : start + block_size])
        assert torch.equal(y[row], text[start + 1 : start + block_size + 1])


def test_every_start_is_as_likely_as_any_other():
    x, _ = get_batch(torch.arange(20), 8, 60_000, torch.Generator().manual_seed(0))
    counts = torch.bincount(x[:, 0], minlength=12)
    assert len(counts) == 12  # the last window's last target is the last character
    expected = 60_000 / 12
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert statistic < 37.4  # chi-square with 11 degrees of freedom: once in ten thousand


def test_a_seed_decides_the_batch_and_leaves_torchs_own_generator_alone():
    before = torch.get_rng_state()
    text = torch.arange(1_000)
    first, second, other = (get_batch(text, 8, 32, torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


@given(st.integers(0, 2**63), st.integers(2, 300), st.integers(1, 10_000))
def test_windows_that_are_spread_leave_no_part_out(first, many, room):
    starts = spread_starts(first, many, room)  # (B, 1)
    assert starts.shape == (many, 1) and starts.min() >= 0 and starts.max() < room
    circle = torch.cat((starts[:, 0].sort().values, starts.min()[None] + room))
    assert circle.diff().max() <= 2.62 * room / many + 1  # of any so many turns by the golden ratio
    half = many // 2  # whoever goes on later goes on at the same place
    assert torch.equal(
        starts, torch.cat((spread_starts(first, half, room), spread_starts(first + half, many - half, room)))
    )


def test_spread_windows_are_windows_of_the_data():
    text = torch.arange(1_000) * 3 + 5  # each character says where it stands
    batch = windows(text).draw(6, torch.Generator(), first=40)
    starts = (batch["idx"][:, 0] - 5) // 3
    assert torch.equal(starts, spread_starts(40, 6, 1_000 - batch["idx"].shape[1])[:, 0])
    assert torch.equal(batch["targets"], batch["idx"] + 3)


def test_a_batch_goes_where_it_is_wanted():
    x, y = get_batch(torch.arange(100), 8, 4, device="meta")
    assert x.is_meta and y.is_meta


def test_no_batch_from_a_text_that_is_too_short():
    with pytest.raises(CorpusError) as caught:
        get_batch(torch.arange(8), 8, 4)
    assert_one_sentence(caught.value)


@given(
    length=st.integers(2, 60),
    block_size=st.integers(1, 9),
    rows=st.integers(1, 4),
    longer=st.integers(0, 30),
)
def test_windows_score_every_character_but_the_first_once(length, block_size, rows, longer):
    text = torch.arange(length)
    side_by_side = list(disjoint_windows(text, block_size, rows))
    assert torch.cat([batch["targets"].flatten() for batch in side_by_side]).tolist() == list(range(1, length))
    sliding = list(sliding_windows(text, block_size, rows, block_size + longer))
    scored = torch.cat([batch["targets"][batch["targets"] != UNSCORED] for batch in sliding])
    assert sorted(scored.tolist()) == list(range(1, length))
    for batch in [*side_by_side, *sliding]:
        targets = batch["targets"]
        assert torch.equal((batch["idx"] + 1)[targets != UNSCORED], targets[targets != UNSCORED])
    for batch in sliding:  # a character that is scored has its whole context in view, or all that there is before it
        for row, place in (batch["targets"] != UNSCORED).nonzero().tolist():
            assert place + 1 >= min(block_size, batch["targets"][row, place])


def windows(data: torch.Tensor, block_size: int = 8, length: int = 8) -> Windows:
    return Windows(data, block_size, length, torch.device("cpu"))


def test_noise_replaces_its_share_of_what_is_read_and_nothing_of_what_is_to_be_predicted():
    text = torch.randint(11, (1_000,), generator=torch.Generator().manual_seed(5))
    clean = windows(text).draw(100, torch.Generator().manual_seed(1))
    assert torch.equal(clean["idx"][:, 1:], clean["targets"][:, :-1])
    for noise, within in ((0.5, 0.05), (0.05, 0.02)):
        noisy = windows(text).draw(100, torch.Generator().manual_seed(1), noise)
        assert torch.equal(noisy["targets"], clean["targets"])
        share = (noisy["idx"] != clean["idx"]).float().mean().item()
        assert share == pytest.approx(noise * 10 / 11, abs=within)  # one in eleven is replaced by itself


def test_garbled_is_its_share_by_characters_of_the_batch():
    idx = torch.randint(60, (200, 100), generator=torch.Generator().manual_seed(5))
    noisy = garble(idx, 0.1)
    changed = (noisy != idx).float().mean().item()
    assert 0.08 < changed < 0.11  # one in ten, a sixtieth of them by itself
    assert set(noisy.unique().tolist()) <= set(idx.unique().tolist())
    assert torch.equal(garble(idx, 0.0), idx)


def test_a_dataset_has_the_windows_of_both_protocols():
    text = torch.arange(100)
    disjoint = [batch["idx"] for batch in windows(text).windows("disjoint")]
    assert [tuple(idx.shape) for idx in disjoint] == [(12, 8), (1, 3)]
    sliding = list(windows(text, length=20).windows("sliding"))
    assert all(batch["idx"].shape[1] == 20 for batch in sliding)
    scored = torch.cat([batch["targets"][batch["targets"] != UNSCORED] for batch in sliding])
    assert torch.equal(scored.sort().values, text[1:])
