"""Many small tensors copied as one: a state of hundreds costs as much as its bytes, not as its number of tensors."""

from __future__ import annotations

from collections.abc import Iterable

import torch

SMALL = 1 << 20
"""Bytes below which copying a tensor costs more than moving what is in it."""


def to_host(tensors: Iterable[torch.Tensor]) -> dict[int, torch.Tensor]:
    """Copies in the CPU's memory, by the tensors' ids.

    Those of a GPU are copied by the GPU, in the order of its work: they hold what they should once the event that was
    recorded after this call has come. Small ones of one device and type are parts of one piece of memory.
    """
    copies: dict[int, torch.Tensor] = {}
    groups: dict[tuple[torch.device, torch.dtype], list[torch.Tensor]] = {}
    for each in {id(each): each for each in tensors}.values():
        if each.layout is torch.strided and each.is_contiguous() and each.nbytes < SMALL:
            groups.setdefault((each.device, each.dtype), []).append(each)
        else:
            copies[id(each)] = _like(each, _copied(each.detach()))
    for group in groups.values():
        packed = _copied(torch.cat([each.detach().flatten() for each in group]))
        parts = torch.split(packed, [each.numel() for each in group])
        copies |= {id(each): _like(each, part.view(each.shape)) for each, part in zip(group, parts, strict=True)}
    return copies


def _copied(tensor: torch.Tensor) -> torch.Tensor:
    if not tensor.is_cuda:
        return tensor.to("cpu", copy=True)
    # Only into pinned memory can a GPU copy while Python goes on.
    host = torch.empty_like(tensor, device="cpu", pin_memory=True, requires_grad=False)
    return host.copy_(tensor, non_blocking=True)


def _like(tensor: torch.Tensor, copied: torch.Tensor) -> torch.Tensor:
    if isinstance(tensor, torch.nn.Parameter):
        return torch.nn.Parameter(copied, tensor.requires_grad)
    return copied.requires_grad_(tensor.requires_grad)


def apart(tensors: Iterable[torch.Tensor]) -> dict[int, torch.Tensor]:
    """The tensors by their ids; those that are parts of a larger memory copied into one of their own."""
    return {id(each): _like(each, each.detach().clone()) if is_part(each) else each for each in tensors}


def is_part(tensor: torch.Tensor) -> bool:
    """Whether it is a piece of a larger memory, all of which a file with it would hold."""
    return tensor.layout is torch.strided and tensor.untyped_storage().nbytes() > tensor.nbytes
