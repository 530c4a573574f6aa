"""What is exported gives what the model gives: any batch, any size, mirror images, temperature, both activations."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from exports import CLASSES, pictures, small_model
from torch import nn

from stages.errors import ModelError
from stages.export.graph import Whole, about, exported_program, network_of, outside
from stages.learners.classical.model import ClassicalModel
from stages.settings import PreprocessSettings

EXAMPLE = torch.zeros(2, 40, 48, 3, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("flips", "activation", "temperature"), [(True, "softmax", 0.4), (False, "sigmoid", None)]
)
def test_the_graph_takes_bytes_of_any_size_and_answers_as_the_model(
    flips: bool, activation: str, temperature: float | None
) -> None:
    model = small_model(temperature, flips=flips, activation=activation)
    run = torch.no_grad()(exported_program(Whole(model), EXAMPLE).module())
    for image in pictures():
        said, seen = run(torch.from_numpy(image)[None])
        assert np.abs(said.numpy() - model.probabilities([image])).max() < 1e-5
        assert np.abs(seen.numpy() - model.embeddings([image])).max() < 1e-4
    batch = np.stack([pictures(1)[0]] * 5)
    assert np.abs(run(torch.from_numpy(batch))[0].numpy() - model.probabilities(batch)).max() < 1e-5


def test_what_the_file_says_of_itself_is_the_model() -> None:
    told = json.loads(about(small_model(), "KEY")["mtl"])
    assert (told["key"], told["classes"], told["outside"]) == ("KEY", list(CLASSES), [])
    assert told["inside"]["temperature"] == 0.4
    assert told["least"] == dict.fromkeys(CLASSES, 0.1)
    assert json.loads(about(small_model(None), "")["mtl"])["unsure_below"] is None


def test_steps_that_no_graph_holds_are_named() -> None:
    settings = PreprocessSettings.model_validate(
        {"segment": {"method": "white-cells"}, "normalise": {"method": "reinhard"}}
    )
    assert outside(settings) == ["normalise: reinhard", "segment: white-cells"]


def test_only_networks_are_exported() -> None:
    model = small_model()
    assert network_of(model) is model
    with pytest.raises(ModelError, match="kind classical"):
        network_of(ClassicalModel([], None, CLASSES, model.preprocess))  # type: ignore[arg-type]


def test_what_cannot_be_traced_is_one_sentence() -> None:
    class Branching(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images + 1 if images.sum() > 0 else images

    with pytest.raises(ModelError, match=r"torch\.export.*do choose another backbone"):
        exported_program(Branching(), EXAMPLE)
