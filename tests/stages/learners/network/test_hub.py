"""Weights from elsewhere: a model of the hub, torchvision's files; all stand-ins, no network is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from stages.errors import ModelError
from stages.learners.model import load_model
from stages.learners.network import hub
from stages.learners.network.backbones import create_backbone, describe_backbone, rebuild_backbone
from stages.learners.network.model import NetworkModel
from stages.learners.network.network import Network
from stages.preprocess import Preprocess
from stages.settings import HeadSettings, PreprocessSettings

NAME = "hf-hub:somebody/blood.vit"
CONFIG: dict[str, Any] = {
    "architecture": "test_vit",
    "num_classes": 0,
    "model_args": {"img_size": 96},
    "pretrained_cfg": {"input_size": [3, 96, 96], "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "license": "mit"},
}  # fmt: skip


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("segmentation.networks.reachable", lambda endpoint: False)
    monkeypatch.setattr(hub, "_from_hub_cache", lambda repository, file, revision: None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model of the hub, in a folder."""
    folder = tmp_path / "model"
    folder.mkdir()
    torch.manual_seed(0)
    save_file(
        timm.create_model("test_vit", num_classes=0, img_size=96).state_dict(), folder / "model.safetensors"
    )
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


@pytest.mark.usefixtures("offline")
def test_offline_a_model_of_the_hub_says_how_to_bring_it() -> None:
    with pytest.raises(ModelError) as caught:
        create_backbone(NAME)
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 300
    assert "config.json and model.safetensors" in said
    assert "somebody/blood.vit elsewhere into one folder and give --weights FOLDER/model.safetensors" in said


@pytest.mark.usefixtures("offline")
def test_a_local_file_with_its_configuration_is_the_model(model: Path) -> None:
    backbone, record = create_backbone(NAME, model / "model.safetensors", size=64)
    assert (record.backbone, record.architecture, record.arguments) == (NAME, "test_vit", {"img_size": 96})
    assert (record.mean, record.std, record.input_size) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 96)
    assert record.source == "file:model.safetensors"
    assert len(record.sha256) == 64
    with torch.inference_mode():
        assert backbone(torch.rand(1, 3, 64, 64)).shape == (1, backbone.feature_width)


@pytest.mark.usefixtures("offline")
def test_a_saved_model_of_the_hub_loads_without_it(model: Path, tmp_path: Path) -> None:
    backbone, record = create_backbone(NAME, model / "model.safetensors", size=64)
    head = HeadSettings()
    trained = NetworkModel(
        Network(backbone, record, head, ("a", "b")),
        record,
        head,
        Preprocess(PreprocessSettings(image_size=64)),
    )
    (tmp_path / "saved").mkdir()
    trained.save(tmp_path / "saved")
    images = [torch.randint(0, 256, (70, 80, 3), dtype=torch.uint8).numpy()]
    assert (load_model(tmp_path / "saved").probabilities(images) == trained.probabilities(images)).all()


def test_a_hub_that_can_be_reached_is_asked_for_both_files(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    asked: list[tuple[str, str, str | None]] = []

    def download(repository: str, file: str, revision: str | None = None) -> str:
        asked.append((repository, file, revision))
        return str(model / file)

    monkeypatch.setattr("segmentation.networks.reachable", lambda endpoint: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    _, record = create_backbone(f"{NAME}@v2")
    assert asked == [("somebody/blood.vit", file, "v2") for file in ("config.json", "model.safetensors")]
    assert (record.source, record.licence) == ("hub:somebody/blood.vit@v2", "mit")
    assert describe_backbone(f"{NAME}@v2").architecture == "test_vit"


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("told", ["{}", "[", "7", '{"architecture": 3}'])
def test_a_configuration_of_another_kind_is_one_sentence(model: Path, told: str) -> None:
    (model / "config.json").write_text(told)
    with pytest.raises(ModelError, match="to name an `architecture` of timm"):
        create_backbone(NAME, model / "model.safetensors")


@pytest.mark.usefixtures("offline")
def test_an_architecture_that_timm_lacks_is_one_sentence(model: Path) -> None:
    (model / "config.json").write_text(json.dumps(CONFIG | {"architecture": "perceptron"}))
    with pytest.raises(ModelError, match="it says 'perceptron'"):
        create_backbone(NAME, model / "model.safetensors")


@pytest.mark.usefixtures("offline")
def test_one_of_the_catalogue_needs_no_configuration(tmp_path: Path) -> None:
    # DinoBloom's own architecture is known; its weights here are random ones of that shape.
    name = "hf-hub:1aurent/vit_small_patch14_224.dinobloom"
    state = timm.create_model("vit_small_patch14_dinov2", num_classes=0, img_size=224).state_dict()
    save_file(state | {"mask_token": torch.zeros(1, 384)}, tmp_path / "DinoBloom-S.safetensors")
    _, record = create_backbone(name, tmp_path / "DinoBloom-S.safetensors", size=56)
    assert (record.input_size, record.licence) == (224, "as the file's owner says")
    assert "wbc-1" in record.pretrained_on
    _, untrained = create_backbone(name, "none", size=56)
    assert untrained.pretrained_on == ()
    assert rebuild_backbone(untrained, "avg", 56).feature_width == 384


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ["alexnet", "legacy_xception"])
def test_offline_a_file_of_a_server_says_where_it_is(name: str) -> None:
    assert hub.is_here(name) == ""
    with pytest.raises(
        ModelError, match=rf"weights of {name}, but .* cannot be reached; do download http.*--weights PATH"
    ):
        create_backbone(name)


@pytest.mark.usefixtures("offline")
def test_a_file_in_the_cache_of_torch_is_taken(tmp_path: Path) -> None:
    from torchvision.models import SqueezeNet1_1_Weights, squeezenet1_1

    torch.manual_seed(0)
    state = squeezenet1_1().state_dict()
    path = tmp_path / "torch/hub/checkpoints" / Path(SqueezeNet1_1_Weights.IMAGENET1K_V1.url).name
    path.parent.mkdir(parents=True)
    torch.save(state, path)
    assert hub.is_here("squeezenet1_1") == "cache"
    backbone, record = create_backbone("squeezenet1_1")
    assert record.source == "torchvision:SqueezeNet1_1_Weights.IMAGENET1K_V1"
    own = backbone.state_dict()
    assert all(torch.equal(state[key], value) for key, value in own.items())
    assert set(state) - set(own) == {"classifier.1.weight", "classifier.1.bias"}


def test_what_an_installed_package_carries_is_here() -> None:
    assert hub.is_here("tf_efficientnet_lite0") == "package"
