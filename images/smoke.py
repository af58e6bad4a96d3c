#!/usr/bin/env python3
"""Print and check what an image can do: driver, CUDA, cuDNN, NCCL, GPUs, AMP, a DDP all-reduce, Ray, Python.

    docker run --rm --gpus all --shm-size=8g pytorch-cuda:v2.14 sweep-smoke --gpus 1

The all-reduce is over NCCL on all GPUs, and over gloo between two processes where there is none. Exit code 1 when
something fails, or isn't what was asked for. `sweep doctor` runs the same checks, and more.
"""

from __future__ import annotations

import argparse
import json
import sys

from sweep.core.findings import worst
from sweep.doctor.smoke import EXPECTED, smoke


def main(arguments: list[str] | None = None) -> int:
    """Print a line a finding; 1 when one of them is a failure."""
    parser = argparse.ArgumentParser(description="Check what this image can do on this machine.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    for name in EXPECTED:
        kind = {"type": int, "help": "at least so many"} if name == "gpus" else {"help": "e.g. 3.12: its first numbers"}
        parser.add_argument(f"--{name}", **kind)
    options = vars(parser.parse_args(arguments))
    expected = {name: str(options[name]) for name in EXPECTED if options[name] is not None}
    findings = smoke(expected).findings
    if options["json"]:
        print(json.dumps([vars(finding) for finding in findings], indent=2))
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            print(f"{finding.verdict:4}  {finding.name:{width}}  {finding.value}")
            if finding.advice:
                print(f"{'':4}  {'':{width}}  {finding.advice}")
    return 1 if worst(findings) == "fail" else 0


if __name__ == "__main__":
    sys.exit(main())
