"""Several processes with a copy of the model each: their meeting, and what they tell each other."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from sweep.errors import TrainingError
from sweep.training.group import Group
from sweep.training.ranks import LOOPBACK


class Replicas(Group):
    """One of several processes on a node: `torch.distributed` is initialised, over NCCL or gloo."""

    def place(self, device: torch.device) -> torch.device:
        """The GPU of this rank's number, where it is a GPU."""
        return torch.device("cuda", self.rank) if device.type == "cuda" else device

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """See `Group.wrap`. Batch norm is over the whole batch on CUDA; torch has that for no CPU."""
        self.wrapped = True
        on_gpu = device.type == "cuda"
        if on_gpu:
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return _Replica(model, device_ids=[device] if on_gpu else None)

    def mean(self, value: float, weight: float) -> float:
        """See `Group.mean`; every rank must call it."""
        device = self.place(torch.device("cuda" if distributed.get_backend() == "nccl" else "cpu"))
        sums = torch.tensor([value * weight, weight], dtype=torch.float64, device=device)
        distributed.all_reduce(sums)
        total, weights = sums.tolist()
        return float(total / weights) if weights else float("nan")


class _Replica(DistributedDataParallel):
    """DDP whose state is the bare model's, so that a checkpoint fits any number of GPUs."""

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return self.module.state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        return self.module.load_state_dict(state_dict, strict=strict, assign=assign)


@contextmanager
def joined(rank: int, world_size: int, *, port: int, listener: int | None, device: str) -> Iterator[Replicas]:
    """Meet the other ranks; leave them when all went well.

    Args:
        rank: of this process.
        world_size: how many there are.
        port: of the loopback address, where rank 0's store is.
        listener: for rank 0, the file descriptor of the socket that listens there already.
        device: "cuda" or "cpu" to insist, "auto" for CUDA where there is one.

    Raises:
        TrainingError: there are fewer GPUs than ranks.
    """
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if on_gpu and torch.cuda.device_count() < world_size:
        raise TrainingError(
            f"a trial of {world_size} GPUs sees {torch.cuda.device_count()} of them. "
            "Lower resources.gpu, or look at CUDA_VISIBLE_DEVICES."
        )
    # Bound by the supervisor, so that no other trial can take the port, and no other machine can reach it.
    store = distributed.TCPStore(  # type: ignore[attr-defined]
        LOOPBACK, port, world_size, is_master=rank == 0, wait_for_workers=False, master_listen_fd=listener
    )
    # A convolution with one input channel has two layouts that are the same: torch takes them for different ones.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    own = torch.device("cuda", rank) if on_gpu else None
    if own is not None:
        torch.cuda.set_device(own)
    distributed.init_process_group(
        "nccl" if on_gpu else "gloo", store=store, rank=rank, world_size=world_size, device_id=own
    )
    yield Replicas(rank, world_size)
    # After a failure the process ends at once: leaving could wait for ranks that hang.
    distributed.destroy_process_group()


def is_echo(error: BaseException) -> bool:
    """Whether an error only says that another rank is gone, or doesn't answer."""
    return isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))
