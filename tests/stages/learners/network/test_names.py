from __future__ import annotations

import pytest

from stages.errors import ModelError
from stages.learners.network.names import find_backbone


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("resnet50", "resnet50"),
        ("resnet50.tv_in1k", "resnet50.tv_in1k"),
        ("xception", "legacy_xception"),
        ("tv_resnet50", "resnet50.tv_in1k"),
        ("vit_small_patch16_224_in21k", "vit_small_patch16_224.augreg_in21k"),
        ("alexnet", "alexnet"),
        ("torchvision:googlenet", "googlenet"),
        ("torchvision:resnet50", "torchvision:resnet50"),
        ("hf-hub:somebody/name@v1", "hf-hub:somebody/name@v1"),
    ],
)
def test_a_name_has_one_meaning(typed: str, meant: str) -> None:
    assert find_backbone(typed) == meant
    assert find_backbone(meant) == meant


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("resnet50.tv_in2k", "to be of a tag that timm knows, but got 'tv_in2k'; do choose of "),
        ("NASNetMobile", "neither has it: do take nasnetalarge"),
        ("nasnet_mobile", "neither has it: do take nasnetalarge"),
        ("hf-hub:name", "to be hf-hub:OWNER/NAME, but got 'hf-hub:name'"),
        ("hf-hub:../../name", "to be hf-hub:OWNER/NAME"),
        ("torchvision:alexnett", "did you mean alexnet"),
        ("shufflenetv2", "did you mean shufflenet_v2_x"),
        ("xcit", "did you mean xcit_"),
        ("", "see `mtl backbones`"),
        ("qqqq", "see `mtl backbones`"),
    ],
)
def test_a_name_that_is_none_is_one_sentence(typed: str, sentence: str) -> None:
    with pytest.raises(ModelError) as caught:
        find_backbone(typed)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
