"""The network on pixels and cosine spectra: its transform is SciPy's, it is a backbone as any other, and it learns."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from test_training import make_settings, make_task

from stages.errors import ModelError
from stages.learners.model import load_model
from stages.learners.network.backbones import check_backbone, create_backbone, imagenet_backbone
from stages.learners.network.model import NetworkLearner
from stages.learners.network.names import find_backbone, known_backbones
from stages.learners.network.network import depth_groups
from stages.learners.network.spectral import SpectralNet, cosine_matrix

NAME = "dct_cnn_rnn"


@pytest.mark.parametrize("side", [32, 45, 128])
def test_the_transform_is_scipys(side: int) -> None:
    image = torch.from_numpy(np.random.default_rng(side).normal(size=(2, 3, side, side)))
    whole = cosine_matrix(side, side, image)
    np.testing.assert_allclose(whole @ whole.T, np.eye(side), atol=1e-5)
    told = SpectralNet().spectra(image.float()).numpy()
    theirs = dctn(image.numpy(), axes=(2, 3), norm="ortho")[:, :, :32, :32]
    logs = np.sign(theirs) * np.log1p(np.abs(theirs))
    for channel in range(3):
        np.testing.assert_allclose(told[:, :, 32 * channel : 32 * channel + 32], logs[:, channel], atol=1e-3)


def test_it_is_a_backbone_by_name() -> None:
    assert find_backbone(NAME) == NAME
    assert NAME in known_backbones()
    for pool in ("avg", "max"):
        backbone, record = create_backbone(NAME, "none", pool, 64)
        assert backbone(torch.rand(2, 3, 64, 64)).shape == (2, 256)
        assert record.mean == (0.5, 0.5, 0.5)
    names = [name for group in depth_groups(backbone) for name in group]
    assert sorted(names) == sorted(name for name, _ in backbone.named_parameters())
    with pytest.raises(ModelError, match="--weights none"):
        create_backbone(NAME)
    with pytest.raises(ModelError, match="at least 32"):
        check_backbone(NAME, {(24, "avg")})


def test_both_halves_hear_the_image() -> None:
    torch.manual_seed(0)
    network = SpectralNet().eval()
    one, other = torch.rand(2, 1, 3, 48, 48)
    with torch.no_grad():
        first, second = network(one), network(other)
    assert (first[:, :128] != second[:, :128]).any()
    assert (first[:, 128:] != second[:, 128:]).any()


def test_it_learns_and_loads_in_a_fresh_process(tmp_path: Path) -> None:
    task = make_task()
    settings = make_settings(epochs=3, policy="full", head_epochs=0)
    record = imagenet_backbone(NAME, "none", tmp_path / "start.safetensors", 0)
    folder = tmp_path / "stage"
    folder.mkdir()
    model, fitting = NetworkLearner(settings, record, tmp_path / "start.safetensors", 0).fit(task, folder)
    assert len(fitting.history) == 3
    assert fitting.history[-1]["train_loss"] < fitting.history[0]["train_loss"]
    images = task.images[:4]
    np.testing.assert_allclose(
        load_model(folder).prepared_probabilities(images), model.prepared_probabilities(images), atol=1e-6
    )
    code = "import sys; from pathlib import Path; from stages.learners.model import load_model; load_model(Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, folder], check=True)
