"""A network as a model, and what trains it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from segmentation.engine import Progress, RateSweep, Sweep, pick_device
from segmentation.files import write_tensors
from segmentation.probe import FP32, Probe
from segmentation.settings import Hardware
from segmentation.tiles import flipped
from stages.errors import ModelError
from stages.learners.model import Fitting, Floats, Image, Model
from stages.learners.network.backbones import rebuild_backbone
from stages.learners.network.inference import Inference, choose_inference
from stages.learners.network.loading import State, load_state, match_state
from stages.learners.network.network import Network
from stages.learners.network.training import Watch, sweep_stage, train_stage
from stages.learners.network.weights import WeightRecord
from stages.preprocess import Preprocess
from stages.settings import HeadSettings, StageSettings
from stages.task import Task

__all__ = ["WEIGHTS_FILE", "NetworkLearner", "NetworkModel"]

WEIGHTS_FILE = "weights.safetensors"
_AT_ONCE = {"cpu": 16}
"""Images in a batch where not 64: on a processor larger ones no longer fit its caches (lite0 at 224 px: 12 against 18 ms an image)."""


class NetworkModel(Model):
    """A backbone with a head.

    Args:
        network: On the device that it shall predict on.
        weights: Where its backbone came from.
        head: What sits on it.
        preprocess: What every image goes through.
        flips: Average over the image and its horizontal, vertical and double flip.
    """

    kind = "network"

    def __init__(
        self,
        network: Network,
        weights: WeightRecord,
        head: HeadSettings,
        preprocess: Preprocess,
        flips: bool = False,
    ) -> None:
        super().__init__(network.classes, preprocess)
        self.network = network.eval()
        self.weights = weights
        self.head = head
        self.flips = flips
        self._chosen: Inference | None = None
        self.engine: Callable[[Image], tuple[Floats, Floats]] | None = None
        """What answers in place of the network, if anything; see `stages.export.engines`."""

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    @property
    def inference(self) -> Inference:
        """How it predicts: device and precision; in 32 bits until `quicken` has found what is faster."""
        return self._chosen or Inference(self.device.type, Probe(FP32, 1.0, 0.0))

    def quicken(self) -> None:
        """Predict from now on in the precision that a probe finds faster and as good here, such as bfloat16.

        Not for what is measured: which of them is faster differs by machine, and its scores would, too.
        """
        self._chosen = choose_inference(
            self.network, self.preprocess.settings.image_size, self.weights.backbone
        )

    def prepared_probabilities(self, images: Image) -> Floats:
        """Return probabilities (N, K) of prepared images (N, S, S, 3) uint8, each row summing to 1, before calibration."""
        return self.prepared_answers(images)[0]

    @torch.inference_mode()
    def prepared_embeddings(self, images: Image) -> Floats:
        """Return pooled features (N, F) of prepared images (N, S, S, 3) uint8."""
        if self.engine is not None and len(images):
            return self.engine(images)[1]
        rows = []
        for pixels in self._batches(images):
            with self.inference.autocast():
                rows.append(self.network.features(pixels).double().cpu())
        return torch.cat(rows).numpy() if rows else np.empty((0, self.network.width))

    @torch.inference_mode()
    def prepared_answers(self, images: Image) -> tuple[Floats, Floats]:
        """Return probabilities (N, K) before calibration and features (N, F) of the images as they stand, in one pass."""
        if self.engine is not None and len(images):
            return self.engine(images)
        rows, features = [np.empty((0, len(self.classes)))], [np.empty((0, self.network.width))]
        for pixels in self._batches(images):
            votes, seen = [], []
            for _, view in flipped(pixels, self.flips):
                with self.inference.autocast():
                    seen.append(self.network.features(view))
                    logits = self.network.head(seen[-1])
                votes.append(self.network.probabilities(logits.double()))
            rows.append(torch.stack(votes).mean(dim=0).cpu().numpy())
            features.append(seen[0].double().cpu().numpy())
        return np.concatenate(rows), np.concatenate(features)

    def _batches(self, images: Image) -> Iterator[torch.Tensor]:
        size = _AT_ONCE.get(self.device.type, 64)
        for start in range(0, len(images), size):
            batch = torch.from_numpy(np.array(images[start : start + size]))
            yield batch.permute(0, 3, 1, 2).to(self.device).float() / 255

    def _state(self) -> dict[str, Any]:
        weights = self.weights.model_dump(mode="json")
        return {"weights": weights, "head": self.head.model_dump(mode="json"), "flips": self.flips}

    def _save_weights(self, folder: Path) -> None:
        write_tensors(
            folder / WEIGHTS_FILE, {key: value.cpu() for key, value in self.network.state_dict().items()}
        )

    @classmethod
    def _load(
        cls, folder: Path, classes: tuple[str, ...], preprocess: Preprocess, state: Mapping[str, Any]
    ) -> Self:
        weights, head = (
            WeightRecord.model_validate(state["weights"]),
            HeadSettings.model_validate(state["head"]),
        )
        backbone = rebuild_backbone(weights, head.pool, preprocess.settings.image_size)
        network = Network(backbone, weights, head, classes)
        if not (folder / WEIGHTS_FILE).is_file():
            raise ModelError(
                f"Expected {folder} to hold a model, but its {WEIGHTS_FILE} is not there; do train it again"
            )
        try:
            network.load_state_dict(load_state(folder / WEIGHTS_FILE))
        except RuntimeError as error:
            raise ModelError(
                f"Expected {folder / WEIGHTS_FILE} to fit {weights.backbone} and its head, but it does not; do train it again"
            ) from error
        return cls(network.to(pick_device(Hardware())), weights, head, preprocess, bool(state["flips"]))


@dataclass(frozen=True)
class NetworkLearner:
    """Trains a network from the backbone of the stage before.

    Attributes:
        settings: Of the stage.
        weights: Where the backbone came from.
        start: Weight file of the stage before.
        seed: All randomness follows from it.
        hardware: What to train on.
        flips: Whether the model averages over mirror images.
        progress: Told about every step.
        bank: File for the features of all images under the starting weights, which other runs may share; none if None.
        watch: Looks at every validation, and may stop the training by raising.
        basis: What the head's basis holds; None without one.
    """

    settings: StageSettings
    weights: WeightRecord
    start: Path
    seed: int
    hardware: Hardware = field(default_factory=Hardware)
    flips: bool = False
    progress: Progress | None = None
    bank: Path | None = None
    watch: Watch | None = None
    basis: State | None = None

    def fit(self, task: Task, folder: Path) -> tuple[NetworkModel, Fitting]:
        """Train on a task, from where a stopped call left off; see `stages.learners.model.Learner`.

        Raises:
            ModelError: If the starting weights do not fit, or the hardware asked for is not there.
            TrainingError: If the loss is no longer finite.
        """
        trained = train_stage(
            self.network(task),
            task,
            self.settings,
            folder,
            self.seed,
            self.hardware,
            self.progress,
            self.bank,
            self.watch,
        )
        model = NetworkModel(trained.network, self.weights, self.settings.head, task.preprocess, self.flips)
        model.save(folder)
        history = tuple(trained.history)
        return model, Fitting(history, trained.best_epoch, trained.seconds, trained.parameters)

    def sweep(self, task: Task, settings: StageSettings, sweep: RateSweep) -> Sweep:
        """Train on a task while the learning rate rises; see `sweep_stage`.

        Args:
            task: That shall be learned.
            settings: Of the stage, with what learns in the sweep.
            sweep: From which rate to which.

        Raises:
            ModelError: If the starting weights do not fit, or the hardware asked for is not there.
            TrainingError: If the loss is not finite from the start.
        """
        return sweep_stage(self.network(task), task, settings, sweep, self.seed, self.hardware, self.bank)

    def network(self, task: Task) -> Network:
        """Return what `fit` begins from: the backbone of the stage before, and a head that follows from the seed.

        Raises:
            ModelError: If the starting weights do not fit.
        """
        torch.manual_seed(self.seed)
        backbone = rebuild_backbone(
            self.weights, self.settings.head.pool, self.settings.preprocess.image_size
        )
        match_state(backbone, load_state(self.start), self.start.parent.name)
        network = Network(backbone, self.weights, self.settings.head, task.classes)
        if self.basis is not None:
            network.head[0].load_state_dict(self.basis)
        return network
