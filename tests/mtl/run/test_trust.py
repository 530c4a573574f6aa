"""What `stage.json` says of trust is what the model and the table of predictions say; the report shows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mtl.run.gallery import explain_stage, read_gallery, sanity_text
from mtl.run.gather import gather
from mtl.run.load import learned_stages
from mtl.run.originals import original
from mtl.run.page import render_html
from mtl.runs import open_run
from stages.calibrate import at_temperature
from stages.learners.model import load_model
from stages.metrics import calibration_error


@pytest.mark.parametrize("number", [2, 3])
def test_trust_is_measured_on_the_test_part(tiny_run: Path, number: int) -> None:
    stage = learned_stages(tiny_run)[number]
    record, told, model = stage.learned_record(), stage.predictions(), load_model(stage.path)
    trust, how = record.trust, model.calibration
    assert trust is not None
    assert how is not None
    assert trust.certainty == how.certainty
    assert trust.certainty.images == sum(record.data.counts["validation"].values())
    truth, said = told.truth(), told.probabilities
    assert trust.ece_after == pytest.approx(calibration_error(truth, said)[0], abs=1e-6)
    assert trust.ece_after == pytest.approx(record.evaluation.headline["ece"].value, abs=1e-6)
    raw = at_temperature(said, 1 / how.certainty.temperature)
    assert trust.ece_before == pytest.approx(calibration_error(truth, raw)[0], abs=1e-4)
    images = [original(name, record.data.sources) for name in told.names]
    answers = model.answers(image for image in images if image is not None)
    assert trust.unlike == pytest.approx(np.mean([one.unlike for one in answers]))
    assert trust.answered == pytest.approx(1 - np.mean([one.unsure for one in answers]))
    assert trust.set_size == pytest.approx(np.mean([len(one.within) for one in answers]))
    for k, name in enumerate(told.classes):
        held = [name in one.within for one, label in zip(answers, truth, strict=True) if label == k]
        assert trust.coverage[name] == (pytest.approx(np.mean(held)) if held else None)


def test_cells_know_how_they_are_cut(tiny_run: Path) -> None:
    stages = learned_stages(tiny_run)
    assert load_model(stages[3].path).frame is None
    assert 1 <= (load_model(stages[2].path).frame or 0) <= 6


def test_the_report_shows_trust_and_where_the_network_looked(tiny_run: Path) -> None:
    page = render_html(gather(open_run(tiny_run)))
    assert page.count("How far to trust it") == 3  # stages 2, 3, and 3 of the other chain
    assert page.count("Reliability diagram") == page.count("Accuracy of the surest half") == 3
    stage = learned_stages(tiny_run)[3]
    gallery = read_gallery(stage.path)
    assert gallery is not None
    assert gallery.methods == ("Grad-CAM", "occlusion")
    told = stage.predictions()
    for shown in gallery.shown:
        row = told.names.index(shown.name)
        assert (shown.label, shown.said) == (told.labels[row], told.predicted[row])
        assert (stage.path / shown.picture).is_file()
        assert f"{shown.name}: where the network looked" in page
    assert sanity_text(gallery.sanity) in page


def test_a_gallery_is_drawn_once(tiny_run: Path) -> None:
    stage, steps = learned_stages(tiny_run)[3], []

    class Steps:
        def step(self, name: str, done: float, total: int, text: str = "") -> None:
            steps.append(name)

    explain_stage(stage, Steps())
    assert steps == []


def test_sanity_that_is_not_defined_is_said() -> None:
    assert sanity_text({"Grad-CAM": None, "occlusion": 0.25}).endswith("Grad-CAM not defined, occlusion 0.25")
    assert sanity_text({}) == ""
