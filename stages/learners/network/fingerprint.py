"""What a backbone is, bit for bit: two stages with the same fingerprint give the next one the same start."""

from __future__ import annotations

import hashlib
from pathlib import Path

from stages.learners.network.loading import load_state

__all__ = ["backbone_fingerprint"]


def backbone_fingerprint(path: Path) -> str:
    """Return the SHA-256 of a stage's backbone: names, types, shapes and bytes of its tensors, the head left out.

    Args:
        path: `weights.safetensors` of a stage.

    Raises:
        ModelError: If the file cannot be read.
    """
    total = hashlib.sha256()
    for name, value in sorted(load_state(path).items()):
        if name.startswith("backbone."):
            array = value.contiguous().numpy()
            total.update(f"{name}|{array.dtype}|{array.shape}|".encode())
            total.update(array.tobytes())
    return total.hexdigest()
