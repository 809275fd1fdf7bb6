"""Which image files a run reads: those of its folder, or of a started run those that it was started with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from src.datasets.decode import MAX_PIXELS
from src.datasets.examine import without_unreadable
from src.datasets.file_record import record_of, restore
from src.datasets.folder import Listing
from src.datasets.layout import DividedFiles
from src.datasets.options import check_number, check_switch


@dataclass(frozen=True)
class Intake:
    """The keys of a data set that say which of its files are read."""

    max_pixels: int = MAX_PIXELS
    """Images of more pixels cannot be read."""
    skip_corrupt: bool = False
    """Decode every file once, and leave out those that cannot be read."""
    split: Path | None = None
    """The split.npz of a run that may have been started."""

    def __post_init__(self) -> None:
        """Refuse, by UsageError, values that cannot be meant."""
        check_number("dataset.max_pixels", self.max_pixels, low=1)
        check_switch("dataset.skip_corrupt", self.skip_corrupt)

    def files(
        self,
        root: Path,
        list_parts: Callable[[], dict[str, Listing]],
        divide: Callable[[dict[str, Listing]], DividedFiles],
    ) -> DividedFiles:
        """The files of train, val and test below `root`, with their record.

        Args:
            root: the folder that the record's names begin at.
            list_parts: finds the files of a new run.
            divide: divides them into the three parts.

        Raises:
            UsageError: no such files, or other files than the run was started with.
        """
        if restored := restore(self.split, root, self.skip_corrupt, self.max_pixels):
            return restored
        listed = list_parts()
        if self.skip_corrupt:
            listed = without_unreadable(listed, self.max_pixels)
        files = divide(listed)
        return replace(files, record=record_of(files, root, is_examined=self.skip_corrupt))
