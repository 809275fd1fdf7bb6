"""The commands as programs: `fairpath-train` is `python -m src.train` from anywhere, and completes in the shell.

`pip install -e .` installs this folder alone, as the package `fairpath`: nothing named `src` comes to other projects.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path


def main() -> None:
    """Run the command that the program's name ends with; ends with its exit code.

    Run folders lie where the program is started, as for `python -m`.
    """
    root, command = Path(__file__).resolve().parents[3], Path(sys.argv[0]).stem.removeprefix("fairpath-")
    # installed without -e, the programs have no checkout to run from
    if not (root / "conf" / "train.yaml").exists():
        sys.exit("error: run pip install -e . in a checkout of Fairpath, whose programs these are")
    # for this process, and for those that it starts on several devices
    sys.path.insert(0, str(root))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    runpy.run_module(f"src.{command.replace('-', '_')}", run_name="__main__")
