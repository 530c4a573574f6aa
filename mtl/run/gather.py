"""Read a run folder into the content of its report."""

from __future__ import annotations

from typing import Any

from mtl.errors import RunError
from mtl.run.content import Prediction, RunContent, StageContent
from mtl.runs import RunFolder, StageFolder
from segmentation.files import read_json
from stages.metrics import Evaluation

__all__ = ["gather"]


def gather(run: RunFolder) -> RunContent:
    """Return what the report of a run shows.

    Raises:
        RunError: If the run is not finished or a file of it is missing.
    """
    if not (run.path / "run.json").is_file():
        raise RunError(
            f"Expected {run.path} to be a finished run, but it has no run.json; do start `mtl run` again to finish it"
        )
    told = read_json(run.path / "run.json")
    chains: dict[str, tuple[StageContent, ...]] = {}
    weights: dict[str, Any] = {}
    for chain, names in told["chains"].items():
        folders = [StageFolder(run.path / "stages" / name) for name in names]
        if told.get("start"):
            folders = folders[1:]
        records = [folder.record() for folder in folders]
        weights = records[0]["weights"] if records else weights
        chains[chain] = tuple(
            _stage(chain, folder) for folder, record in zip(folders, records, strict=True) if "data" in record
        )
    return RunContent(
        name=told["name"],
        command=told["command"],
        chains=chains,
        weights=weights,
        comparison=told.get("comparison"),
        environment=told["environment"],
        config=(run.path / "config.yaml").read_text("utf-8"),
        folder=run.path,
    )


def _stage(chain: str, folder: StageFolder) -> StageContent:
    record = folder.record()
    history = [
        {key: float(value) for key, value in row.items() if value} for row in folder.read_table("history.csv")
    ]
    predictions = []
    if record["evaluation"]:
        columns = [f"p_{name}" for name in record["classes"]]
        for row in folder.read_table("predictions.csv"):
            scores = tuple(float(row[column]) for column in columns)
            predictions.append(Prediction(row["name"], row["label"], row["predicted"], scores))
    return StageContent(
        chain=chain,
        number=record["number"],
        title=record["name"].replace("_", " ").replace("multi cell", "multi-cell"),
        record=record,
        history=tuple(history),
        predictions=tuple(predictions),
        evaluation=Evaluation.from_json(record["evaluation"]) if record["evaluation"] else None,
        baselines={name: Evaluation.from_json(score) for name, score in record["baselines"].items()},
    )
