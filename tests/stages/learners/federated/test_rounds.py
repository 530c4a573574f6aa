"""The server's rounds with clients that only add: averages by hand, scores by scikit-learn, resume by count."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score

pytest.importorskip("flwr")

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from stages.learners.federated.grid import InProcessGrid
from stages.learners.federated.rounds import Federated, run_rounds
from stages.learners.federated.settings import FederateSettings
from stages.learners.federated.strategy import ARRAYS, COUNT, make_strategy

START = {"w": torch.zeros(2), "seen": torch.tensor(0)}


class Adding:
    """Adds its step to the shared weights each round, and judges its own validation images."""

    def __init__(self, step: float, count: int, truly: Sequence[int], said: Sequence[Sequence[int]]) -> None:
        self.step, self.count, self.truly, self.said = step, count, truly, said
        self.asked: list[int] = []
        self.stop_at = 0

    def app(self) -> ClientApp:
        app = ClientApp()

        @app.train()
        def train(message: Message, context: Context) -> Message:
            number = int(message.content.config_records["config"]["server-round"])  # type: ignore[arg-type]
            if number == self.stop_at:
                raise KeyboardInterrupt
            self.asked.append(number)
            arrays = {name: array.numpy() for name, array in message.content.array_records[ARRAYS].items()}
            state = {"w": torch.tensor(arrays["w"] + self.step), "seen": torch.tensor(arrays["seen"] + 1)}
            scores = MetricRecord({COUNT: self.count, "train_loss": self.step})
            return Message(RecordDict({ARRAYS: ArrayRecord(state), "metrics": scores}), reply_to=message)

        @app.evaluate()
        def evaluate(message: Message, context: Context) -> Message:
            table = np.zeros((3, 3))
            np.add.at(table, (list(self.truly), list(self.said[len(self.asked) - 1])), 1)
            scores: dict[str, Any] = {
                COUNT: len(self.truly),
                "loss": self.step,
                "confusion": table.ravel().tolist(),
            }
            return Message(RecordDict({"metrics": MetricRecord(scores)}), reply_to=message)

        return app


def make() -> tuple[Adding, Adding]:
    # Class 2 stands with nobody and is never said.
    one = Adding(1.0, 10, [0, 0, 1, 1], [[0, 0, 1, 0], [0, 0, 1, 1], [1, 0, 0, 0]])
    return one, Adding(2.0, 30, [1, 0], [[1, 1], [1, 0], [0, 1]])


def run(folder: Path, clients: Sequence[Adding], monitor: str | None = None) -> Federated:
    folder.mkdir(exist_ok=True)
    shapes = {name: tuple(value.shape) for name, value in START.items()}
    grid = InProcessGrid({node: client.app() for node, client in enumerate(clients, 1)})
    strategy = make_strategy(FederateSettings(), shapes, 3, len(clients))
    return run_rounds(grid, strategy, START, 3, folder, monitor)


def test_three_rounds_by_hand(tmp_path: Path) -> None:
    done = run(tmp_path / "rounds", make())
    # A round adds (10 * 1 + 30 * 2) / 40 = 1.75; a counter stays a counter.
    torch.testing.assert_close(done.state["w"], torch.full((2,), 3 * 1.75))
    assert done.state["seen"].dtype == torch.int64
    assert done.state["seen"].item() == 3
    assert [row["train_loss"] for row in done.history] == [1.75] * 3
    assert done.history[0]["validation_loss"] == pytest.approx((4 * 1 + 2 * 2) / 6)


def test_scores_are_those_of_all_validation_images_together(tmp_path: Path) -> None:
    clients = make()
    done = run(tmp_path / "rounds", clients)
    truly = [label for client in clients for label in client.truly]
    for number, row in enumerate(done.history):
        said = [label for client in clients for label in client.said[number]]
        assert row["validation_accuracy"] == pytest.approx(accuracy_score(truly, said))
        assert row["validation_macro_f1"] == pytest.approx(f1_score(truly, said, average="macro"))


def test_the_best_round_is_kept_and_no_other_weights_lie_about(tmp_path: Path) -> None:
    done = run(tmp_path / "rounds", make(), "validation_macro_f1")
    assert done.best == 1
    torch.testing.assert_close(done.state["w"], torch.full((2,), 2 * 1.75))
    assert {path.name for path in (tmp_path / "rounds").glob("*.safetensors")} == {
        "round-0002.safetensors",
        "round-0003.safetensors",
    }


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_stopped_rounds_go_on_behind_the_last_whole_one(tmp_path: Path, stop: int) -> None:
    whole = run(tmp_path / "whole", make())
    clients = make()
    clients[1].stop_at = stop
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", clients)
    clients[1].stop_at = 0
    clients[0].asked.pop()  # its answer to the stopped round was lost
    done = run(tmp_path / "parts", clients)
    assert clients[1].asked == [1, 2, 3]
    assert done.history == whole.history
    torch.testing.assert_close(done.state["w"], whole.state["w"], rtol=0, atol=0)
    again = run(tmp_path / "parts", clients)
    assert clients[1].asked == [1, 2, 3]
    assert again.history == whole.history
    assert json.loads((tmp_path / "parts" / "rounds.json").read_text())["refused"] == []


def test_nobody_with_validation_images_is_no_fault(tmp_path: Path) -> None:
    done = run(tmp_path / "rounds", [Adding(1.0, 5, [], [[], [], []])])
    assert [set(row) for row in done.history] == [{"round", "train_loss"}] * 3
