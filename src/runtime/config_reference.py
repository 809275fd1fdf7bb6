"""The keys of conf/, each explained once: in the comment behind its value.

    clip_norm: null  # largest gradient norm of an update; null: no clipping [null | >0..]

The comment is the meaning of the key, and the brackets at its end are the values that it takes
(src/runtime/value_spec.py has their grammar). From these lines come the checks, the one-line refusals and `--help`.

- The comment lines at the top of a file describe it: of conf/<command>.yaml they are the manual of the command, of
  conf/<group>/<option>.yaml the option.
- Comment lines directly above a key, indented as it, begin its meaning; one before a blank line is a heading.
- A section (a key with keys below it) takes only these, unless its comment ends in [open] or it has a `_target_`,
  whose constructor knows what else it takes.
- Files of one group explain a key once between them, if they have the same `_target_` or none. A comment without
  brackets is then a note on the value in this file.
- `hydra`, `choices` and `defaults` are Hydra's, and not explained.

The files are read line by line, without a YAML parser: a value is one line, and only conf/ has to be read this way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from src.runtime.value_spec import ValueSpec, parse_spec

CONF = Path(__file__).resolve().parents[2] / "conf"
HIDDEN = ("hydra", "choices", "defaults")
OPEN, EXPERIMENT = "open", "experiment"
KEY = re.compile(r"( *)([\w.-]+):(?: +(.*))?")
COMMENT = re.compile(r"(?:^|\s)#\s?")
BRACKETS = re.compile(r"(.*?)\s*\[([^\[\]]*)\]")
DEFAULT = re.compile(r"- (?:(override|optional) )?/?([\w/@.]+)(?:: (\S+))?")


@dataclass(frozen=True)
class Entry:
    """One key of a file."""

    key: str
    """Dotted, from the root of the configuration."""
    default: str
    """As written; empty for a section."""
    meaning: str
    spec: ValueSpec | None = None
    is_open: bool = False
    target: str | None = None
    """The `_target_` of the nearest section above that has one."""
    is_set_only: bool = False
    """An experiment gives another value to a key that is explained elsewhere."""


@dataclass(frozen=True)
class ConfigFile:
    """The contents of one file of conf/."""

    header: str
    defaults: tuple[tuple[str, str, str | None], ...]
    """(override, optional or nothing; group; option) in order; a file of the same group has no option."""
    entries: dict[str, Entry]


@dataclass(frozen=True)
class Reference:
    """All keys that a command can have, whichever options are chosen."""

    entries: dict[tuple[str | None, str], Entry]
    """By target and dotted key."""
    nullable: frozenset[str]
    """Sections that may be null."""

    def find(self, key: str, target: str | None) -> Entry | None:
        """The explanation of a key in a section with this `_target_`, or with none."""
        return self.entries.get((target, key))

    def below(self, section: str, target: str | None) -> list[str]:
        """The names of the keys directly in a section."""
        start = f"{section}."
        keys = [key[len(start) :] for of, key in self.entries if of == target and key.startswith(start)]
        return list(dict.fromkeys(key.partition(".")[0] for key in keys))


@lru_cache
def read_reference(command: str) -> Reference:
    """The keys of conf/<command>.yaml and of every option of its groups."""
    primary = read_file(CONF / f"{command}.yaml")
    files = [primary, *(read_option(group, n) for group in groups_of(primary) for n in options_of(group, command))]
    entries: dict[tuple[str | None, str], Entry] = {}
    nullable = set()
    for entry in (entry for file in files for entry in file.entries.values()):
        # an experiment sets keys of other files; only those that it alone has are explained in it
        if entry.is_set_only:
            continue
        known = entries.get((entry.target, entry.key))
        if known is None or (known.spec is None and entry.spec):
            entries[entry.target, entry.key] = entry
        if entry.default == "null":
            nullable.add(entry.key)
    return Reference(entries, frozenset(nullable))


def groups_of(file: ConfigFile) -> list[str]:
    """The config groups that a command has, in the order of its defaults; those put elsewhere by @ are not choices."""
    return [group for kind, group, _ in file.defaults if kind != "override" and re.fullmatch("[a-z]+(_[a-z]+)*", group)]


def options_of(group: str, command: str | None = None) -> list[str]:
    """The names of the files of a group, in folders too; of experiments those whose heading runs the command."""
    folder = CONF / group
    names = sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))
    if group != EXPERIMENT or command is None:
        return names
    return [name for name in names if f"python -m src.{command} " in read_option(group, name).header]


@lru_cache
def read_option(group: str, name: str) -> ConfigFile:
    """A file of a group, over the files of the group that its defaults name."""
    file = read_file(CONF / group / f"{name}.yaml", group)
    # the keys of the files that this one starts from, then its own over them
    entries: dict[str, Entry] = {}
    for _, base, option in file.defaults:
        if option is None and base != "_self_":
            entries |= read_option(group, base).entries
    for key, entry in file.entries.items():
        entries[key] = merge(entry, entries[key]) if key in entries else entry
    # classes are known only now: _target_ may stand in another file of the group
    targets = {key.removesuffix("._target_"): e.default for key, e in entries.items() if key.endswith("._target_")}
    entries = {key: replace(entry, target=nearest_target(key, targets)) for key, entry in entries.items()}
    if group == EXPERIMENT:
        entries = {key: replace(entry, is_set_only=not (entry.spec or entry.meaning)) for key, entry in entries.items()}
    return replace(file, entries=entries)


def merge(entry: Entry, other: Entry) -> Entry:
    """The first one as the other explains it, if it does not itself; its own comment is then a note."""
    is_note = entry.spec is None and other.spec is not None
    return replace(
        entry,
        meaning="; ".join(filter(None, [other.meaning, entry.meaning])) if is_note else entry.meaning or other.meaning,
        spec=entry.spec or other.spec,
        is_open=entry.is_open or other.is_open,
    )


def read_file(path: Path, group: str = "") -> ConfigFile:
    """One file of conf/ by itself; `group` is where its keys go, unless it says `# @package _global_`."""
    lines = path.read_text().splitlines()
    if lines and lines[0].startswith("# @package _global_"):
        lines, group = lines[1:], ""
    length = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    header = "\n".join(line[2:] for line in lines[:length])
    entries = {group: Entry(group, "", "")} if group else {}
    entries |= {entry.key: entry for entry in read_entries(lines[length:], group)}
    return ConfigFile(header, tuple(read_defaults(lines)), entries)


def read_entries(lines: list[str], group: str) -> Iterator[Entry]:
    """Every key of the lines below a file's heading, sections before what is in them."""
    above: list[tuple[int, str]] = [(-1, group)] if group else []  # the sections around a line, by indentation
    notes: list[str] = []  # comment lines since the last key or blank line
    for line in lines:
        code, comment = split_comment(line)
        match = KEY.fullmatch(code)
        if not match:
            notes = [*notes, comment] if comment and not code.strip() else []
            continue
        indent, name, default = len(match[1]), match[2], match[3] or ""
        above = [*(section for section in above if section[0] < indent), (indent, name)]
        # the brackets at the end of the comment are the values, the rest is the meaning
        meaning = " ".join([*notes, comment]).strip()
        brackets = BRACKETS.fullmatch(meaning)
        meaning, spec = (brackets[1], brackets[2]) if brackets else (meaning, "")
        notes = []
        if above[bool(group)][1] not in HIDDEN:
            key, is_open = ".".join(name for _, name in above), spec == OPEN
            yield Entry(key, default, meaning, parse_spec(spec) if spec and not is_open else None, is_open)


def read_defaults(lines: list[str]) -> Iterator[tuple[str, str, str | None]]:
    """The entries of the defaults list, one a line or all in brackets."""
    start = next((i for i, line in enumerate(lines) if line.startswith("defaults:")), None)
    if start is None:
        return
    # in brackets on the same line
    inline = lines[start].removeprefix("defaults:").strip(" []")
    for name in filter(None, inline.split(", ")):
        yield "", name, None
    # one a line, up to the first key below
    for line in lines[start + 1 :]:
        match = DEFAULT.fullmatch(split_comment(line)[0].strip())
        if not match:
            break
        yield match[1] or "", match[2], match[3]


def split_comment(line: str) -> tuple[str, str]:
    """A line's YAML and its comment."""
    match = COMMENT.search(line)  # no value in conf/ has a # of its own
    return (line[: match.start()].rstrip(), line[match.end() :].strip()) if match else (line.rstrip(), "")


def nearest_target(key: str, targets: dict[str, str]) -> str | None:
    """The `_target_` of the innermost section around a key that has one; `targets` by section."""
    parts = key.split(".")[:-1]
    sections = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((targets[section] for section in sections if section in targets), None)
