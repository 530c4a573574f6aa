"""The Lightning module that every learning stage shares: loss, optimiser, schedule and fine-tuning policy."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from segmentation.cache import read_cache, write_cache
from segmentation.engine import Trainable, count_processes, gather_rows, in_order, mixed_seed
from stages.learners.network.augment import augment, mix
from stages.learners.network.batches import Batch, StoreDataset, make_loader
from stages.learners.network.finetune import first_learning_groups, group_scale, rate_factor
from stages.learners.network.leg import Leg
from stages.learners.network.network import Network, depth_groups, learning_names
from stages.settings import StageSettings

__all__ = ["StageModule", "stage_loss"]


def stage_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    activation: str,
    smoothing: float = 0.0,
    weights: torch.Tensor | None = None,
    gamma: float = 0.0,
) -> torch.Tensor:
    """Return the mean loss of a batch.

    Softmax cross entropy is paper A's eq. 1, binary cross entropy its eq. 2; with more than two classes the sigmoid
    is one against rest. Above 0, `gamma` makes it the focal loss (Lin et al. 2017, eq. 4).

    Args:
        logits: (B, K), or (B, 1) for two classes under sigmoid.
        targets: (B, K) probabilities.
        activation: `"softmax"` or `"sigmoid"`.
        smoothing: Share of every target that is spread evenly over the classes.
        weights: Of the classes, (K,).
        gamma: Power of 1 - p, where p is the probability of what is right; 0 is cross entropy.
    """
    targets = targets * (1 - smoothing) + smoothing / targets.shape[1]
    weight = torch.ones(len(targets), device=targets.device) if weights is None else targets @ weights
    if activation == "softmax":
        each = targets * logits.log_softmax(dim=1)
        if gamma:
            each = each * (1 - logits.softmax(dim=1)) ** gamma
        loss = -each.sum(dim=1)
    else:
        wanted = targets[:, 1:] if logits.shape[1] == 1 else targets
        each = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        if gamma:
            right = logits.sigmoid() * wanted + (1 - logits.sigmoid()) * (1 - wanted)
            each = each * (1 - right) ** gamma
        loss = each.mean(dim=1)
    return (loss * weight).sum() / weight.sum()


class StageModule(Trainable):
    """Train a `Network` on one stage.

    All parameter groups are in the optimiser from the first step; what learns is a function of the epoch alone, so a
    resumed run freezes and thaws exactly as the uninterrupted one. While the whole backbone is frozen its features are
    computed once, without augmentation, and the head learns from them.

    Args:
        network: What is trained.
        settings: Of the stage.
        seed: From which every random choice of an epoch and batch follows.
        train: The training part.
        validation: The validation part; may be empty.
        bank: File for the features of the whole store under the starting weights, which other runs may share; none if None.
        leg: What is trained of it, and what pulls at it; all of it and nothing if None.
    """

    def __init__(
        self,
        network: Network,
        settings: StageSettings,
        seed: int,
        train: StoreDataset,
        validation: StoreDataset,
        bank: Path | None = None,
        leg: Leg | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.settings = settings
        self.seed = seed
        self.parts = {"train": train, "validation": validation}
        self.depth = depth_groups(network.backbone)
        self.learning = learning_names(network, settings.train.policy)
        self.fixed = settings.train.policy == "film" or (leg is not None and leg.fixed)
        self.bank = bank
        self.leg = leg
        self.banks: dict[str, torch.Tensor] = {}
        self.steps_per_epoch = 1
        self.validation_logits: list[torch.Tensor] = []
        self.validation_positions: list[torch.Tensor] = []
        weights = _class_weights(train, len(network.classes)) if settings.train.balance == "weights" else None
        self.class_weights: torch.Tensor | None
        self.register_buffer("class_weights", weights, persistent=False)

    def kept(self) -> Network:
        """Return the network."""
        return self.network

    def configure_optimizers(self) -> Any:
        """Build the optimiser, one parameter group a depth group and one for the head, and the schedule."""
        train = self.settings.train
        parameters = dict(self.network.backbone.named_parameters())
        groups: list[dict[str, Any]] = []
        for depth, names in enumerate(self.depth):
            scale = group_scale(train, depth, len(self.depth))
            groups += _decay_groups(
                [parameters[name] for name in names], train.learning_rate * scale, train.weight_decay
            )
        groups += _decay_groups(list(self.network.head.parameters()), train.learning_rate, train.weight_decay)
        optimizer = _OPTIMIZERS[train.optimizer](groups)
        if self.leg and self.leg.private:
            optimizer = self.leg.private.optimizer(
                optimizer, self.network, self.learning, self.parts["train"], train.batch_size
            )
        factor = partial(rate_factor, train, steps_per_epoch=self.steps_per_epoch)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_epoch_start(self) -> None:
        """Freeze what this epoch does not train."""
        frozen = first_learning_groups(self.settings.train, self.current_epoch, len(self.depth))
        parameters, learning = dict(self.network.backbone.named_parameters()), set(self.learning)
        for depth, names in enumerate(self.depth):
            for name in names:
                parameters[name].requires_grad_(depth >= frozen and f"backbone.{name}" in learning)
        self.network.train()
        still = {name for name, parameter in parameters.items() if not parameter.requires_grad}
        _freeze_statistics(self.network.backbone, still, self.fixed)
        if frozen == len(self.depth):
            if not self.banks:
                self.banks = {part: self._features(data) for part, data in self.parts.items() if len(data)}
        else:
            self.banks = {}

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        """Return the loss of one batch; log it, and the share of its images that were told right (under mixup by the larger part)."""
        images, labels, positions = batch
        seed = mixed_seed(self.seed, self.current_epoch, index, self.global_rank)
        # Dropout draws from the global generator, which loaders advance too and a resume starts elsewhere.
        torch.manual_seed(seed)
        targets = functional.one_hot(labels, len(self.network.classes)).float()
        if self.banks:
            features = self.banks["train"][positions.cpu()].to(self.device)
        else:
            generator = torch.Generator().manual_seed(seed)
            pixels = augment(images.float() / 255, self.settings.augment, generator)
            pixels, targets = mix(pixels, targets, self.settings.augment, generator)
            features = self.network.features(pixels)
        train = self.settings.train
        logits, activity = self.network.head.penalised(features)
        gamma = train.focal_gamma if train.loss == "focal" else 0.0
        if self.leg and self.leg.private:
            self.leg.private.seed(seed)
        loss = stage_loss(
            logits, targets, self.network.activation, train.label_smoothing, self.class_weights, gamma
        )
        # Of the batches as the network saw them while it learned: another pass over the training part would cost as much again.
        said = self.network.probabilities(logits.detach().float()).argmax(dim=1)
        right = (said == targets.argmax(dim=1)).sum()
        loss, right, count = self._whole_batch(loss, right, targets)
        scores = {"train_loss": loss, "train_accuracy": right / count}
        self.log_dict(scores, on_step=False, on_epoch=True, batch_size=count, sync_dist=True)
        if self.leg and self.leg.proximal:
            loss = loss + self.leg.distance(self.network)
        if not self.settings.head.penalises:
            return loss
        return loss + self.network.head.weight_penalty() + activity * self.trainer.world_size / count

    def _whole_batch(
        self, loss: torch.Tensor, right: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, int]:
        # Of several processes each has seen a part, and their losses are averaged with equal weights: scaled by what was seen
        # they come to the mean over the whole batch. What was right in it and its size are returned, too.
        if self.trainer.world_size == 1:
            return loss, right, len(targets)
        smoothing = self.settings.train.label_smoothing
        smoothed = targets * (1 - smoothing) + smoothing / targets.shape[1]
        seen = smoothed.sum() if self.class_weights is None else (smoothed @ self.class_weights).sum()
        own = torch.stack([seen, seen.new_tensor(len(targets)), right.to(seen)])
        parts = gather_rows(self, own.view(1, 3))
        return loss * seen / parts[:, 0].mean(), parts[:, 2].sum(), int(parts[:, 1].sum())

    def validation_step(self, batch: Batch, index: int) -> None:
        """Collect the logits of one batch."""
        images, _, positions = batch
        bank = self.banks.get("validation")
        if bank is not None:
            logits = self.network.head(bank[positions.cpu()].to(self.device))
        else:
            logits = self.network(images.float() / 255)
        self.validation_logits.append(gather_rows(self, logits))
        self.validation_positions.append(gather_rows(self, positions))

    def on_validation_epoch_end(self) -> None:
        """Log loss, accuracy and macro F1 over the whole validation part, the same in every process."""
        from sklearn.metrics import f1_score

        labels = self.parts["validation"].labels.to(self.device)
        logits = in_order(self.validation_logits, self.validation_positions, len(labels))
        self.validation_logits, self.validation_positions = [], []
        targets = functional.one_hot(labels, len(self.network.classes)).float()
        predicted = self.network.probabilities(logits.float()).argmax(dim=1)
        f1 = f1_score(labels.cpu(), predicted.cpu(), average="macro", zero_division=0.0)
        scores = {
            "validation_loss": stage_loss(logits.float(), targets, self.network.activation),
            "validation_accuracy": (predicted == labels).float().mean(),
            "validation_macro_f1": torch.tensor(float(f1)),
        }
        self.log_dict(scores)

    def _features(self, data: StoreDataset) -> torch.Tensor:
        if self.bank is None:
            return self._computed(data)

        # Frozen from the start, so the backbone is what the file's name says. One process decides for all.
        def whole_bank(path: Path) -> bool:
            return len(np.load(path, mmap_mode="r")) == len(data.images)

        if not self.trainer.strategy.broadcast(read_cache(self.bank, whole_bank)):
            whole = StoreDataset(data.images, range(len(data.images)), np.zeros(len(data.images), np.int64))
            computed = self._computed(whole).numpy()
            if self.trainer.is_global_zero:
                write_cache(self.bank, lambda path: _save(path, computed))
            self.trainer.strategy.barrier()
        return torch.from_numpy(np.load(self.bank, mmap_mode="r")[data.rows])

    @torch.no_grad()
    def _computed(self, data: StoreDataset) -> torch.Tensor:
        self.network.eval()
        rows, places = [], []
        for images, _, positions in make_loader(data, 64, processes=count_processes(self.trainer)):
            features = self.network.features(images.to(self.device).float() / 255)
            rows.append(gather_rows(self, features).cpu())
            places.append(gather_rows(self, positions).cpu())
        self.network.head.train()
        return in_order(rows, places, len(data))


_OPTIMIZERS: dict[str, Any] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adamax": torch.optim.Adamax,
    "sgd": partial(torch.optim.SGD, lr=1e-3, momentum=0.9, nesterov=True),
}


def _save(path: Path, features: npt.NDArray[np.float32]) -> None:
    with path.open("wb") as stream:  # an open file, because a path would get a suffix
        np.save(stream, features)


def _decay_groups(parameters: list[nn.Parameter], rate: float, decay: float) -> list[dict[str, Any]]:
    # Biases and normalisation (vectors) are not decayed, as timm does. Its own helpers take a whole model and leave out what is
    # frozen at this moment; ours takes one depth group, whole, since it may thaw later.
    matrices = [parameter for parameter in parameters if parameter.ndim > 1]
    vectors = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups = [
        {"params": matrices, "lr": rate, "weight_decay": decay},
        {"params": vectors, "lr": rate, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _freeze_statistics(backbone: nn.Module, frozen: set[str], fixed: bool) -> None:
    # A frozen layer must not go on moving the running statistics of its batch normalisation; if fixed, none does.
    for name, layer in backbone.named_modules():
        own = [f"{name}.{key}" if name else key for key, _ in layer.named_parameters(recurse=False)]
        if (own and all(key in frozen for key in own)) or (fixed and isinstance(layer, _BatchNorm)):
            layer.eval()


def _class_weights(data: StoreDataset, classes: int) -> torch.Tensor:
    counts = np.bincount(data.labels.numpy(), minlength=classes)
    return torch.tensor(len(data) / (classes * np.maximum(counts, 1)), dtype=torch.float32)
