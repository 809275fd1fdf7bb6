"""Tables as people's programs write them: separators, decimal commas and encodings are found out."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from src.runtime.errors import UsageError

SEPARATORS = (",", ";", "\t")
"""The latter two are what spreadsheets write where the comma is the decimal sign."""


def read_table_text(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 with its mark, as spreadsheets write it.

    Raises:
        UsageError: it is no text, or JSON.
    """
    # encodings: UTF-8 with or without a mark, and UTF-16 with one
    content = path.read_bytes()
    is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    not_text = UsageError(f"{path} is not a CSV table: it is not a text file in UTF-8")
    try:
        text = content.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeError:
        raise not_text from None
    if is_wide and not text.split("\n", 1)[0].isascii():  # any bytes make wide characters
        raise not_text
    # refused by name: as one line of a table it would be shown whole
    if re.match(r"\s*(\{|\[\s*[\[{\"])", text):
        raise UsageError(
            f"{path} is not a CSV table but JSON: write a header, arch,accuracy, and a row for each network"
        )
    return text


def separator_of(text: str) -> str:
    """The separator of a table's columns, by its header."""
    header = text.lstrip().split("\n", 1)[0]
    return max(SEPARATORS, key=header.count)


def has_decimal_commas(text: str, separator: str) -> bool:
    """Whether a table has a cell such as 0,93 and none such as 0.93."""
    if separator == ",":
        return False
    # cells that are whole numbers with a sign between digits; a list such as [0,5] is none
    cell = rf'(?:^|{separator})\s*"?-?\d+{{}}\d+"?\s*(?:{separator}|$)'
    comma, point = (re.search(cell.format(sign), text, re.MULTILINE) for sign in (",", r"\."))
    return comma is not None and point is None
