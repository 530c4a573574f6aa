"""Backbones of every family: they start at the least size that they take, learn, and say below it what they take."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import timm
import torch
from timm.models import list_modules

from stages.errors import ModelError
from stages.learners.network import architectures
from stages.learners.network.architectures import Architecture, build, count_work, fit_size, native_size
from stages.learners.network.catalogue import CATALOGUE
from stages.learners.network.names import HUB, find_backbone
from stages.learners.network.network import depth_groups

FAMILIES = {
    "1.0.31": {
        "beit": ("beit_base_patch16_224", 16),
        "byoanet": ("halonet_h1", 256),
        "byobnet": ("test_byobnet", 16),
        "cait": ("cait_xxs24_224", 16),
        "coat": ("coat_tiny", 32),
        "convit": ("convit_tiny", 16),
        "convmixer": ("convmixer_768_32", 16),
        "convnext": ("test_convnext", 32),
        "cpubone": ("cpubone_nano", 16),
        "crossvit": ("crossvit_tiny_240", 16),
        "csatv2": ("csatv2", 64),
        "cspnet": ("cs3darknet_focus_s", 16),
        "cspnext": ("cspnext_tiny", 16),
        "davit": ("davit_tiny", 16),
        "deepseek_vit": ("deepseek_vit_412m", 28),
        "deit": ("deit_tiny_patch16_224", 16),
        "densenet": ("densenet121", 29),
        "dla": ("dla46x_c", 32),
        "dpn": ("dpn48b", 16),
        "edgenext": ("edgenext_xx_small", 32),
        "efficientformer": ("efficientformer_l1", 224),
        "efficientformer_v2": ("efficientformerv2_s0", 32),
        "efficientnet": ("test_efficientnet", 16),
        "efficientvim": ("efficientvim_m1", 16),
        "efficientvit_mit": ("efficientvit_b0", 16),
        "efficientvit_msra": ("efficientvit_m0", 16),
        "eva": ("eva02_tiny_patch14_224", 16),
        "fasternet": ("fasternet_t0", 32),
        "fastvit": ("fastvit_t8", 16),
        "focalnet": ("focalnet_tiny_srf", 32),
        "gcvit": ("gcvit_xxtiny", 32),
        "gemma4_vit": ("gemma4_vit_167m", 16),
        "ghostnet": ("ghostnet_050", 16),
        "hardcorenas": ("hardcorenas_b", 16),
        "hgnet": ("hgnetv2_b0", 16),
        "hiera": ("hiera_tiny_224", 32),
        "hieradet_sam2": ("sam2_hiera_tiny", 32),
        "hrnet": ("hrnet_w18_small", 32),
        "iformer": ("iformer_t", 16),
        "inception_next": ("inception_next_atto", 32),
        "inception_resnet_v2": ("inception_resnet_v2", 75),
        "inception_v3": ("inception_v3", 75),
        "inception_v4": ("inception_v4", 75),
        "lcnetv2": ("lcnetv2_small", 16),
        "levit": ("levit_128s", 16),
        "lowformer": ("lowformer_b0", 16),
        "mambaout": ("test_mambaout", 16),
        "maxxvit": ("test_coatnet", 32),
        "metaformer": ("poolformerv2_s12", 16),
        "mlp_mixer": ("gmlp_ti16_224", 16),
        "mobilenetv3": ("lcnet_035", 16),
        "mobilenetv5": ("mobilenetv5_base", 16),
        "mobilevit": ("mobilevit_xxs", 16),
        "mvitv2": ("mvitv2_tiny", 16),
        "naflexvit": ("naflexvit_base_patch16_parfac_gap", 16),
        "nasnet": ("nasnetalarge", 16),
        "nest": ("nest_tiny", 16),
        "nextvit": ("nextvit_small", 25),
        "nfnet": ("test_nfnet", 16),
        "pit": ("pit_ti_224", 16),
        "pnasnet": ("pnasnet5large", 16),
        "pvt_v2": ("pvt_v2_b0", 29),
        "qwen3_vit": ("qwen3_vit_88m", 16),
        "rdnet": ("rdnet_tiny", 32),
        "regnet": ("regnetx_002", 16),
        "repghost": ("repghostnet_050", 16),
        "repvit": ("repvit_m1", 16),
        "res2net": ("res2next50", 16),
        "resnest": ("resnest14d", 16),
        "resnet": ("test_resnet", 16),
        "resnetv2": ("resnetv2_18", 16),
        "rexnet": ("rexnet_100", 16),
        "selecsls": ("selecsls42", 16),
        "senet": ("legacy_seresnet18", 16),
        "sequencer": ("sequencer2d_s", 16),
        "shvit": ("shvit_s1", 16),
        "sknet": ("skresnet18", 16),
        "starnet": ("starnet_s050", 16),
        "swiftformer": ("swiftformer_xs", 16),
        "swin_transformer": ("swin_tiny_patch4_window7_224", 16),
        "swin_transformer_v2": ("swinv2_tiny_window8_256", 16),
        "swin_transformer_v2_cr": ("swinv2_cr_tiny_224", 16),
        "tiny_vit": ("tiny_vit_5m_224", 16),
        "tnt": ("tnt_s_legacy_patch16_224", 16),
        "tresnet": ("tresnet_m", 20),
        "twins": ("twins_svt_small", 32),
        "vgg": ("vgg11", 32),
        "visformer": ("visformer_tiny", 32),
        "vision_transformer": ("test_vit", 16),
        "vision_transformer_hybrid": ("vit_tiny_r_s16_p8_224", 32),
        "vision_transformer_relpos": ("test_vit_relpos", 16),
        "vision_transformer_sam": ("samvit_base_patch16_224", 16),
        "vitamin": ("vitamin_small_224", 16),
        "volo": ("volo_d1_224", 16),
        "vovnet": ("ese_vovnet19b_slim_dw", 29),
        "xception": ("legacy_xception", 16),
        "xception_aligned": ("xception41", 16),
        "xcit": ("xcit_nano_12_p16_224", 16),
    }
}
"""The smallest of every family of timm, and its least size in px that `--image-size` (16 and more) can be, by timm's version."""
PAPERS = {name: 16 for name in CATALOGUE if not name.startswith(HUB)} | {
    "alexnet": 63,
    "convnext_tiny": 32,
    "densenet121": 29,
    "densenet201": 29,
    "inception_resnet_v2": 75,
    "inception_v3": 75,
    "squeezenet1_0": 21,
    "vgg16": 32,
    "vgg19": 32,
}
KNOWN = FAMILIES.get(timm.__version__, {})


