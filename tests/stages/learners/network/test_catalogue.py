"""What stands in the catalogue is checked in: here it is held against the libraries, and counted anew."""

from __future__ import annotations

import re

import pytest
import timm
import torch

from stages.data.catalogue import CATALOGUE as DATA
from stages.learners.network.architectures import Architecture, build, count_work
from stages.learners.network.backbones import create_backbone, describe_backbone
from stages.learners.network.catalogue import CATALOGUE
from stages.learners.network.hub import source_of
from stages.learners.network.names import HUB, find_backbone

PLAIN = [name for name in CATALOGUE if not name.startswith(HUB)]
DINOBLOOM = "hf-hub:1aurent/vit_small_patch14_224.dinobloom"
NAMED = {
    "A": {"InceptionV3", "Xception", "InceptionResNetV2"},
    "B": {"VGG16", "VGG19", "ResNet50", "ResNet101", "DenseNet121", "NASNet-A large", "InceptionV3", "Xception", "EfficientNetB0", "MobileNetV2"},
    "C": {"ResNet50", "EfficientNetB3", "VGG16", "AlexNet"},
    "D": {"DenseNet201", "ResNet50", "AlexNet", "VGG16", "MobileNetV2", "ResNeXt50", "EfficientNetV2-B2"},
    "E": {"AlexNet", "GoogLeNet", "ResNet18", "ResNet50", "ShuffleNetV2", "MobileNetV2"},
}  # fmt: skip
"""What each paper names; paper B's NASNetMobile is kept nowhere."""


@pytest.mark.parametrize("letter", NAMED)
def test_all_that_a_paper_names_is_here(letter: str) -> None:
    found = {record.title for record in CATALOGUE.values() if letter in record.papers.split(", ")}
    assert found == NAMED[letter]


@pytest.mark.parametrize("name", CATALOGUE)
def test_work_and_parameters_are_those_of_the_built_network(name: str) -> None:
    record = CATALOGUE[name]
    architecture = Architecture(record.architecture or name)
    assert count_work(architecture, record.input_size) == (record.parameters, record.macs)
    with torch.device("meta"):
        backbone = build(architecture, "avg", record.input_size)
    assert sum(parameter.numel() for parameter in backbone.parameters()) == record.parameters


@pytest.mark.parametrize("name", PLAIN)
def test_what_weights_expect_is_what_their_library_says(name: str) -> None:
    record, source = CATALOGUE[name], source_of(name)
    assert find_backbone(name) == name
    assert source is not None
    assert record.licence == source.licence
    config = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    if config is None:
        assert source.name.endswith(".IMAGENET1K_V1")
        return
    assert (record.mean, record.std, record.input_size) == (config.mean, config.std, config.input_size[-1])
    tags = {"ImageNet-1k": "in1k", "ImageNet-12k": "in12k", "ImageNet-21k": "in21k", "LVD-142M": "lvd142m"}
    told = {tag for words, tag in tags.items() if re.search(rf"\b{words}\b", record.pretrained)}
    assert told == set(re.findall(r"in\d+k|lvd142m", config.tag))


@pytest.mark.parametrize(
    "name", ["alexnet", "googlenet", "legacy_xception", "shufflenet_v2_x1_0", "resnet18"]
)
def test_a_weight_record_says_the_same(name: str) -> None:
    _, record = create_backbone(name, "none")
    known = CATALOGUE[name]
    assert (record.mean, record.std, record.input_size) == (known.mean, known.std, known.input_size)


def test_googlenet_normalises_as_its_weights_were_trained() -> None:
    # torchvision normalises by ImageNet's numbers and, where weights are given, turns that back within the network.
    from torchvision.models import GoogLeNet_Weights, googlenet

    torch.manual_seed(0)
    theirs = googlenet(aux_logits=False, transform_input=True, init_weights=True).eval()
    theirs.fc = torch.nn.Identity()
    ours, record = create_backbone("googlenet", "none")
    ours.load_state_dict(theirs.state_dict())
    images = torch.rand(1, 3, 64, 64)
    expected = GoogLeNet_Weights.IMAGENET1K_V1.transforms()

    def normalised(mean: list[float], std: list[float]) -> torch.Tensor:
        return (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)

    with torch.inference_mode():
        torch.testing.assert_close(
            ours.eval()(normalised(list(record.mean), list(record.std))),
            theirs(normalised(expected.mean, expected.std)),
            rtol=1e-3, atol=1e-4,
        )  # fmt: skip


def test_xception_is_the_network_that_has_weights() -> None:
    _, record = create_backbone("xception", "none")
    assert record.backbone == "legacy_xception"
    assert record.mean == record.std == (0.5, 0.5, 0.5)
    assert record.input_size == 299
    assert timm.get_pretrained_cfg("xception") is None  # why it must be said


def test_what_a_backbone_may_have_seen_is_a_data_set_of_ours() -> None:
    assert CATALOGUE[DINOBLOOM].seen
    assert all(set(record.seen) <= set(DATA) for record in CATALOGUE.values())


def test_what_is_not_in_the_catalogue_is_counted() -> None:
    record = describe_backbone("test_resnet")
    network = timm.create_model("test_resnet", num_classes=0)
    assert record.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert record.input_size == 160
    assert record.macs > 0
