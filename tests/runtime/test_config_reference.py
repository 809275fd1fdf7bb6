"""Every key of conf/ is explained where it stands, and the explanations are what the checks enforce."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from src.benches.config_checks import with_space
from src.runtime import hydra_job  # noqa: F401 - registers the resolvers
from src.runtime.config_reference import (
    CONF,
    HIDDEN,
    groups_of,
    options_of,
    read_file,
    read_option,
    read_reference,
)
from src.runtime.errors import UsageError
from src.runtime.run_folder import LISTED_PATHS, PROTOCOLS, RANK_BY
from src.runtime.validate import check_keys
from src.runtime.value_spec import parse_spec

COMMANDS = sorted(path.stem for path in CONF.glob("*.yaml"))
FILLED = {"search_space", "recipe", "study"}
"""Sections that are null until an option fills them."""
FILES = sorted(path.relative_to(CONF) for path in CONF.rglob("*.yaml"))


def leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict) and node:
        for name, value in node.items():
            yield from leaves(value, f"{key}.{name}" if key else str(name))
    else:
        yield key, node


def test_the_commands_are_all() -> None:
    source = CONF.parent / "src"
    assert sorted(path.stem for path in source.glob("*.py") if path.stem != "__init__") == COMMANDS


@pytest.mark.parametrize("path", FILES, ids=str)
def test_lines_are_read_as_yaml_reads_them(path: Path) -> None:
    group = path.parent.name if len(path.parts) > 1 else ""
    text = (CONF / path).read_text()
    root = "" if "@package _global_" in text else group
    content = {key: value for key, value in yaml.safe_load(text).items() if key not in HIDDEN}
    expected = {f"{root}.{key}" if root else key: value for key, value in leaves(content)}
    entries = read_file(CONF / path, group).entries
    flat = {key: entry for key, entry in entries.items() if not any(k.startswith(f"{key}.") for k in entries)}
    for key, value in expected.items():
        section = next((name for name in entries if key.startswith(f"{name}.") and entries[name].default), None)
        if section or key not in flat:  # holds_for has keys with dots, `cases` a mapping on one line
            continue
        assert yaml.safe_load(flat[key].default or "null") == value


@pytest.mark.parametrize("command", COMMANDS)
def test_every_key_is_explained(command: str) -> None:
    reference = read_reference(command)
    entries = [entry for entry in reference.entries.values() if not entry.key.rpartition(".")[2].startswith("_")]
    sections = {key.rpartition(".")[0] for _, key in reference.entries} | FILLED
    inside_open = tuple(f"{entry.key}." for entry in entries if entry.is_open)
    keys = [entry for entry in entries if not entry.is_open and not entry.key.startswith(inside_open or " ")]
    assert [entry.key for entry in keys if entry.spec is None and entry.key not in sections] == []
    assert [entry.key for entry in keys if entry.spec and len(entry.meaning) < 5] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_and_command_has_a_heading(command: str) -> None:
    primary = read_file(CONF / f"{command}.yaml")
    assert f"python -m src.{command} " in primary.header or f"python -m src.{command}\n" in primary.header
    for group in groups_of(primary):
        assert all(read_option(group, name).header for name in options_of(group))


def test_defaults_are_allowed() -> None:
    for command in COMMANDS:
        for entry in read_reference(command).entries.values():
            value = yaml.safe_load(entry.default or "null")
            if entry.spec and "${" not in entry.default:
                value = float(value) if isinstance(value, str) and value[:1].isdigit() and "e-" in value else value
                assert entry.spec.accepts(value), (command, entry)


@pytest.mark.parametrize(
    ("command", "key", "value"),
    [
        ("train", "seed", -1),
        ("train", "step.clip", "now"),
        ("train", "journal.rows", 0),
        ("train", "ranking.bn", ["running", "frozen"]),
        ("train", "tf32", "yes"),
        ("train", "step", 5),
        ("rank", "split", "train"),
        ("rank", "paths", 1),
        ("search", "limit.macs", -1),
        ("search", "latency.backend", "tensorrt"),
        ("search", "objectives", ["speed"]),
        ("retrain", "weights", "copied"),
        ("retrain", "pick", 0.5),
        ("export", "formats", []),
        ("export", "images", 0),
        ("report", "mix_commits", "no"),
        ("describe", "num_classes", 0),
        ("bench", "bench", "speed"),
        ("bench", "growth.paths", [0]),
        ("ground_truth", "seeds", 1),
        ("ground_truth", "recipe_alone.momentum", 0),
    ],
)
def test_ranges_are_enforced(command: str, key: str, value: object) -> None:
    cfg = OmegaConf.create({})
    OmegaConf.update(cfg, key, value)
    with pytest.raises(UsageError, match=key.replace(".", r"\.")):
        check_keys(cfg, command)


def test_a_key_of_a_class_is_checked_by_the_file_of_the_class() -> None:
    uniform = {"_target_": "src.samplers.uniform.Uniform", "scale_lr": False}
    with pytest.raises(UsageError, match=r"sampler\.updates=0"):
        check_keys(OmegaConf.create({"sampler": uniform | {"updates": 0}}), "train")
    check_keys(OmegaConf.create({"sampler": uniform | {"unheard_of": 0}}), "train")  # its constructor says so
    check_keys(OmegaConf.create({"sampler": {"_target_": "mine.Sampler", "updates": 0}}), "train")


def test_sections_without_a_class_are_closed() -> None:
    with pytest.raises(UsageError, match=r"unknown key in budget 'epoch': .* did you mean epochs"):
        check_keys(OmegaConf.create({"budget": {"epoch": 3}}), "train")
    with pytest.raises(UsageError, match="unknown key in recipe 'sequence'"):
        check_keys(OmegaConf.create({"recipe": {"sequence": 3}}), "retrain")
    check_keys(OmegaConf.create({"recipe": {"optimizer_options": {"eps": 1}}}), "retrain")
    check_keys(OmegaConf.create({"logger": {"wandb": None}, "study": None}), "retrain")


def test_a_stored_configuration_may_lack_keys_and_have_others() -> None:
    check_keys(OmegaConf.create({"step": {"reduction": "sum"}, "command": "src.train"}), "train")


def test_grammar_of_a_line(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(
        "# The heading.\n#\n# More.\n"
        "defaults: [base, _self_]\n"
        "# Begins the meaning\n"
        "first: null  # and ends it [0..1 | null]\n\n"
        "# a heading of keys\n\n"
        "section:  # of keys [open]\n"
        "  inner: [1, 2]  # [list of whole]\n"
    )
    read = read_file(file, "group")
    assert read.header == "The heading.\n\nMore."
    assert read.defaults == (("", "base", None), ("", "_self_", None))
    first = read.entries["group.first"]
    assert (first.default, first.meaning) == ("null", "Begins the meaning and ends it")
    assert first.spec == parse_spec("0..1 | null")
    assert read.entries["group.section"].is_open
    assert read.entries["group.section"].meaning == "of keys"
    assert read.entries["group.section.inner"].default == "[1, 2]"


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_composes_to_allowed_values(command: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for group in groups_of(read_file(CONF / f"{command}.yaml")):
            for option in options_of(group, command):
                cfg = compose(command, [f"{group}={option}"])
                check_keys(with_space(cfg) if command == "bench" else cfg, command)


def test_constants_of_the_code_agree() -> None:
    specs = {key: entry.spec.text for (_, key), entry in read_reference("train").entries.items() if entry.spec}
    assert specs["ranking.paths"] == f"all | benchmark | whole 2..{LISTED_PATHS}"
    assert specs["validation.bn"] == " | ".join(PROTOCOLS)
    assert set(specs["ranking.by"].split(" | ")) == set(RANK_BY)