def test_every_family_of_timm_is_here() -> None:
    if not KNOWN:
        pytest.skip(f"no list of the families of timm {timm.__version__}")
    assert set(KNOWN) == set(list_modules()) - {"spectral"}  # ours
    assert all(name in timm.list_models(module=family) for family, (name, _) in KNOWN.items())


@pytest.mark.parametrize(("name", "least"), sorted({*KNOWN.values(), *PAPERS.items()}))
def test_it_starts_and_learns_at_its_least_size(name: str, least: int) -> None:
    torch.manual_seed(0)
    architecture = Architecture(name)
    fit = fit_size(architecture, "avg", least)
    # Large ones without numbers: what they compute is the library's, that it can be done is ours.
    parameters = architectures._on_meta(architecture, "avg", fit.built_for).parameters()
    large = sum(parameter.numel() for parameter in parameters) > 15e6 or least > 100
    device = "meta" if large else "cpu"
    with torch.device(device):
        backbone = build(architecture, "avg", least)
    features = backbone(torch.rand(2, 3, least, least, device=device))
    assert features.shape == (2, fit.width)
    assert backbone.feature_width == fit.width
    features.square().sum().backward()
    gradients = [parameter.grad for parameter in backbone.parameters()]
    assert sum(gradient is None for gradient in gradients) <= 1  # one of EfficientViM's has no use
    if not large:
        assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients if gradient is not None)
    names = [name for name, _ in backbone.named_parameters()]
    groups = depth_groups(backbone)
    assert len(groups) > 1
    assert sorted(name for group in groups for name in group) == sorted(names)


@pytest.mark.parametrize(
    ("name", "size", "sentence"),
    [
        ("inception_v3", 48, "at least 75 for inception_v3, but got 48; do give --image-size 75 or more"),
        ("alexnet", 32, "at least 63 for alexnet, but got 32; do give --image-size 63 or more"),
        ("squeezenet1_0", 16, "at least 21 for squeezenet1_0, but got 16; do give --image-size 21 or more"),
        ("test_convnext", 16, "at least 32 for test_convnext, but got 16; do give --image-size 32 or more"),
        ("vit_b_16", 100, "a multiple of 16 for vit_b_16, but got 100; do give 96 or 112"),
        ("test_coatnet", 20, "a multiple of 32, at least 32, for test_coatnet, but got 20; do give 32"),
        ("dla46x_c", 16, "a multiple of 32, at least 32, for dla46x_c, but got 16; do give 32"),
        ("bat_resnext26ts", 96, "256 for bat_resnext26ts, but got 96; do give --image-size 256"),
    ],
)
def test_a_size_that_it_does_not_take_is_refused_with_those_it_takes(
    name: str, size: int, sentence: str
) -> None:
    architecture = Architecture(name)
    with pytest.raises(ModelError) as caught:
        build(architecture, "avg", size)
    assert str(caught.value) == f"Expected `--image-size` to be {sentence}"
    for named in (
        sentence.rpartition("do give")[2].replace("--image-size", "").replace("or more", "").split(" or ")
    ):
        assert fit_size(architecture, "avg", int(named)).width > 0


