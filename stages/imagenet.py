"""Stage 1: verified ImageNet weights, W0 -> W1 (paper A, II-E, eq. 1)."""

from __future__ import annotations

from pathlib import Path

from segmentation.files import save_tensors, write_whole
from stages.learners.network.backbones import WeightRecord, create_backbone

__all__ = ["imagenet_backbone"]


def imagenet_backbone(name: str, weights: str, folder: Path, seed: int) -> WeightRecord:
    """Verify the weights of a backbone and put them into the run.

    Args:
        name: timm name.
        weights: `auto`, `none` or a file.
        folder: Gets `weights.safetensors`.
        seed: Of random weights where there are none.

    Raises:
        ModelError: If the weights cannot be had or do not fit.
    """
    import torch

    torch.manual_seed(seed)
    backbone, record = create_backbone(name, weights)
    state = {f"backbone.{key}": value for key, value in backbone.state_dict().items()}
    write_whole(folder / "weights.safetensors", lambda path: save_tensors(state, path))
    return record
