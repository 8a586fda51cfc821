"""Every error a user can cause: one sentence that says what was wrong and what to do.

The command lines print the sentence and exit with 1. The page and the API answer with `for_visitors`: the same
sentence, unless that names a path or advises the owner of the machine.
"""

import re

MAX_SENTENCE = 500  # characters
FOR_VISITOR = "MODELCRAFT_FOR_VISITOR"  # names the file for the visitor's sentence, if a command runs for a visitor


class ModelCraftError(Exception):
    """The base class: `str(error)` is the sentence, `exit_code` the exit code of a command line.

    Visitors read `for_visitors` instead: the given one, else the class's `visitors`, else the same sentence.
    """

    exit_code = 1
    visitors: str | None = None

    def __init__(self, sentence: str, for_visitors: str | None = None) -> None:
        super().__init__(bounded(sentence))
        self.for_visitors = bounded(for_visitors or self.visitors or sentence)


class ModelCraftWarning(UserWarning):
    """Something went differently than asked, but the work went on: one sentence, which the command lines print."""


class CorpusError(ModelCraftError):
    """A text that cannot be obtained, read or trained on."""


class VocabularyError(ModelCraftError, ValueError):
    """A character or a token id that the model does not know."""


class ConfigError(ModelCraftError, ValueError):
    """A setting that makes no sense, of a model, a training, sampling or a request."""


class CheckpointError(ModelCraftError):
    """A model folder or a training state that cannot be loaded."""

    visitors = "This model cannot be loaded here at the moment; choose another."


class HubError(ModelCraftError):
    """The Hugging Face Hub did not do what was asked."""


class ModelError(ModelCraftError):
    """A model that does not compute what it should."""


class TrainingError(ModelCraftError):
    """A training that cannot continue."""

    visitors = "The training broke off; start it again."


def bounded(sentence: str) -> str:
    """Return `sentence` without its middle if it is too long: it begins with the problem and ends with the advice."""
    if len(sentence) <= MAX_SENTENCE:
        return sentence
    head = MAX_SENTENCE // 2
    return f"{sentence[:head]} … {sentence[head + 3 - MAX_SENTENCE :]}"


class StartError(ModelCraftError):
    """The app cannot start on this machine as it is set up."""


def shown(value: object) -> str:
    """Return a short form of any `value`, however large, to use in a sentence."""
    try:
        written = repr(value)
    except (ValueError, RecursionError):  # thousands of digits, or endlessly nested lists
        return f"{type(value).__name__} of that size"
    return written if len(written) <= 60 else f"{written[:60]}…"


TOKEN = "hf_"  # the prefix of a Hub token
PLAIN = re.compile(r"([A-Za-z]:[/\\])?[\w ./\\~-]*|[\w.-]+/[\w.-]+@[\w./-]+")  # a path, a word; user/repo@revision


def is_plain(name: str) -> bool:
    """Say whether an error may repeat `name`, given as a model's name: it holds neither an address nor a token."""
    return bool(PLAIN.fullmatch(name)) and TOKEN not in name


def one_line(error: BaseException) -> str:
    """Return the message of another library's error in one short line."""
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__


class BusyError(ModelCraftError):
    """There is no room for another request; `seconds` says when there may be."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Busy, try again in {seconds:,} second{'s' if seconds != 1 else ''}.")
        self.seconds = seconds


class UnreadError(ModelCraftError):
    """A requested text ended because nobody read it."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Nobody read this text for {seconds:,.0f} seconds, so it was ended; ask for it again.")
