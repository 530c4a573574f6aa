"""The server's rounds: ask, average, look, write down; killed, they go on behind the last whole one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord
from flwr.serverapp import Grid

from segmentation.engine import best_epoch
from segmentation.files import read_json, write_json, write_tensors
from stages.errors import ModelError
from stages.learners.federated.strategy import COUNT, Central, Checked, Refused
from stages.learners.network.loading import State, load_state

__all__ = ["ROUNDS_FILE", "Federated", "added_up", "run_rounds"]

ROUNDS_FILE = "rounds.json"


@dataclass(frozen=True)
class Federated:
    """What the rounds left.

    Attributes:
        state: The shared weights that are kept.
        history: A row a round.
        best: Index of the round whose weights are kept, from 0.
        refused: Answers that were left out.
        spent: (RDP, PRV) epsilon by round, by node.
        drowning: Of central privacy: length of a round's noise over the longest that what it hides can be.
    """

    state: State
    history: list[dict[str, float]]
    best: int
    refused: list[Refused]
    spent: dict[int, dict[int, tuple[float, float]]]
    drowning: float | None = None


def run_rounds(
    grid: Grid,
    strategy: Checked,
    start: State,
    rounds: int,
    folder: Path,
    monitor: str | None = None,
    told: Callable[[int, Mapping[str, float]], None] | None = None,
) -> Federated:
    """Run the rounds that are left.

    Args:
        grid: Reaches the clients.
        strategy: Asks and averages.
        start: Shared weights before the first round; their types are those of all averages.
        rounds: In all.
        folder: Gets `rounds.json` and the weights of the last and the best round.
        monitor: Column that decides which round is kept; the last one if None.
        told: Called with the round, from 1, and its row.

    Raises:
        ModelError: If no client can be used in a round, or what was written cannot be read.
        KeyboardInterrupt: If stopped; the same call goes on.
    """
    state, history, refused = dict(start), [], []
    if (folder / ROUNDS_FILE).is_file():
        known = read_json(folder / ROUNDS_FILE)
        history = known["history"]
        refused = [Refused(**one) for one in known["refused"]]
        strategy.spent = {
            int(node): {int(number): tuple(both) for number, both in spent.items()}
            for node, spent in known["spent"].items()
        }
        state = load_state(_weights(folder, len(history)))
    strategy.refused[:] = refused
    for number in range(len(history) + 1, rounds + 1):
        arrays = ArrayRecord(state)
        asked = strategy.configure_train(number, arrays, ConfigRecord(), grid)
        averaged, metrics = strategy.aggregate_train(number, grid.send_and_receive(asked))
        if averaged is None or metrics is None:
            raise ModelError(
                f"Expected round {number} to have an answer, but it has none; do look at the clients"
            )
        state = _as_before({name: array.numpy() for name, array in averaged.items()}, start)
        asked = strategy.configure_evaluate(number, ArrayRecord(state), ConfigRecord(), grid)
        row = {
            "round": float(number),
            "train_loss": float(metrics["train_loss"]),  # type: ignore[arg-type]
            **added_up(strategy.judged(number, grid.send_and_receive(asked))),
        }
        history.append(row)
        write_tensors(_weights(folder, number), state)
        written = {
            "history": history,
            "refused": [asdict(one) for one in strategy.refused],
            "spent": strategy.spent,
        }
        write_json(folder / ROUNDS_FILE, written)
        kept = {number, 1 + (best_epoch(history, monitor) if monitor else number - 1)}
        for path in folder.glob("round-*.safetensors"):
            if path not in {_weights(folder, one) for one in kept}:
                path.unlink()
        if told:
            told(number, row)
    best = best_epoch(history, monitor) if monitor else len(history) - 1
    state = load_state(_weights(folder, best + 1))
    drowning = strategy.drowning if isinstance(strategy, Central) else None
    return Federated(state, history, best, strategy.refused, strategy.spent, drowning)


def _weights(folder: Path, number: int) -> Path:
    return folder / f"round-{number:04d}.safetensors"


def _as_before(averaged: Mapping[str, Any], start: State) -> State:
    """Return the averages as tensors of the types that they had: a counter's mean is no counter."""
    state = {}
    for name, value in start.items():
        mean = np.asarray(averaged[name])
        whole = mean if value.dtype.is_floating_point else np.rint(mean)
        state[name] = torch.tensor(whole, dtype=value.dtype).reshape(value.shape)
    return state


def added_up(scores: Iterable[Any]) -> dict[str, float]:
    """Return loss, accuracy and macro F1 over the images of all clients: their confusion matrices are added.

    Args:
        scores: Of every client, as `Client.validate` gives them.
    """
    loss, count = 0.0, 0.0
    confusion: Any = 0.0
    for metrics in scores:
        loss += metrics["loss"] * metrics[COUNT]
        count += metrics[COUNT]
        confusion = confusion + np.array(metrics["confusion"])
    if not count:
        return {}
    side = int(np.sqrt(np.size(confusion)))
    table = np.reshape(confusion, (side, side))
    right, truly, said = np.diag(table), table.sum(axis=1), table.sum(axis=0)
    known = truly + said > 0
    f1 = 2 * right[known] / (truly + said)[known]
    return {
        "validation_loss": loss / count,
        "validation_accuracy": float(right.sum() / count),
        "validation_macro_f1": float(f1.mean()),
    }
