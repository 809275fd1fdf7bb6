"""The values that a configuration key takes, read from the brackets of its comment in conf/.

    [true | false]              [sum | mean]               words, one of which is to be given
    [0..1] [1..] [>0..<1]       numbers between two bounds; > and < exclude a bound
    [whole 1..1024] [number]    whole numbers; any number
    [seed]                      whole numbers from 0 that 63 bits hold
    [all | whole 2.. | file]    alternatives of different kinds; also null, text, file, folder, any
    [some of running | batch]   one of the values, or a non-empty list of them
    [list of whole 1..]         a list, which may be empty

src/runtime/config_reference.py reads the comments. Only the standard library is imported: `--help` and refusals are to
come at once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from src.runtime.errors import UsageError, unknown

NUMBER = r"[-+\d.e]*?"
INTERVAL = re.compile(rf"(whole )?(>?)({NUMBER})\.\.(<?)({NUMBER})")
KINDS = {"null": "null", "text": "text", "file": "a file", "folder": "a folder", "any": "any value"}
BOOLEANS = ("true", "false")
SEVERAL = ("some of ", "list of ")


@dataclass(frozen=True)
class Word:
    """One literal value, such as `mean`, `true` or `2`."""

    word: str

    def accepts(self, value: object) -> bool:
        """Booleans are no text; a number is compared as it is written."""
        return value is not None and written(value) == self.word and isinstance(value, bool) == (self.word in BOOLEANS)


@dataclass(frozen=True)
class Kind:
    """Any value of a kind: null, text, file, folder or any."""

    kind: str

    def accepts(self, value: object) -> bool:
        """Whether a file or folder exists is not looked at."""
        return self.kind == "any" or (value is None if self.kind == "null" else isinstance(value, str))

    def described(self) -> str:
        """For a message, such as `a file`."""
        return KINDS[self.kind]


@dataclass(frozen=True)
class Interval:
    """Finite numbers from `low` to `high`."""

    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    above_low: bool = False
    below_high: bool = False

    def accepts(self, value: object) -> bool:
        """A boolean is not a number here, although Python counts it as one."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        is_low = value <= self.low if self.above_low else value < self.low
        is_high = value >= self.high if self.below_high else value > self.high
        return math.isfinite(value) and not is_low and not is_high

    def described(self) -> str:
        """For a message, such as `a whole number of at least 1`."""
        kind = "a whole number" if self.whole else "a number"
        # open bounds need words of their own; two closed ones read as a range
        if math.isinf(self.low) and math.isinf(self.high):
            return kind
        if math.isinf(self.high):
            return f"{kind} {'above' if self.above_low else 'of at least'} {self.low:g}"
        if self.above_low or self.below_high or math.isinf(self.low):
            low = "" if math.isinf(self.low) else f" {'above' if self.above_low else 'of at least'} {self.low:g} and"
            return f"{kind}{low} {'below' if self.below_high else 'at most'} {self.high:g}"
        return f"{kind} from {self.low:g} to {self.high:g}"


NAMED = {"number": Interval(), "whole": Interval(whole=True), "seed": Interval(0, 2**63 - 1, whole=True)}


@dataclass(frozen=True)
class Several:
    """A list of values; `alone` also takes a single value, and no empty list."""

    items: ValueSpec
    alone: bool

    def accepts(self, value: object) -> bool:
        """A string is one value, not a list of letters."""
        if isinstance(value, Sequence) and not isinstance(value, str):
            return all(self.items.accepts(item) for item in value) and not (self.alone and not value)
        return self.alone and self.items.accepts(value)

    def described(self) -> str:
        """For a message."""
        return f"a list of values, each {self.items.described()}"


@dataclass(frozen=True)
class ValueSpec:
    """The alternatives of a key; a value is right if one of them accepts it."""

    text: str
    alternatives: tuple[Word | Kind | Interval | Several, ...]

    def accepts(self, value: object) -> bool:
        """`value` as OmegaConf gives it: lists are sequences."""
        return any(alternative.accepts(value) for alternative in self.alternatives)

    def refusal(self, key: str, value: object) -> UsageError:
        """The one line for a value that is not accepted; it says what would be."""
        # in a list only the wrong item is named
        several = next((a for a in self.alternatives if isinstance(a, Several)), None)
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        if several and isinstance(value, Sequence) and not isinstance(value, str):
            for item in value:
                if not several.items.accepts(item):
                    return several.items.refusal(key, item)
        if several and (is_list or several.alone):
            shown = f"{key} is empty" if is_list else f"{key}={written(value)}"
            return UsageError(f"{shown}: use one or several of {several.items.described()}")
        # among words alone the nearest one can be suggested
        words = [a.word for a in self.alternatives if isinstance(a, Word)]
        others = [a for a in self.alternatives if not isinstance(a, Word) and a != Kind("null")]
        if words and not others and words != list(BOOLEANS):
            return unknown(key, written(value), [*words, *(["null"] if len(words) < len(self.alternatives) else [])])
        return UsageError(f"{key}={written(value)}: use {self.described()}")

    def described(self) -> str:
        """All alternatives in words."""
        words = [a.word for a in self.alternatives if isinstance(a, Word)]
        rest = [a.described() for a in self.alternatives if not isinstance(a, Word)]
        together = (" or " if words == list(BOOLEANS) else ", ").join(words)
        return " or ".join(filter(None, [together, *rest]))


def parse_spec(text: str) -> ValueSpec:
    """The specification written in the brackets; unknown words are literal values."""
    alternatives: list[Word | Kind | Interval | Several] = []
    rest = text
    while rest:
        # a list takes the rest of the brackets, alternatives and all
        if rest.startswith(SEVERAL):
            alternatives.append(Several(parse_spec(rest[len(SEVERAL[0]) :]), alone=rest.startswith(SEVERAL[0])))
            break
        part, _, rest = (piece.strip() for piece in rest.partition("|"))
        # an interval has two dots; a name stands for one; what is not a kind of value is the value itself
        match = INTERVAL.fullmatch(part)
        if match:
            whole, above, low, below, high = match.groups()
            limits = (float(low or -math.inf), float(high or math.inf))
            alternatives.append(Interval(*limits, bool(whole), bool(above), bool(below)))
        elif part in NAMED:
            alternatives.append(NAMED[part])
        else:
            alternatives.append(Kind(part) if part in KINDS else Word(part))
    return ValueSpec(text, tuple(alternatives))


def written(value: object) -> str:
    """A value as it is written on a command line."""
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)
