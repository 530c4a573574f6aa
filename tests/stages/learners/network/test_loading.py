"""Weights made at one image size fit a backbone of another; the oracle is timm's own loading."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from stages.errors import ModelError
from stages.learners.network.architectures import Architecture, build
from stages.learners.network.backbones import check_backbone, create_backbone
from stages.learners.network.loading import match_state, stored_size

TRANSFORMERS = {"test_vit": (160, 96), "test_vit2": (160, 96), "vit_tiny_r_s16_p8_224": (None, 96)}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_position_embeddings_are_resampled_as_timm_does(name: str) -> None:
    native, size = TRANSFORMERS[name]
    torch.manual_seed(0)
    source = timm.create_model(name, num_classes=0).state_dict()
    overlay = {"state_dict": dict(source), "num_classes": 0}
    theirs = timm.create_model(
        name, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0, img_size=size
    )
    ours = build(Architecture(name), "avg", size)
    match_state(ours, {f"backbone.{key}": value for key, value in source.items()}, "x")
    for (key, left), right in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(left, right, msg=key)
    assert stored_size(ours, source) == native


@pytest.mark.parametrize("name", ["test_coatnet", "levit_128s", "eca_botnext26ts_256"])
def test_relative_positions_are_resampled_and_come_back(name: str) -> None:
    torch.manual_seed(0)
    small, large = (build(Architecture(name), "avg", size) for size in (64, 128))
    for key, value in small.state_dict().items():
        if key.rpartition(".")[2] in ("relative_position_bias_table", "attention_biases", "height_rel"):
            value.fill_(float(value.mean()))  # what is even stays even at every size
    match_state(large, small.state_dict(), "x")
    state, changed = small.state_dict(), 0
    for key, value in large.state_dict().items():
        if value.shape != state[key].shape:
            changed += 1
            if key.rpartition(".")[2] in ("relative_position_bias_table", "attention_biases", "height_rel"):
                torch.testing.assert_close(value, torch.full_like(value, float(state[key].mean())))
    assert changed


def test_weights_that_mix_positions_are_refused_at_another_size() -> None:
    source, target = (build(Architecture("gmlp_ti16_224"), "avg", size) for size in (224, 96))
    with pytest.raises(ModelError, match="is missing or has another shape"):
        match_state(target, source.state_dict(), "weights")
    with pytest.raises(
        ModelError, match="to be 224 for gmlp_ti16_224, whose weights mix positions, but got 96"
    ):
        check_backbone("gmlp_ti16_224", {(96, "avg")})
    check_backbone("gmlp_ti16_224", {(224, "avg")})
    check_backbone("test_vit", {(96, "avg"), (32, "max")})


def test_a_file_of_another_size_is_kept_at_its_own(tmp_path: Path) -> None:
    # Stage 1 holds weights as they were trained; each stage resamples them once, for its own images.
    torch.manual_seed(0)
    state = timm.create_model("test_vit", num_classes=0, img_size=96).state_dict()
    save_file(state, tmp_path / "w.safetensors")
    backbone, record = create_backbone("test_vit", tmp_path / "w.safetensors")
    assert record.input_size == 96
    assert torch.equal(backbone.state_dict()["pos_embed"], state["pos_embed"])
    resized, record = create_backbone("test_vit", tmp_path / "w.safetensors", size=64)
    assert record.input_size == 96
    assert resized.state_dict()["pos_embed"].shape != state["pos_embed"].shape
