"""A backbone and a head: the network of one stage."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from stages.errors import ModelError
from stages.learners.network.heads import Head
from stages.learners.network.weights import WeightRecord
from stages.settings import HeadSettings

__all__ = ["Network", "depth_groups", "learning_names"]

_NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


class Network(nn.Module):
    """Normalisation, backbone and head in one module; it carries what its weights expect.

    Args:
        backbone: Images (B, 3, H, W) to features (B, F); F is its `feature_width`, as `create_backbone` sets it.
        record: Where the backbone's weights come from, and their normalisation.
        head: Pooling, dense layers and activation.
        classes: Names of the classes, two or more, in the order of the probabilities.
    """

    def __init__(
        self, backbone: nn.Module, record: WeightRecord, head: HeadSettings, classes: tuple[str, ...]
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.classes = classes
        self.activation = head.activation
        outputs = 1 if head.activation == "sigmoid" and len(classes) == 2 else len(classes)
        self.width = int(getattr(backbone, "feature_width"))  # noqa: B009 - a module's attribute may be anything
        self.head = Head(self.width, outputs, head)
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", torch.tensor(record.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(record.std).view(1, 3, 1, 1), persistent=False)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Return pooled features (B, F) of images (B, 3, H, W) float32 in [0, 1]."""
        normalised = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        features: torch.Tensor = self.backbone(normalised)
        return features

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (B, K), or (B, 1) for two classes under sigmoid, of images (B, 3, H, W) float32 in [0, 1]."""
        logits: torch.Tensor = self.head(self.features(images))
        return logits

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Return probabilities (B, K) that sum to 1.

        Under sigmoid with more than two classes the one-against-rest scores are divided by their sum.
        """
        if self.activation == "softmax":
            return logits.softmax(dim=1)
        scores = logits.sigmoid()
        if len(self.classes) == 2:
            return torch.cat([1 - scores, scores], dim=1)
        return scores / scores.sum(dim=1, keepdim=True).clamp_min(1e-12)


def learning_names(network: Network, policy: str) -> list[str]:
    """Return the names of the parameters that learn at some time under a policy.

    Args:
        network: Whose parameters.
        policy: As in `TrainSettings`. Under `film` the backbone learns scale and shift of its normalisation layers alone (FiLM: Perez et
            al. 2018; Tobaben et al. 2023, "On the efficacy of differentially private few-shot image classification").

    Raises:
        ModelError: If it is `film` and the backbone has no such layers.
    """
    names = [name for name, _ in network.named_parameters()]
    if policy not in ("frozen", "film"):
        return names
    norms = [name for name, layer in network.backbone.named_modules() if isinstance(layer, _NORMS)]
    scales = {f"backbone.{norm}.{part}" for norm in norms for part in ("weight", "bias")} & set(names)
    if policy == "film" and not scales:
        raise ModelError(
            f"Expected a backbone with normalisation layers for policy film, but {type(network.backbone).__name__} has none that learns; do choose another backbone or policy"
        )
    return [name for name in names if name.startswith("head.") or (policy == "film" and name in scales)]


def depth_groups(backbone: nn.Module) -> list[list[str]]:
    """Return the backbone's parameter names by depth, the shallowest group first.

    Groups follow timm's own matcher where the backbone has one, else its top-level children, and the layers of those that are sequences.
    """
    names = [name for name, _ in backbone.named_parameters()]
    matched = _matched(backbone)
    if matched:
        return matched
    groups: dict[str, list[str]] = {}
    for name in names:
        child, *rest = name.split(".")
        nested = isinstance(getattr(backbone, child), nn.Sequential)
        groups.setdefault(f"{child}.{rest[0]}" if nested else child, []).append(name)
    return list(groups.values())


def _matched(backbone: nn.Module) -> list[list[str]]:
    from timm.models import group_parameters

    matcher = getattr(backbone, "group_matcher", None)
    if matcher is None:
        return []
    try:
        grouped = group_parameters(backbone, matcher(coarse=True))
    except AssertionError:  # RDNet's knows fine groups alone, which are out of order
        return []
    return [list(grouped[depth]) for depth in sorted(grouped)]
