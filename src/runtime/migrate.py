"""Brings what older versions stored to today's form: the only place that knows older formats."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

GROUPS = {"searcher": "search", "recipe": "retrain", "sampler": "train"}
"""A config group that only this command has: how older configurations tell which command they are of."""
ADDED: dict[str, Any] = {
    "inter_choice": {"_target_": "src.supernet.inter_choice.InterChoice"},
    "choices.inter_choice": "none",
    "tf32": True,
    "strategy": "ddp",
    "sync_batchnorm": False,
    "step.way": "serial",
    "ranking.by": "accuracy",
}
"""Keys of a training run that did not exist once, with the values that they had implicitly."""


def migrate(config: DictConfig | None = None, checkpoint: dict[str, Any] | None = None) -> None:
    """Complete a stored configuration or a loaded checkpoint in place; what is there stays as it is."""
    if config is not None:
        migrate_config(config)
    if checkpoint is not None:
        migrate_checkpoint(checkpoint)


def migrate_config(config: DictConfig) -> None:
    """Name the command, and fill in the keys that a training run of that time had no need of."""
    if "command" not in config:
        choices = OmegaConf.select(config, "choices") or {}
        named = [command for group, command in GROUPS.items() if choices.get(group)]
        command = named[0] if named else "ground_truth" if "recipe_alone" in config else None
        command = "rank" if command is None and {"scores", "paths"} <= set(map(str, config)) else command
        config["command"] = command
    if config.command == "train":
        for key, value in ADDED.items():
            if OmegaConf.select(config, key) is None:
                OmegaConf.update(config, key, value, force_add=True)


def migrate_checkpoint(checkpoint: dict[str, Any]) -> None:
    """Name the command; a training run was serial and not split unless it says otherwise."""
    if "generation" in checkpoint:
        checkpoint.setdefault("command", "search")
        return
    state = checkpoint.get("fairpath")
    if not isinstance(state, dict):
        return
    state.setdefault("command", "train" if "sampler" in state else "retrain")
    if state["command"] == "train":
        state.setdefault("way", "serial")
        state.setdefault("is_split", False)
    checkpoint.setdefault("command", state["command"])
