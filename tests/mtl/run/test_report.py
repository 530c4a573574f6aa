from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from mtl.errors import RunError
from mtl.run.figures import curves
from mtl.run.gather import gather
from mtl.run.page import headline, render_html
from mtl.runs import RunFolder
from segmentation.errors import WriteError
from segmentation.files import write_json, write_table
from stages.metrics import evaluate

Classes = tuple[str, ...]
SVG = "{http://www.w3.org/2000/svg}"


def stage(
    run: RunFolder,
    number: int,
    key: str,
    classes: Classes,
    *,
    tested: bool = True,
    skill: float = 2.0,
    rendered: bool = True,
    lead: dict[str, float | None] | None = None,
) -> str:
    random = np.random.default_rng(len(key))
    labels = np.arange(40) % len(classes)
    scores = random.random((40, len(classes))) + skill * np.eye(len(classes))[labels]
    scores /= scores.sum(axis=1, keepdims=True)
    groups = [f"slide{i % 8}" for i in range(40)]
    folder = run.stage(number, "single_cell" if number == 2 else "multi_cell", key)
    evaluation = evaluate(labels, scores, groups, classes, resamples=100)
    poor = evaluate(labels, np.full((40, len(classes)), 1 / len(classes)), groups, classes, resamples=100)
    if tested:
        rows = [
            [f"im/{i}.jpg", classes[k], g, classes[int(s.argmax())], *s]
            for i, (k, g, s) in enumerate(zip(labels, groups, scores, strict=True))
        ]
        write_table(
            folder.path / "predictions.csv",
            ["name", "label", "group", "predicted", *(f"p_{name}" for name in classes)],
            rows,
        )
    write_table(
        folder.path / "history.csv",
        ["epoch", "train_loss", "train_accuracy", "validation_loss", "learning_rate"],
        [[0, 1, 0.5, 0.9, 0.1], [1, 0.5, 0.75, "", 0.1]],
    )
    folder.weights.write_bytes(b"")
    counts = {part: dict.fromkeys(classes, 5) for part in ("train", "validation", "test")}
    record: dict[str, Any] = {
        "number": number, "name": "single_cell" if number == 2 else "multi_cell", "key": key, "classes": classes, "weights": WEIGHTS,
        "parent": "aaa", "device": "cpu" if tested else "", "precision": "32-true" if tested else "",
        "settings": {"data": {"dataset": "all-idb1"}, "head": {"hidden": [8], "dropout": 0.1}, "preprocess": {"image_size": 32}, "train": {"batch_size": 4}},
        "data": {"dataset": "all-idb1", "sources": [{"name": "all-idb1", "dataset": "all-idb1", "root": str(run.path), "rendered": rendered,
                 "unit": "slide", "images": 60, "groups": 19}], "rendered": rendered, "fingerprint": "f", "counts": counts, "unit": "slide", "split": "grouped",
                 "groups": {"train": 9, "validation": 2, "test": 8}, "notes": ["A plain note."]},
        "best_epoch": 1, "parameters": 1234, "seconds": 3.2,
        "evaluation": evaluation.to_json() if tested else None, "baselines": {"1-NN": poor.to_json()} if tested else {},
        "over_colour": {"baseline": "1-NN", "macro_f1": lead or {"value": 0.3, "low": 0.1, "high": 0.5}} if tested else None,
    }  # fmt: skip
    write_json(folder.path / "stage.json", record)
    return folder.path.name


WEIGHTS = {
    "backbone": "tiny",
    "source": "none",
    "licence": "",
    "sha256": "",
    "mean": [0, 0, 0],
    "std": [1, 1, 1],
    "input_size": 32,
}


def build(
    path: Path, chains: dict[str, list[tuple[int, str]]], classes: Classes = ("normal", "L1"), **more: Any
) -> RunFolder:
    run = RunFolder(path)
    (path / "config.yaml").write_text("name: x\n")
    first = run.stage(1, "imagenet", "aaa")
    first.weights.write_bytes(b"")
    write_json(
        first.path / "stage.json",
        {"number": 1, "name": "imagenet", "key": "aaa", "weights": WEIGHTS, "seconds": 0.1},
    )
    told = {
        chain: [first.path.name, *(stage(run, *entry, classes, **more) for entry in entries)]
        for chain, entries in chains.items()
    }
    difference = {"value": 0.1, "low": -0.05, "high": 0.2}
    comparison = (
        {
            "first": "1,2,3",
            "second": "1,3",
            "same_start": False,
            "accuracy": difference,
            "macro_f1": difference,
        }
        if len(chains) > 1
        else None
    )
    environment = {"date": "2026-01-01", "mtl": "0", "device": "CPU"}
    write_json(path / "run.json", {"name": "x", "command": "mtl run --set a='<b>'", "chains": told, "start": None,
                                   "environment": environment, "comparison": comparison})  # fmt: skip
    return run


BOTH = {"1,2,3": [(2, "bbb"), (3, "ccc")], "1,3": [(3, "ddd")]}


