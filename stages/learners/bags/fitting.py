"""Train what makes bags of pictures answer: a small network on features that do not change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from stages.bag_settings import BagSettings
from stages.learners.bags.aggregate import Aggregate, Told

__all__ = ["Bags", "Fitted", "answer_bags", "fit_bags"]

Labels = npt.NDArray[np.int64]
_AT_ONCE = 64


@dataclass(frozen=True)
class Bags:
    """Features of the pictures of bags.

    Attributes:
        features: Of all pictures, bag by bag, (T, F).
        counts: Pictures of every bag, (N,), each at least 1.
    """

    features: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.counts)

    def means(self) -> npt.NDArray[np.float64]:
        """Return the mean features of every bag, (N, F)."""
        if not len(self):
            return np.empty((0, self.features.shape[1]))
        begins = np.cumsum(self.counts) - self.counts
        found: npt.NDArray[np.float64] = np.add.reduceat(self.features, begins) / self.counts[:, None]
        return found

    def batch(self, rows: Sequence[int] | Labels) -> tuple[torch.Tensor, torch.Tensor]:
        """Return bags as (B, M, F) float32 and where there is a picture, (B, M) bool."""
        begins = np.cumsum(self.counts) - self.counts
        counts = self.counts[rows]
        features = torch.zeros(len(counts), int(counts.max()), self.features.shape[1])
        for place, row in enumerate(rows):
            own = self.features[begins[row] : begins[row] + self.counts[row]]
            features[place, : len(own)] = torch.from_numpy(own).float()
        there = torch.arange(features.shape[1])[None] < torch.from_numpy(counts)[:, None]
        return features, there


@dataclass(frozen=True)
class Fitted:
    """What was learned.

    Attributes:
        network: Of the best epoch.
        history: Scores by epoch.
        best_epoch: From 0.
    """

    network: Aggregate
    history: tuple[dict[str, float], ...]
    best_epoch: int


def fit_bags(
    bags: Bags,
    labels: Labels,
    rows: dict[str, Labels],
    classes: int,
    settings: BagSettings,
    seed: int,
    progress: Callable[[int, int, str], None] | None = None,
) -> Fitted:
    """Train on the bags of the training part; the epoch of the least log loss on the validation part is kept, or the last without one.

    Args:
        bags: Of all parts.
        labels: Class of every bag, (N,).
        rows: Bags of `train` and `validation`.
        classes: K.
        settings: Rule, width, training.
        seed: Of weights, order and dropout.
        progress: Told about every epoch.
    """
    train, watched = rows["train"], rows["validation"]
    targets = torch.from_numpy(labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Aggregate(bags.features.shape[1], classes, settings)
        known, there = bags.batch(train)
        network.standardise(known[there])
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        history: list[dict[str, float]] = []
        best, kept = 0, {name: value.clone() for name, value in network.state_dict().items()}
        for epoch in range(settings.epochs):
            network.train()
            total = 0.0
            order = train[torch.randperm(len(train)).numpy()]
            for chosen in _parts(order, settings.batch_size):
                loss = functional.nll_loss(network(*bags.batch(chosen)).logs, targets[chosen])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                total += float(loss.detach()) * len(chosen)
            row = {"epoch": float(epoch), "train_loss": total / len(train)}
            if len(watched):
                logs = answer_bags(network, bags, watched).logs
                row["validation_loss"] = float(functional.nll_loss(logs, targets[watched]))
            better = not len(watched) or row["validation_loss"] <= min(
                (one["validation_loss"] for one in history), default=np.inf
            )
            history.append(row)
            if better:
                best, kept = epoch, {name: value.clone() for name, value in network.state_dict().items()}
            if progress:
                progress(epoch + 1, settings.epochs, f"loss {row['train_loss']:.3f}")
    network.load_state_dict(kept)
    return Fitted(network.eval(), tuple(history), best)


@torch.inference_mode()
def answer_bags(network: Aggregate, bags: Bags, rows: Sequence[int] | Labels) -> Told:
    """Return what a network says of one bag or more."""
    network.eval()
    found = [network(*bags.batch(chosen)) for chosen in _parts(np.asarray(rows), _AT_ONCE)]
    widest = max(told.weights.shape[1] for told in found)
    weights = [functional.pad(told.weights, (0, widest - told.weights.shape[1])) for told in found]
    return Told(torch.cat([told.logs for told in found]), torch.cat(weights))


def _parts(rows: Labels, size: int) -> Iterator[Labels]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