@pytest.mark.parametrize(("name", "least"), [("alexnet", 63), ("squeezenet1_0", 21), ("test_convnext", 32)])
def test_kernels_agree_on_the_least_size(name: str, least: int) -> None:
    # The sizes are found without numbers; the oracle is a pass with them.
    backbone = build(Architecture(name), "avg", least)
    with torch.inference_mode():
        assert backbone(torch.rand(1, 3, least, least)).shape == (1, backbone.feature_width)
        with pytest.raises(RuntimeError):
            backbone(torch.rand(1, 3, least - 1, least - 1))


@pytest.mark.parametrize(
    ("name", "width"), [("mobilenetv3_small_050", 1024), ("vgg11", 4096), ("lcnet_035", 1280)]
)
def test_the_width_is_that_of_the_features_not_what_timm_calls_so(name: str, width: int) -> None:
    assert timm.create_model(name, num_classes=0, pretrained=False).num_features != width
    assert fit_size(Architecture(name), "avg", 224).width == width


def test_trying_out_moves_no_random_number() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    fit_size(Architecture("regnet_y_400mf"), "avg", 40)  # cannot be built without numbers
    fit_size(Architecture("test_vit2"), "avg", 32)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("pool", ["avg", "max"])
@pytest.mark.parametrize("name", ["test_vit", "test_efficientnet", "googlenet", "squeezenet1_0"])
def test_pooling_changes_features_and_no_weight(name: str, pool: str) -> None:
    architecture = Architecture(name)
    size = native_size(architecture)
    torch.manual_seed(0)
    plain, other = build(architecture, "avg").eval(), build(architecture, pool).eval()
    assert list(plain.state_dict()) == list(other.state_dict())
    other.load_state_dict(plain.state_dict())
    images = torch.rand(1, 3, size, size)
    with torch.inference_mode():
        same = torch.equal(plain(images), other(images))
    assert same == (pool == "avg")


@pytest.mark.parametrize("name", ["shufflenet_v2_x1_0", "pit_ti_distilled_224"])
def test_pooling_that_it_does_not_offer_is_refused(name: str) -> None:
    assert fit_size(Architecture(name), "avg", 224).width > 0
    with pytest.raises(ModelError, match=rf"`head.pool` .* {name} offers, but got 'max'; do use 'avg'"):
        fit_size(Architecture(name), "max", 224)


def test_an_encoder_without_classifier_is_pooled() -> None:
    assert fit_size(Architecture("qwen3_vit_88m_enc"), "avg", 64).width == 768


def test_one_that_gives_no_vector_is_refused_in_a_sentence() -> None:
    with pytest.raises(
        ModelError, match=r"mobilenetv5_300m_enc does not .*one vector an image.*mtl backbones"
    ):
        fit_size(Architecture("mobilenetv5_300m_enc"), "avg", 128)


@pytest.mark.parametrize(
    ("name", "classifier"), [("alexnet", 4096), ("googlenet", 1024), ("shufflenet_v2_x1_0", 1024)]
)
def test_work_is_what_torchvision_counts(name: str, classifier: int) -> None:
    from torchvision.models import get_model_weights

    meta = next(iter(get_model_weights(name))).meta
    parameters, macs = count_work(Architecture(name), 224)
    second = 0 if name != "googlenet" else meta["num_params"] - parameters - classifier * 1000 - 1000
    assert parameters == meta["num_params"] - classifier * 1000 - 1000 - second
    assert macs / 1e9 == pytest.approx(meta["_ops"] - classifier * 1000 / 1e9, abs=0.002)


def test_depth_groups_of_a_sequence_are_its_layers() -> None:
    groups: Sequence[Sequence[str]] = depth_groups(build(Architecture("alexnet"), "avg", 64))
    assert [group[0] for group in groups] == [
        *(f"features.{layer}.weight" for layer in (0, 3, 6, 8, 10)),
        "classifier.1.weight",
        "classifier.4.weight",
    ]


def test_names_of_torchvision_are_found() -> None:
    assert find_backbone("torchvision:alexnet") == find_backbone("alexnet") == "alexnet"
    assert Architecture(find_backbone("torchvision:resnet18")).library == "torchvision"
    assert Architecture(find_backbone("resnet18")).library == "timm"