@pytest.mark.parametrize(
    "classes",
    [("normal", "L1"), ("normal", "L1", "L2", "L3"), tuple(f"a long class name {i}" for i in range(8))],
)
def test_the_page_is_whole_and_loads_nothing(tmp_path: Path, classes: Classes) -> None:
    page = render_html(gather(build(tmp_path / "x", BOTH, classes)))
    assert page.count("<svg") >= 9
    assert not re.search(r"(src|href)=[\"'](?!data:|#)", page.split("</style>")[1])
    assert "Rendered smears, not patient data" in page
    assert "A plain note." in page
    assert "training (augmented images)" in page
    assert "show no difference" in page
    assert len(page) < 4e6


def test_names_are_escaped(tmp_path: Path) -> None:
    page = render_html(
        gather(
            build(tmp_path / "x", {"1,3": [(3, "ccc")]}, ("<script>x</script>", "zürich ü"), rendered=False)
        )
    )
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "zürich" in page
    assert "Rendered smears" not in page


def test_a_chain_without_a_test_part_says_so(tmp_path: Path) -> None:
    content = gather(build(tmp_path / "x", {"1,2": [(2, "bbb")]}, tested=False))
    assert "nothing was tested" in headline(content)
    assert "<svg" in render_html(content)


@pytest.mark.parametrize(
    ("value", "low", "high", "said"),
    [
        (
            0.1,
            0.05,
            0.2,
            "Over colour alone (1-NN) it gains +10.0 points [95 % interval +5.0 to +20.0] of macro F1.",
        ),
        (0.1, -0.05, 0.2, "not shown to beat colour"),
        (0.0, -0.1, 0.1, "does not beat colour alone"),
        (-0.1, -0.2, -0.05, "does not beat colour alone"),
        (0.1, None, None, "not shown to beat colour"),
    ],
)
def test_the_lead_over_colour_is_said_in_words(
    tmp_path: Path, value: float, low: float | None, high: float | None, said: str
) -> None:
    lead = {"value": value, "low": low, "high": high}
    content = gather(build(tmp_path / "x", {"1,3": [(3, "ccc")]}, lead=lead))
    assert said in headline(content)
    assert said in render_html(content)


def test_few_groups_and_the_most_frequent_mistake_are_named(tmp_path: Path) -> None:
    page = render_html(gather(build(tmp_path / "x", {"1,3": [(3, "ccc")]}, skill=0.0, rendered=False)))
    assert "Only 8 groups were tested" in page
    assert re.search(r"The most frequent mistake: \d+ of \w+ called \w+", page)
    assert "stay under the terms of their data set" in page


def test_an_unfinished_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"run\.json"):
        gather(RunFolder(tmp_path / "empty"))


def test_a_run_folder_that_cannot_be_made_is_a_failure_and_names_no_flag(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="a file stands where a folder should") as caught:
        RunFolder(tmp_path / "file" / "run")
    assert "--" not in str(caught.value)
    assert list(RunFolder(tmp_path / "run").path.glob(".*")) == []


def history(tmp_path: Path, header: list[str], rows: list[list[object]]) -> list[Any]:
    """Figures of the curves of a stage with such a history, as XML."""
    run = build(tmp_path / "x", {"1,3": [(3, "ccc")]})
    (folder,) = (tmp_path / "x" / "stages").glob("3-*")
    write_table(folder / "history.csv", header, rows)
    (stage,) = gather(run).stages
    return [ElementTree.fromstring(one) for one in curves(stage)]


def test_one_epoch_is_a_point_on_an_axis_of_whole_epochs(tmp_path: Path) -> None:
    header = ["epoch", "train_loss", "validation_loss", "validation_accuracy", "validation_macro_f1"]
    loss, score = history(tmp_path, header, [[0, 1.0, 0.99, 0.5, 0.4]])
    for figure in (loss, score):
        shown = [text for node in figure.iter(f"{SVG}text") if (text := "".join(node.itertext()))]
        numbers = [float(text) for text in shown if re.fullmatch(r"[\d.]+", text)]
        assert shown.count("1") == 1  # the epoch; what is counted in tenths stands on the other axis
        assert min(numbers) == 0
        assert not [number for number in numbers if number > 1.1]
    assert "in the last epoch training 1.000, validation 0.990" in loss.get("aria-label")


def test_what_was_not_measured_has_no_empty_panel(tmp_path: Path) -> None:
    (loss,) = history(tmp_path, ["epoch", "train_loss", "validation_accuracy"], [[0, 1.0, ""], [1, 0.5, ""]])
    assert loss.get("aria-label").startswith("loss over 2 epochs")
    assert history(tmp_path / "none", ["epoch"], [[0]]) == []


def test_every_figure_and_picture_says_what_it_shows(tmp_path: Path) -> None:
    page = render_html(gather(build(tmp_path / "x", BOTH, skill=0.0)))
    assert page.count("<svg") == len(re.findall(r'<svg role="img" aria-label="[^"]{20,}"', page))
    assert page.count("<img") == page.count('<img alt="')
    assert "dropout 0.1, then one dense layer" in page
    assert "1 epochs" not in page
