"""`python -m sweep.cli.there VERB ...`: the verb on a cluster's head, with folders that outlive the job."""

from __future__ import annotations

import os
import sys
from pathlib import Path

STUDIES, MODELS = "SWEEP_STORAGE", "SWEEP_REGISTRY"


def settle(environ: dict[str, str], home: Path, here: Path) -> None:
    """Say where studies and models are, and what relative paths in search files are from.

    A job's own folder goes with the job, so studies that the head has no setting for are under its user's home.
    """
    environ.setdefault(STUDIES, str(home / "sweep" / "studies"))
    environ.setdefault(MODELS, str(home / "sweep" / "registry"))
    environ["SWEEP_BASE_DIR"] = str(here)


def main() -> None:
    """Run the verb."""
    settle(os.environ, Path.home(), Path.cwd())  # type: ignore[arg-type]
    from sweep.cli.main import main as run

    sys.argv[0] = "sweep"
    run()


if __name__ == "__main__":
    main()
