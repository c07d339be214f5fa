"""Digests of arrays and of tensors: equal for equal values, shapes and types."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b, sha256
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

ROWS_AT_ONCE = 65536


def digest(arrays: Iterable[Any]) -> str:
    """Digest of the values, shapes and types of arrays, read a block of rows at a time."""
    found = blake2b()
    for array in arrays:
        found.update(f"{array.shape} {array.dtype};".encode())
        for start in range(0, array.shape[0], ROWS_AT_ONCE):
            found.update(np.asarray(array[start : start + ROWS_AT_ONCE]).tobytes())
    return found.hexdigest()


def tensors_digest(tensors: Iterable[Tensor]) -> str:
    """Return the sha256 of tensors in order, as recipes keep it: type, shape and bytes."""
    import torch

    found = sha256()
    for tensor in tensors:
        found.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()
