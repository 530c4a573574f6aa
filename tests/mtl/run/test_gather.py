"""What a report shows is what the run folder holds."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mtl.run.content import RunContent, commonest_mistake
from mtl.run.execute import write_report
from mtl.run.gather import gather
from mtl.run.page import headline, render_html
from mtl.runs import RunFolder, open_run
from segmentation.errors import MtlError


@pytest.fixture(scope="module")
def content(tiny_run: Path) -> RunContent:
    return gather(open_run(tiny_run))


def test_every_learning_stage_stands_once(content: RunContent) -> None:
    assert {chain: [stage.number for stage in stages] for chain, stages in content.chains.items()} == {
        "1,2,3": [2, 3],
        "1,3": [3],
    }
    assert [stage.chain for stage in content.stages] == ["1,2,3", "1,2,3", "1,3"]
    assert content.weights.source == "none"
    assert "backbone: test_resnet" in content.config


def test_mistakes_are_those_of_the_table_the_surest_first(content: RunContent) -> None:
    for stage in content.stages:
        told = stage.predictions
        assert told is not None
        wrong = {
            name
            for name, label, said in zip(told.names, told.labels, told.predicted, strict=True)
            if label != said
        }
        assert {one.name for one in stage.mistakes} == wrong
        sure = [one.confidence for one in stage.mistakes]
        assert sure == sorted(sure, reverse=True)
        assert all(1 / len(told.classes) <= one <= 1 for one in sure)
        pairs = [(one.label, one.predicted) for one in stage.mistakes]
        commonest = commonest_mistake(stage.mistakes)
        assert commonest is not None
        count, label, said = commonest
        assert count == pairs.count((label, said)) == max(map(pairs.count, pairs))


def test_images_are_counted_by_part(content: RunContent) -> None:
    for stage in content.stages:
        assert stage.images == sum(sum(part.values()) for part in stage.record.data.counts.values()) > 20
        assert stage.rendered
        assert np.isfinite([row["train_loss"] for row in stage.history]).all()


def test_the_page_says_how_it_was_predicted_and_nothing_of_this_machine(content: RunContent) -> None:
    page = render_html(content)
    record = content.stages[0].record
    assert f"predicted on {record.device} in {record.precision}" in page
    assert headline(content) in page
    assert "rendered smears, not patient data" in headline(content)


def test_the_report_is_written_again_whole(tiny_run: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_run, tmp_path / "x")
    (tmp_path / "x" / "report.html").unlink()
    path = write_report(RunFolder(tmp_path / "x"))
    assert path.read_text().count("<html") == 1


@pytest.mark.parametrize("name", ["stage.json", "history.csv", "predictions.csv", "run.json"])
def test_a_file_that_is_missing_or_damaged_is_named(tiny_run: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(tiny_run, tmp_path / "x")
    path = next(one for one in sorted((tmp_path / "x").rglob(name)) if "1-imagenet" not in str(one))
    path.write_bytes(b"\xff")
    with pytest.raises(MtlError, match=name.replace(".", r"\.")):
        gather(RunFolder(tmp_path / "x"))
    path.unlink()
    with pytest.raises(MtlError, match=name.replace(".", r"\.")):
        gather(RunFolder(tmp_path / "x"))
