"""Check bounds where a value enters: of numbers and texts that clients send, and of a dataclass's fields."""

from dataclasses import fields
from types import UnionType
from typing import Any, get_args

from modelcraft.support.errors import ConfigError, shown
from modelcraft.support.wording import listing


def check_number(name: str, value: Any, low: float, high: float, whole: bool = False) -> None:
    """Raise ConfigError unless `value` is a number (whole if `whole` is set) from `low` to `high`, both finite."""
    kind = "a whole number" if whole else "a number"
    fits = isinstance(value, int) or (isinstance(value, float) and not whole)
    if isinstance(value, bool) or not fits or not low <= value <= high:  # NaN fails every comparison
        instead = type(value).__name__
        if fits and not isinstance(value, bool):
            instead = f"{value:,}" if not abs(value) >= 1e18 else "a number that large"
        raise ConfigError(f"{name} must be {kind} from {low:,} to {high:,}, not {instead}.")


def check_whole(name: str, value: Any, low: int, high: int) -> int:
    """Return `value` as an int if it is a whole number from `low` to `high` (5.0 counts), else raise ConfigError."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    check_number(name, value, low, high, whole=True)
    number: int = value
    return number


def check_text(name: str, value: Any, most: int) -> str:
    """Return `value` if it is text of at most `most` characters, without lone surrogates, else raise ConfigError."""
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be text, not {type(value).__name__}.")
    if len(value) > most:
        raise ConfigError(f"{name} must have at most {most:,} characters, not {len(value):,}.")
    if halves := dict.fromkeys(c for c in value if "\ud800" <= c <= "\udfff"):
        codes = listing([f"U+{ord(c):04X}" for c in halves])
        raise ConfigError(f"{name} holds halves of characters (lone surrogates {codes}); send whole ones.")
    return value


def check_fields(config: Any) -> None:
    """Raise ConfigError unless the fields of the dataclass `config` match their types and metadata.

    A whole number ranges from 1 to a million and any other number from 0 to 1, unless its metadata set `least` or
    `most`; it divides the field that its metadata name as `divides`. A switch is true or false, and a text is one of
    the `choices` in its metadata. A field may be None if its type allows it; other types are not checked.
    """
    for field in fields(config):
        name, value, bounds = field.name, getattr(config, field.name), field.metadata
        kinds = get_args(field.type) if isinstance(field.type, UnionType) else (field.type,)
        if value is None and type(None) in kinds:
            continue
        if bool in kinds and not isinstance(value, bool):
            raise ConfigError(f"{name} must be true or false, not {shown(value)}.")
        if int in kinds or float in kinds:
            whole = int in kinds
            low, high = bounds.get("least", 1 if whole else 0), bounds.get("most", 1_000_000 if whole else 1)
            check_number(name, value, low, high, whole)
        if "choices" in bounds and value not in bounds["choices"]:
            raise ConfigError(f"{name} must be one of {', '.join(bounds['choices'])}, not {shown(value)}.")
    for field in fields(config):
        if total := field.metadata.get("divides"):
            number, divisor = getattr(config, total), getattr(config, field.name)
            if number % divisor:
                raise ConfigError(f"{total} must be divisible by {field.name}, and {number} is not by {divisor}.")
