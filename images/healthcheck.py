#!/usr/bin/env python3
"""Tell Docker whether the Ray node in this container is well.

Healthy (exit code 0) when Ray answers, or when none was started here: a container may also run
one training in the foreground, and then its own end is the news. The standard library alone,
because this runs every 30 seconds.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

# `ray start` writes this file and `ray stop` removes it.
STARTED = Path("/tmp/ray/ray_current_cluster")  # noqa: S108 - Ray's own fixed place
# Every node's agent answers here without the token; on a head the answer covers the control store too.
PORT = 52365


def problem(started: Path = STARTED, port: int = PORT, timeout_s: float = 5.0) -> str | None:
    """What is wrong with this node, or None."""
    if not started.exists():
        return None
    url = f"http://127.0.0.1:{port}/api/healthz"
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        return f"Ray says {error.code}: {error.read().decode(errors='replace').strip()}"
    except OSError as error:
        return f"Ray was started here but {url} does not answer: {error}"
    return None


def main() -> int:
    """Print the state; 1 is Docker's word for unhealthy."""
    port = int(os.environ.get("SWEEP_HEALTH_PORT", PORT))
    found = problem(port=port)
    print(found or "healthy")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
