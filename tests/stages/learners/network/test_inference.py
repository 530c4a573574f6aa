"""bf16 is taken where a probe finds it faster and as good, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import TINY_BACKBONE

from segmentation import probe as probing
from stages.learners.network.backbones import create_backbone
from stages.learners.network.inference import Inference, choose_inference
from stages.learners.network.model import NetworkModel
from stages.learners.network.network import Network
from stages.preprocess import Preprocess
from stages.settings import HeadSettings, PreprocessSettings


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Network:
    monkeypatch.setenv("MTL_CACHE", str(tmp_path))  # nothing is remembered from elsewhere
    torch.manual_seed(0)
    backbone, record = create_backbone(TINY_BACKBONE, "none")
    return Network(backbone, record, HeadSettings(), ("a", "b")).eval()


def probe(
    network: Network, monkeypatch: pytest.MonkeyPatch, speedup: float, difference: float
) -> tuple[Inference, list[float]]:
    """Choose where bf16 is so much faster and moves probabilities so far."""
    seconds, taken = iter([speedup, 1.0]), []

    def measure(*_: object) -> float:
        taken.append(next(seconds))
        return taken[-1]

    monkeypatch.setattr(probing, "_seconds", measure)
    monkeypatch.setattr(network, "probabilities", lambda logits: probabilities_of(logits, difference))
    monkeypatch.setattr(network, "forward", lambda images: marked(images[:, :2, 0, 0]))
    return choose_inference(network, 32, TINY_BACKBONE), taken


def marked(logits: torch.Tensor) -> torch.Tensor:
    # The context ends before probabilities are made: logits carry which run they come from.
    return torch.full_like(logits, float(torch.is_autocast_enabled("cpu")))


def probabilities_of(logits: torch.Tensor, difference: float) -> torch.Tensor:
    first = 0.5 + difference * logits[:, :1]
    return torch.cat([first, 1 - first], dim=1)


@pytest.mark.parametrize(
    ("speedup", "difference", "chosen"),
    [
        (1.5, 0.005, "bf16-mixed"),
        (1.21, 0.0, "bf16-mixed"),
        (1.19, 0.0, "32-true"),
        (0.5, 0.0, "32-true"),
        (5.0, 0.011, "32-true"),
        (5.0, float("nan"), "32-true"),
    ],
)
def test_both_speed_and_parity_decide(
    network: Network, monkeypatch: pytest.MonkeyPatch, speedup: float, difference: float, chosen: str
) -> None:
    found, _ = probe(network, monkeypatch, speedup, difference)
    assert found.precision == chosen
    assert found.probe.speedup == speedup
    assert found.probe.difference == pytest.approx(difference if speedup >= 1.2 else 0, nan_ok=True)
    assert found.device == "cpu"


def test_the_speed_is_remembered_and_parity_is_not(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    first, taken = probe(network, monkeypatch, 1.5, 0.0)
    assert len(taken) == 2
    again, taken = probe(network, monkeypatch, 0.5, 0.0)
    assert not taken
    assert again == first
    broken, taken = probe(network, monkeypatch, 0.5, 0.5)
    assert not taken
    assert broken.precision == "32-true"


def test_what_is_remembered_belongs_to_backbone_and_size(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe(network, monkeypatch, 1.5, 0.0)
    monkeypatch.setattr(probing, "_seconds", lambda *_: 1.0)
    assert choose_inference(network, 64, TINY_BACKBONE).probe.speedup == 1.0
    assert choose_inference(network, 32, "another").probe.speedup == 1.0


def test_a_real_probe_measures_and_leaves_the_network_as_it_was(network: Network) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = choose_inference(network, 32, TINY_BACKBONE)
    assert found.probe.speedup > 0
    assert 0 <= found.probe.difference < 0.1
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    with found.autocast():
        assert torch.is_autocast_enabled("cpu") == (found.precision == "bf16-mixed")


def test_what_is_measured_is_in_32_bits_until_speed_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MTL_CACHE", str(tmp_path))
    monkeypatch.setattr(probing, "_seconds", lambda run, bf16: 1.0 if bf16 else 9.0)
    backbone, record = create_backbone(TINY_BACKBONE, "none")
    network, head = Network(backbone, record, HeadSettings(), ("a", "b")), HeadSettings()
    model = NetworkModel(network, record, head, Preprocess(PreprocessSettings(image_size=32)))
    assert model.inference == Inference("cpu", probing.Probe("32-true", 1.0, 0.0))
    model.quicken()
    assert model.inference.probe.speedup == 9.0
