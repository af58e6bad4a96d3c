"""What a trial left in its checkpoints, and whether two have the same."""

import torch


def content(checkpoint):
    """The state of a checkpoint's folder."""
    return torch.load(f"{checkpoint}/state.pt", weights_only=True)


def same(a, b):
    """Whether two states are equal in structure and bit for bit in every tensor."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b
