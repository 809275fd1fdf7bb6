"""Images drawn in proportion to the norms of their gradients (PA&DA, Lu et al. 2023; its authors' code).

N images of the training part, B images of a mini-batch, n rows of an epoch, E epochs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from src.datasets.orders import Order
from src.runtime.errors import UsageError, unknown
from src.runtime.seeds import mix
from src.samplers.importance import LARGEST_WEIGHT, Smoothing, check_acts, check_smoothing, smoothed, systematic
from src.samplers.observation import IMAGES, ImageRecord, Observation

OPTIONS = {
    "draw": ("iid", "systematic"),
    "unseen": ("zero", "keep"),
    "repeats": ("halving", "mean"),
    "correction": ("none", "weights"),
}
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Of the scores, in importance.csv."""


class DataImportance(Order):
    """An epoch draws N images with q = tau s / sum(s) + (1 - tau) / N; s is the norm of an image's logit gradient.

    s = ||softmax(z) - target||, an upper bound, up to a factor, of the norm of the whole gradient (Katharopoulos and
    Fleuret 2018), is learnt in one epoch for the next. tau grows linearly, tau = e / E after epoch e of E by default;
    the first epoch is a shuffle. The defaults are those of the authors' code, where losses are not weighted.
    """

    least_epochs = 2
    wants = frozenset({IMAGES})

    def __init__(
        self,
        count: int,
        seed: int,
        epochs: float = 1.0,
        draw: str = "iid",
        unseen: str = "zero",
        repeats: str = "halving",
        smoothing_start: float = 0.0,
        smoothing_end: float = 1.0,
        correction: str = "none",
    ) -> None:
        """
        Args:
            count: N.
            seed: of the draws.
            epochs: of the whole run.
            draw: `iid`: N draws with replacement; `systematic`: each image floor or ceil of N q times, which is a
                shuffle at tau = 0.
            unseen: score of an image that the last epoch did not draw: 0, or `keep` its last one; the mean of the
                others if it was never drawn.
            repeats: score of an image that an epoch ran several times: `halving`, the mean of the old and the new one
                each time, or the `mean` of all.
            smoothing_start: tau at the start.
            smoothing_end: tau at the end.
            correction: `weights` multiplies an image's loss by 1 / (N q): its mean over all draws is the uniform mean.
        """
        super().__init__(count, seed, epochs)
        chosen = {"draw": draw, "unseen": unseen, "repeats": repeats, "correction": correction}
        for key, value in chosen.items():
            if value not in OPTIONS[key]:
                raise unknown(f"order.{key}", value, OPTIONS[key])
        check_smoothing("order.", smoothing_start, smoothing_end)
        self.options, self.smoothing = chosen, Smoothing(smoothing_start, smoothing_end, epochs)
        if epochs > 1:  # fewer are refused for every order that learns
            check_acts("order=data_importance", self.smoothing)
        if correction != "none" and self.smoothing.largest > 1 - 1 / LARGEST_WEIGHT:
            raise UsageError(
                f"order.correction={correction}: weights of losses may be more than {LARGEST_WEIGHT:g}: use a smaller "
                "order.smoothing_end"
            )
        self.scores = torch.zeros(count)
        self.seen = torch.zeros(count, dtype=torch.bool)
        """(N,) whether `scores` is one of the image."""
        self.expected: Tensor | None = None
        """(N,) float64 N q of the epoch that is drawn next, or was last; None: a shuffle."""
        self.tau = 0.0
        # of the epoch that was observed last, for its rows
        self.drawn = torch.zeros(0, dtype=torch.int64)
        self.drawn_with: tuple[float, Tensor | None] = (0.0, None)

    def draw(self, epoch: int) -> Tensor:
        """(N,) positions in random order; with tau = 0 those of a shuffle, if they are drawn systematically."""
        generator = torch.Generator().manual_seed(mix(self.seed, epoch))
        order = torch.randperm(self.count, generator=generator)
        if self.expected is None:
            return order
        if self.options["draw"] == "iid":
            return torch.multinomial(self.expected, self.count, replacement=True, generator=generator)
        offset = float(torch.rand((), dtype=torch.float64, generator=generator))
        return torch.arange(self.count).repeat_interleave(systematic(self.expected, offset))[order]

    def weights(self, positions: Tensor) -> Tensor | None:
        """(B,) 1 / (N q) of the images at `positions` (B,), if losses are corrected."""
        if self.expected is None or self.options["correction"] == "none":
            return None
        return (1 / self.expected[positions]).float()

    def observe(self, observation: Observation) -> None:
        """At the end of an epoch take its scores, for the draws of the next one."""
        if observation.images is None:
            return
        self.drawn, self.drawn_with = observation.images.positions, (self.tau, self.expected)
        self.learn(observation.images)
        self.tau = self.smoothing.after(observation.epoch)
        self.expected = self.count * smoothed(self.scores.double(), self.tau)

    def learn(self, record: ImageRecord) -> None:
        """Scores (N,) of all images, of an epoch's rows: an image's score in an update is the mean over its paths."""
        record = record.over_routes()
        if self.options["repeats"] == "halving":
            values, times = halved(record, self.count)
        else:
            times = torch.bincount(record.positions, minlength=self.count)
            sums = torch.zeros(self.count).index_add(0, record.positions, record.logit_norms.float())
            values = sums / times.clamp(min=1)
        drawn = times > 0
        if self.options["unseen"] == "zero":
            self.scores = torch.where(drawn, values, 0.0)
            return
        self.seen |= drawn
        kept = torch.where(drawn, values, self.scores)
        self.scores = torch.where(self.seen, kept, kept[self.seen].mean())

    def epoch_rows(self, labels: Tensor) -> list[dict[str, Any]]:
        """Rows of importance.csv about the last whole epoch; `labels` (N,) of the training part."""
        tau, expected = self.drawn_with
        expected = torch.ones(self.count, dtype=torch.float64) if expected is None else expected
        # what was drawn, with the weights that would make its mean loss the uniform one
        weights = 1 / expected[self.drawn]
        classes = torch.bincount(labels[self.drawn], minlength=int(labels.max()) + 1) / len(self.drawn)
        # what was learnt
        levels = torch.tensor(QUANTILES, dtype=torch.float64)
        scores = zip(QUANTILES, torch.quantile(self.scores.double(), levels).tolist(), strict=True)
        return [
            {"figure": "data_smoothing", "value": tau},
            {"figure": "distinct_images", "value": len(self.drawn.unique()) / self.count},
            {"figure": "effective_images", "value": float(weights.mean().square() / weights.square().mean())},
            {"figure": "most_expected_draws", "value": float(expected.max())},
            *({"figure": "class_share", "choice": i, "value": share} for i, share in enumerate(classes.tolist())),
            *({"figure": f"score_{100 * level:.0f}_percent", "value": score} for level, score in scores),
        ]

    def state_dict(self) -> dict[str, Any]:
        """Scores, and the distribution of the epoch that is drawn next or was last."""
        expected = {} if self.expected is None else {"expected": self.expected.clone()}
        return {"scores": self.scores.clone(), "seen": self.seen.clone(), "tau": self.tau, **expected}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        self.scores, self.seen, self.tau = state["scores"].clone(), state["seen"].clone(), state["tau"]
        self.expected = state["expected"].clone() if "expected" in state else None


def halved(record: ImageRecord, count: int) -> tuple[Tensor, Tensor]:
    """The scores (N,) of `count` images, halved towards each new one in turn, and how often each was run (N,)."""
    # the k-th time that each image comes: rows sorted by image stay in their order
    positions, rows = record.positions.sort(stable=True)
    times = torch.bincount(positions, minlength=count)
    turns = torch.arange(len(positions)) - (times.cumsum(0) - times)[positions]
    values = torch.zeros(count)
    for turn in range(int(times.max())):
        where = turns == turn
        new = record.logit_norms[rows[where]].float()
        values[positions[where]] = new if turn == 0 else (values[positions[where]] + new) / 2
    return values, times
