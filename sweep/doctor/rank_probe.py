"""One of the processes that average a gradient together: `python -m sweep.doctor.rank_probe RANK SIZE PORT LISTENER`.

They meet as the processes of a trial of several GPUs do, over NCCL, or gloo on the CPU. Rank 0 prints a line of JSON.
"""

from __future__ import annotations

import json
import os
import sys

import torch
from torch import distributed, nn

from sweep.training.replicas import joined


def main(rank: int, size: int, port: int, listener: int | None) -> None:
    """Rank r's gradient is r + 1; DDP has to make the mean of all of them."""
    with joined(rank, size, port=port, listener=listener, device="auto") as group:
        device = group.place(torch.device("cuda" if distributed.get_backend() == "nccl" else "cpu"))
        model = nn.Linear(1, 1, bias=False).to(device)
        wrapped = group.wrap(model, device)
        wrapped(torch.full((1, 1), rank + 1.0, device=device)).sum().backward()
        assert model.weight.grad is not None  # noqa: S101 - for the type checker: backward has made it
        gradient = float(model.weight.grad)
        if rank == 0:
            told = {"backend": distributed.get_backend(), "size": size, "gradient": gradient, "mean": (size + 1) / 2}
            sys.stdout.write(json.dumps(told) + "\n")
        distributed.barrier()  # rank 0 holds the store, so it must not leave first


if __name__ == "__main__":
    own, *others = (int(word) for word in sys.argv[1:])
    main(own, others[0], others[1], others[2] if own == 0 else None)
    sys.stdout.flush()
    # Threads of torch's may still run, and an interpreter that is taken down under them aborts now and then.
    os._exit(0)
