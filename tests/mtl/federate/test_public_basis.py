"""Directions from public images: scikit-learn's whitened principal components, and what a federation makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import called
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

pytest.importorskip("flwr")

from test_federate import arguments

from mtl.runs import StageFolder
from stages.errors import DataError
from stages.learners.network.heads import Basis, find_basis
from stages.learners.network.loading import load_state


def test_it_is_scikit_learns_whitened_principal_components() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(60, 12)) @ random.normal(size=(12, 12)) + 3
    layer = Basis(12, 4)
    layer.load_state_dict(find_basis(torch.from_numpy(features), 4))
    found = layer(torch.from_numpy(features).float()).numpy()
    wanted = PCA(4, whiten=True).fit_transform(StandardScaler().fit_transform(features))
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    signs = np.sign((found * wanted).sum(axis=0))  # a direction has no sense
    np.testing.assert_allclose(found * signs, wanted, atol=1e-4)


def test_more_directions_than_images_are_refused() -> None:
    with pytest.raises(DataError, match="dimensions"):
        find_basis(torch.randn(8, 12), 8)


@pytest.mark.parametrize("dp", ["least-squares", "sgd"])
def test_a_private_head_looks_along_public_directions(rendered: Path, tmp_path: Path, dp: str) -> None:
    public = f"all-idb2:{rendered / 'ALL-IDB2'}"
    done = called(
        *arguments(
            rendered, "--dp", dp, "--public", public, "--set", "federate.dimensions=6", "--epsilon", "4"
        ),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs/tiny-federated/stages").glob("3-*")
    weights = load_state(StageFolder(folder).weights)
    assert weights["head.0.directions"].shape[1] == 6
    assert weights["head.0.mean"].abs().sum() > 0
    first = min(name for name in weights if name.startswith("head.") and name.endswith(".weight"))
    assert weights[first].shape[1] == 6


def test_public_images_that_are_not_there(rendered: Path, tmp_path: Path) -> None:
    done = called(*arguments(rendered, "--public", "pbc:absent"), cwd=tmp_path)
    assert done.returncode == 2
    assert "absent" in done.stderr
