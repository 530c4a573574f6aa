"""Classifiers on features behind the same commands as networks, for real, on tiny rendered smears."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import TINY_BACKBONE, Told, called, tiny_experiment

from mtl.errors import ConfigError, RunError
from mtl.run.chain import run_experiment
from mtl.run.execute import execute, find_start
from mtl.run.load import load
from mtl.runs import RunFolder, StageFolder, open_run
from stages.data.images import decode_rgb
from stages.learners.classical.features.deep import BACKBONE_FILE
from stages.learners.classical.model import ClassicalModel

QUICK = ("multi_cell.classical.candidates=2", "multi_cell.classical.folds=2", "evaluation.baselines=false")


@pytest.fixture(scope="module")
def finished(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stage 3 of 1,2,3 and of 1,3 by an svm on deep features of the stage before, and on texture."""
    sets = ("multi_cell.learner=svm", "multi_cell.classical.features=[deep, glcm]", *QUICK)
    return execute(tiny_experiment(rendered, *sets), tmp_path_factory.mktemp("classical"), "mtl run").run


def last(run: Path, chain: str) -> StageFolder:
    return StageFolder(run / "stages" / open_run(run).record().chains[chain][-1])


def test_the_model_says_of_files_what_the_run_wrote_of_them_in_a_fresh_process_too(finished: Path) -> None:
    stage = last(finished, "1,2,3")
    told = stage.predictions()
    root = stage.learned_record().data.sources[0].root
    model = load(finished)
    assert isinstance(model, ClassicalModel)
    said = model.probabilities(decode_rgb(root / name) for name in told.names)
    np.testing.assert_allclose(said, told.probabilities, atol=1e-6)
    np.testing.assert_allclose(said.sum(axis=1), 1)
    code = "import sys, mtl; print(*mtl.load(sys.argv[1]).predict(sys.argv[2]).probabilities.values())"
    typed = [sys.executable, "-c", code, str(finished), str(root / told.names[0])]
    done = subprocess.run(typed, capture_output=True, text=True, check=True)
    np.testing.assert_allclose([float(part) for part in done.stdout.split()], said[0], atol=1e-9)


def test_embeddings_are_what_the_classifier_is_given(finished: Path) -> None:
    model = load(finished)
    assert isinstance(model, ClassicalModel)
    rows = model.embeddings([np.full((40, 40, 3), grey, np.uint8) for grey in (10, 200)])
    assert rows.shape == (2, len(model.extractor.columns))
    assert model.embeddings([]).shape == (0, rows.shape[1])
    assert model.probabilities([]).shape == (0, len(model.classes))


def test_deep_features_are_of_the_stage_before(finished: Path) -> None:
    multi, plain = last(finished, "1,2,3"), last(finished, "1,3")
    assert multi.path != plain.path
    record, other = multi.learned_record(), plain.learned_record()
    assert record.start != other.start
    assert (multi.path / BACKBONE_FILE).read_bytes() != (plain.path / BACKBONE_FILE).read_bytes()
    assert record.backbone is None
    assert record.settings.learner == "svm"
    assert multi.history() == ()
    assert not open_run(finished).record().comparison.same_start  # type: ignore[union-attr]


def test_the_report_says_who_learned_and_shows_no_empty_curves(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    assert (
        f"svm on {TINY_BACKBONE}&#39;s, glcm; standardised" in page
        or f"svm on {TINY_BACKBONE}'s, glcm" in page
    )
    assert "2 settings at most tried by macro F1 in 2 grouped folds" in page
    assert "0 parameters" not in page
    assert page.count("over 2 epochs") == 2  # the curves of stage 2, a network, alone


def test_a_second_run_reuses_all_and_no_network_begins_from_a_classifier(
    finished: Path, rendered: Path
) -> None:
    sets = ("multi_cell.learner=svm", "multi_cell.classical.features=[deep, glcm]", *QUICK)
    told = Told()
    run_experiment(tiny_experiment(rendered, *sets), RunFolder(finished), "", told)
    assert len(told.reused) == 3
    experiment = tiny_experiment(rendered, stages=(3,), against=())
    assert find_start(finished, experiment).record().number == 2
    with pytest.raises(RunError, match="finished network before stage 3"):
        find_start(last(finished, "1,3").path, experiment)


def test_chains_share_a_stage_that_looks_at_no_backbone(rendered: Path, tmp_path: Path) -> None:
    sets = ("multi_cell.learner=tree", "multi_cell.classical.features=[lbp]", *QUICK)
    result = execute(tiny_experiment(rendered, *sets), tmp_path, "")
    assert last(result.run, "1,2,3").path == last(result.run, "1,3").path
    assert "are the same chain" in result.to_text()
    assert "no backbone is used" in result.report.read_text()


def test_a_classifier_before_a_network_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    experiment = tiny_experiment(tmp_path / "nowhere", "single_cell.learner=svm")
    with pytest.raises(
        ConfigError, match=r"`single_cell\.learner` to be network in chain 1,2,3.*but got svm"
    ):
        execute(experiment, tmp_path, "")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("--features", "glcm"), "beside a `--learner`"),
        (("--learner", "svm", "--features", "glcn"), "did you mean glcm"),
        (("--learner", "svm", "--features", "shape"), "white cells on black"),
        (("--learner", "svn"), "'svm'"),
    ],
)
def test_bad_flags_are_one_line(tmp_path: Path, typed: tuple[str, ...], said: str) -> None:
    done = called("run", *typed, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def typed(rendered: Path, *more: str) -> list[str]:
    return [
        "--weights", "none", "--image-size", "32", "--set", f"backbone={TINY_BACKBONE}", "--workers", "1",
        "--multi-cell", f"all-idb1:{rendered / 'ALL-IDB1'}", "--single-cell", f"all-idb2:{rendered / 'ALL-IDB2'}",
        "--learner", "bayes", "--set", "evaluation.resamples=100", "--set", "multi_cell.classical.candidates=1",
        "--set", "single_cell.train.epochs=2", *more,
    ]  # fmt: skip


def test_folds(rendered: Path, tmp_path: Path) -> None:
    done = called(
        "run", "--stages", "1,3", "--folds", "2", *typed(rendered, "--features", "lbp,dost"), cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "runs" / "default-folds" / "report.html").read_text()
    assert "bayes on lbp, dost" in page
    assert "Learning" not in page


def test_benchmark(rendered: Path, tmp_path: Path) -> None:
    done = called(
        "benchmark",
        "--chains",
        "1,3",
        "1,2,3",
        "--repeats",
        "2",
        *typed(rendered, "--features", "deep"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "1,2,3" in done.stdout
    page = (tmp_path / "runs" / "default-benchmark" / "report.html").read_text()
    assert "per epoch of the last stage" not in page


def test_tune(rendered: Path, tmp_path: Path) -> None:
    done = called(
        "tune", "--folds", "2", "--sampler", "random", "--study", "s", "--trials", "2", "--weights", "none", "--image-size", "32",
        "--backbone", TINY_BACKBONE, "--multi-cell", f"all-idb1:{rendered / 'ALL-IDB1'}", "--set", "stages=1,3", "--set",
        "multi_cell.learner=forest", "--set", "multi_cell.classical.candidates=1", "--set", "multi_cell.classical.folds=2",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    best = yaml.safe_load((tmp_path / "runs" / "s" / "best.yaml").read_text())
    assert best["multi_cell"]["learner"] in ("svm", "forest", "boosting", "logistic")
    assert "learner=" in done.stderr
