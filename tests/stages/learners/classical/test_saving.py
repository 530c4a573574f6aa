"""Pipelines on the disk: read by a fresh process to the same, and refused with foreign types."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from sklearn.preprocessing import FunctionTransformer
from test_inner_folds import NAMES, data

from stages.classical_settings import ClassicalSettings, LearnerName
from stages.errors import ModelError
from stages.learners.classical.fitting import fit_pipeline
from stages.learners.classical.saving import PIPELINES_FILE, load_pipelines, save_pipelines

CLASSIFIERS = [name for name in get_args(LearnerName) if name not in ("network", "stacked", "vote")]
CODE = """
import sys, numpy as np
from pathlib import Path
from stages.learners.classical.saving import load_pipelines
folder = Path(sys.argv[1])
features = np.load(folder / "features.npy")
np.save(folder / "votes.npy", np.stack([one.predict_proba(features) for one in load_pipelines(folder)]))
"""


def test_a_fresh_process_gives_the_same_probabilities(tmp_path: Path) -> None:
    features, labels, groups = data()
    made = [
        fit_pipeline(learner, ClassicalSettings(reduction=reduction, components=3, candidates=1), features, labels, groups, NAMES, 0)
        for learner in CLASSIFIERS
        for reduction in ("none", "pca", "lda", "mutual-info")
    ]  # fmt: skip
    save_pipelines(tmp_path, made)
    np.save(tmp_path / "features.npy", features)
    subprocess.run([sys.executable, "-c", CODE, tmp_path], check=True)
    votes = np.load(tmp_path / "votes.npy")
    for row, one in zip(votes, made, strict=True):
        np.testing.assert_array_equal(row, one.predict_proba(features))


@pytest.mark.parametrize("foreign", [functools.partial(print, "code"), subprocess.Popen])
def test_foreign_types_are_named_and_nothing_of_them_is_made(tmp_path: Path, foreign: object) -> None:
    save_pipelines(tmp_path, [FunctionTransformer(foreign)])
    with pytest.raises(ModelError, match="could run code") as caught:
        load_pipelines(tmp_path)
    assert "\n" not in str(caught.value)
    assert any(name in str(caught.value) for name in ("functools.partial", "subprocess.Popen"))


def test_damaged_and_absent_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"pipelines\.skops is not there"):
        load_pipelines(tmp_path)
    features, labels, groups = data()
    save_pipelines(
        tmp_path, [fit_pipeline("tree", ClassicalSettings(candidates=1), features, labels, groups, NAMES, 0)]
    )
    whole = (tmp_path / PIPELINES_FILE).read_bytes()
    for broken in (b"", b"no archive", whole[: len(whole) // 2]):
        (tmp_path / PIPELINES_FILE).write_bytes(broken)
        with pytest.raises(ModelError, match="cannot be read"):
            load_pipelines(tmp_path)
