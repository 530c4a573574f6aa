"""Files that are whole or absent."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch

from segmentation.errors import WriteError

__all__ = ["save_tensors", "write_whole"]


def write_whole(path: Path, save: Callable[[Path], None], keep: bool = True) -> None:
    """Write a file under a temporary name and rename it.

    Args:
        path: The file.
        save: Writes it, given the temporary name.
        keep: Whether this process renames; of several that write together one does.

    Raises:
        WriteError: If it cannot be written, on a full disk say.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        save(temporary)
        if keep:
            temporary.replace(path)
    except (
        Exception
    ) as error:  # a full disk is an OSError, a RuntimeError or a SafetensorError, by who writes
        temporary.unlink(missing_ok=True)
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WriteError(
            f"Expected {path.parent} to take {path.name}, but got: {reason}; do free space there and run again"
        ) from error


def save_tensors(state: dict[str, torch.Tensor], path: Path) -> None:
    """Write a state dict as safetensors."""
    from safetensors.torch import save_file

    save_file({key: value.contiguous() for key, value in state.items()}, path)
