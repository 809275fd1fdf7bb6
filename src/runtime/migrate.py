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
    "order": {"_target_": "src.datasets.orders.Shuffle"},
    "choices.order": "shuffle",
    "ranking.by": "accuracy",
    "ranking.temperature": 1.0,
    "gradient_variance": False,
    "step.gradient_noise": 0.0,
    "ema": None,
    "stop": "budget",
    "stable": {"agreement": 0.9, "looks": 3},
}
"""Keys of a training run that did not exist once, with the values that they had implicitly."""
ADDED_TO_RANKING: dict[str, Any] = {"temperature": 1.0}
"""Keys of a ranking that did not exist once."""
ADDED_TO_SEARCH: dict[str, Any] = {"temperature": None}
"""Keys of a search that did not exist once."""


def migrate(config: DictConfig | None = None, checkpoint: dict[str, Any] | None = None) -> None:
    """Complete a stored configuration or a loaded checkpoint in place; what is there stays as it is."""
    # A configuration: name its command, and fill in the keys that a run of its time had no need of.
    if config is not None and "command" not in config:
        choices = OmegaConf.select(config, "choices") or {}
        commands = [command for group, command in GROUPS.items() if choices.get(group)]
        if "recipe_alone" in config:
            commands.append("ground_truth")
        if {"scores", "paths"} <= set(map(str, config)):
            commands.append("rank")
        config["command"] = next(iter(commands), None)
    if config is not None:
        added = {"train": ADDED, "rank": ADDED_TO_RANKING, "search": ADDED_TO_SEARCH}.get(config.command, {})
        for key, value in added.items():
            if OmegaConf.select(config, key) is None:
                OmegaConf.update(config, key, value, force_add=True)

    # A checkpoint: a search counts generations; samplers are of training alone, which was serial and not split.
    if checkpoint is not None and "generation" in checkpoint:
        checkpoint.setdefault("command", "search")
    state = (checkpoint or {}).get("fairpath")
    if checkpoint is not None and isinstance(state, dict):
        state.setdefault("command", "train" if "sampler" in state else "retrain")
        if state["command"] == "train":
            state.setdefault("way", "serial")
            state.setdefault("is_split", False)
        checkpoint.setdefault("command", state["command"])
