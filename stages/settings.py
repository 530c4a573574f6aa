"""Typed settings of split, preprocessing, head, training and one stage: the schema that an experiment is made of.

Light on purpose (no torch), so that a configuration is read and checked before anything heavy loads.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from segmentation.settings import Settings
from stages.bag_settings import FIELD, Bagging, BagSettings, Unit
from stages.classical_settings import DEEP, ClassicalSettings, LearnerName
from stages.data_settings import DataSettings
from stages.stacked_settings import STACKED, StackedSettings

__all__ = [
    "HEADS",
    "AugmentSettings",
    "HeadSettings",
    "ImageNetSettings",
    "NormaliseSettings",
    "PreprocessSettings",
    "SegmentSettings",
    "SharpenSettings",
    "SplitSettings",
    "StageSettings",
    "TrainSettings",
]

Fraction = Annotated[float, Field(ge=0, lt=1)]
Penalty = Annotated[float, Field(ge=0)]


class SplitSettings(Settings):
    """How images are parted into train, validation and test."""

    method: Literal["grouped", "block", "kfold", "leave-one-source-out", "official", "files"] = Field(
        "grouped",
        description="grouped hold-out, block hold-out by file number, k-fold, one of several sources, the source's own parts, "
        "saved lists",
    )
    test: Fraction = Field(0.2, description="fraction of all images")
    validation: Fraction = Field(0.15, description="fraction of all images")
    folds: Annotated[int, Field(ge=2)] = Field(10, description="folds of `kfold`")
    fold: Annotated[int, Field(ge=0)] = Field(0, description="which fold is the test part, from 0")
    source: str | None = Field(
        None, description="`leave-one-source-out`: which source is the test part; number `fold` if none"
    )
    reverse: bool = Field(False, description="`block`: test on the first numbers instead of the last")
    offset: Fraction = Field(
        0.0,
        description="`block`: begin so far along the numbers and go round, so that another block is tested",
    )
    near_duplicates: bool = Field(True, description="group near-duplicate images before splitting")
    test_parts: tuple[str, ...] = Field(("test",), description="parts of the source that `official` tests on")
    validation_parts: tuple[str, ...] = Field(
        (), description="parts of the source that `official` validates on"
    )
    folder: Path | None = Field(None, description="folder with the split lists that `files` gives back")

    @model_validator(mode="after")
    def _consistent(self) -> SplitSettings:
        if self.method == "files" and self.folder is None:
            raise ValueError("Expected `folder` to name saved split lists for method 'files', but got none; "
                             "do give the `splits` folder of a finished run")  # fmt: skip
        if self.method == "kfold" and self.fold >= self.folds:
            raise ValueError(
                f"Expected `fold` to be below `folds` = {self.folds}, but got {self.fold}; do count from 0"
            )
        if self.test + self.validation >= 1:
            raise ValueError("Expected `test` + `validation` to be below 1; do leave something to train on")
        return self


class HeadSettings(Settings):
    """What sits on the backbone."""

    activation: Literal["sigmoid", "softmax"] = Field(
        "softmax", description="sigmoid with BCE, or softmax with cross entropy"
    )
    pool: Literal["avg", "max"] = Field("avg", description="global pooling")
    hidden: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] = Field(
        (), description="widths of dense layers before the last"
    )
    dropout: Fraction = Field(
        0.0, description="dropout before every dense layer but none for a single one at 0"
    )
    dropout_at: Literal["before", "after"] = Field(
        "before", description="dropout before every dense layer, or behind the ReLU of every hidden one"
    )
    unit_norm: bool = Field(False, description="bring pooled features to length 1 first")
    basis: Annotated[int, Field(ge=1, le=8192)] | None = Field(
        None, description="bring pooled features to so many fixed directions and to length 1 first; see `mtl federate`"
    )  # fmt: skip
    batch_norm: bool = Field(False, description="batch normalisation after pooling (paper C)")
    batch_norm_momentum: Annotated[float, Field(gt=0, le=1)] = Field(
        0.01, description="share of a new batch in the running statistics: 0.01 is what Keras calls 0.99"
    )
    batch_norm_eps: Annotated[float, Field(gt=0)] = Field(1e-3, description="added to the variance")
    kernel_l1: Penalty = Field(
        0.0, description="times the sum of |weight| of hidden dense layers, onto the loss"
    )
    kernel_l2: Penalty = Field(0.0, description="times the sum of weight squared of hidden dense layers")
    bias_l1: Penalty = Field(0.0, description="times the sum of |bias| of hidden dense layers")
    activity_l1: Penalty = Field(
        0.0, description="times the sum of |output| of hidden dense layers behind ReLU, mean over images"
    )

    @property
    def penalises(self) -> bool:
        """Whether the head adds anything to the loss."""
        return any((self.kernel_l1, self.kernel_l2, self.bias_l1, self.activity_l1))

    @model_validator(mode="after")
    def _consistent(self) -> HeadSettings:
        after = self.dropout > 0 and self.dropout_at == "after"
        if (after or self.penalises) and not self.hidden:
            name = "`dropout_at` = after" if after else "L1 and L2 of dense layers"
            raise ValueError(
                f"Expected `head.hidden` to hold the widths of dense layers for {name}, but it is empty; do give one"
            )
        return self


HEADS: Mapping[str, HeadSettings] = {
    "linear": HeadSettings(),
    "maaliw2022": HeadSettings(hidden=(512, 128), dropout=0.5, dropout_at="after"),
    "pushpalatha2024": HeadSettings(
        pool="max",
        batch_norm=True,
        hidden=(256,),
        dropout=0.45,
        dropout_at="after",
        kernel_l2=0.016,
        bias_l1=0.006,
        activity_l1=0.006,
    ),
}
"""Heads by name: one dense layer, that of paper A's stage 3, and paper C's; see docs/papers.md."""


def _head_of(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in HEADS:
        raise ValueError(
            f"Expected `head` to be settings or one of {', '.join(HEADS)}, but got {value!r}; do choose one"
        )
    return HEADS[value]


class AugmentSettings(Settings):
    """Random changes of the training images; a zero switches a part off."""

    copies: Annotated[int, Field(ge=1)] = Field(
        1, description="how often an epoch shows each training image, every time with a draw of its own"
    )
    flip: Literal["both", "horizontal", "vertical", "none"] = Field(
        "both", description="mirror left and right, top and bottom, both at random, or none"
    )
    rotate: Annotated[float, Field(ge=0, le=180)] = Field(180.0, description="largest angle in degrees")
    shift: Fraction = Field(0.05, description="largest shift as a fraction of the side")
    scale: Fraction = Field(0.1, description="zoom between 1 - scale and 1 + scale")
    anisotropic: bool = Field(False, description="x and y draw a zoom each (paper D)")
    brightness: Fraction = Field(0.25, description="gain between 1 - b and 1 + b")
    contrast: Fraction = Field(0.25, description="contrast between 1 - c and 1 + c")
    saturation: Fraction = Field(0.4, description="saturation between 1 - s and 1 + s")
    hue: Annotated[float, Field(ge=0, le=0.5)] = Field(0.08, description="hue shift in turns")
    channel: Fraction = Field(0.15, description="white balance: independent gain of each channel")
    strength: Annotated[float, Field(ge=0, le=2)] = Field(
        1.0, description="factor on how far colours and scale may change"
    )
    mixup: Annotated[float, Field(ge=0, le=100)] = Field(
        0.0, description="alpha of mixup's Beta distribution; 0 is off"
    )
    cutmix: Annotated[float, Field(ge=0)] = Field(
        0.0, description="alpha of CutMix's Beta distribution; beside mixup a coin decides for each batch"
    )


class TrainSettings(Settings):
    """How weights are learned."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 5
    head_epochs: Annotated[int, Field(ge=0)] = Field(
        1, description="first epochs in which the head alone learns"
    )
    batch_size: Annotated[int, Field(ge=2, le=65_536)] = 32
    optimizer: Literal["adam", "adamw", "adamax", "sgd"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 1e-3
    head_learning_rate: Annotated[float, Field(gt=0, le=10)] = Field(
        1e-3, description="of the head in the head epochs"
    )
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.01
    schedule: Literal["exponential", "cosine", "constant"] = "cosine"
    decay: Annotated[float, Field(gt=0, le=1)] = Field(0.96, description="exponential: factor per epoch")
    warmup: Fraction = Field(0.1, description="cosine: fraction of steps that rise to the peak")
    policy: Literal["frozen", "film", "full", "gradual", "layer_decay"] = Field(
        "full", description="which layers learn; film: the head, and scale and shift of normalisation"
    )
    unfreeze_every: Annotated[int, Field(ge=1)] = Field(
        1, description="gradual: epochs between two unfreezings"
    )
    layer_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        0.75, description="layer_decay: factor per depth group"
    )
    balance: Literal["none", "weights", "oversample"] = Field(
        "none", description="class weights or random oversampling"
    )
    oversample_to: Annotated[int, Field(ge=1)] | None = Field(
        None, description="oversample: images a class, at least; as many as the largest has if none"
    )
    loss: Literal["cross_entropy", "focal"] = Field(
        "cross_entropy", description="cross entropy of the head's activation, or focal loss"
    )
    focal_gamma: Annotated[float, Field(gt=0)] = Field(
        2.0, description="focal: power of 1 - p that plays easy images down"
    )
    label_smoothing: Fraction = 0.0
    monitor: Literal["validation_loss", "validation_macro_f1"] = Field(
        "validation_loss", description="what makes an epoch the best"
    )
    patience: Annotated[int, Field(ge=1)] | None = Field(
        None, description="early stopping: epochs without a better one"
    )
    keep: Literal["best", "last"] = Field(
        "best", description="weights of the best validation epoch or of the last"
    )

    @model_validator(mode="after")
    def _backbone_learns(self) -> TrainSettings:
        if self.policy != "frozen" and self.epochs <= self.head_epochs:
            raise ValueError(
                f"Expected `epochs` to be above `head_epochs` = {self.head_epochs}, but got {self.epochs}: the head would learn alone; "
                "do give more epochs, or ask for it with policy=frozen, or set head_epochs=0"
            )
        return self


class NormaliseSettings(Settings):
    """Colour made alike: every image is moved to what the training part has on average."""

    method: Literal["none", "grey-world", "flat-field", "reinhard", "macenko"] = Field(
        "none", description="grey-world, flat-field, reinhard or macenko"
    )


class SegmentSettings(Settings):
    """White blood cells found before a stage learns (paper A: blasts stay on a black background)."""

    method: str = Field(
        "none", description="residual_unet, or the name of a threshold method such as hsv or channel-mixer"
    )
    settings: dict[str, Any] = Field(
        {},
        description="of the method; for hsv also `fit`: `own` masks of the training part, or a folder of masks",
    )
    weights: Path | None = Field(
        None, description="of `mtl segment train`, a file or folder; the shipped network's if not given"
    )
    use: Literal["black", "crop", "blue"] = Field(
        "black",
        description="black out the background, cut the image to its white cells, or keep their blue channel on black",
    )

    @model_validator(mode="after")
    def _consistent(self) -> SegmentSettings:
        if self.method == "none":  # what stands beside it waits until a method is named
            if (self.settings or self.weights) and "method" not in self.model_fields_set:
                raise ValueError(
                    "Expected `segment.method` beside `settings` or `weights`, but got none; do name it"
                )
            return self
        from segmentation.finders import NETWORK, check_finder

        check_finder(self.method, self.given, "segment.method", "none")
        if self.weights and self.method != NETWORK:
            raise ValueError(
                f"Expected no `segment.weights` with method {self.method}, which has no network; do leave them out or choose {NETWORK}"
            )
        if "fit" in self.settings:
            self._check_fit()
        return self

    def _check_fit(self) -> None:
        if self.method != "hsv" or not isinstance(self.settings["fit"], str) or not self.settings["fit"]:
            raise ValueError(
                f"Expected `segment.settings.fit` to be `own` or a folder of masks, for method hsv, but got {self.settings['fit']!r} "
                f"for {self.method}; do change it"
            )
        bounds = [name for name in self.given if name != "small"]
        if bounds:
            raise ValueError(
                f"Expected `{bounds[0]}` or `fit`, but got both; do leave one out: `fit` finds the bounds"
            )

    @property
    def given(self) -> dict[str, Any]:
        """Settings that the method itself knows."""
        return {name: value for name, value in self.settings.items() if name != "fit"}

    @property
    def fit(self) -> str | None:
        """What the bounds of `hsv` are fitted on: `own`, a folder, or nothing."""
        return self.settings.get("fit") if self.method == "hsv" else None


class SharpenSettings(Settings):
    """Blurred images sharpened until they are as sharp as the training part's (after Genovese et al. 2021)."""

    method: Literal["none", "unsharp-adaptive"] = "none"
    sigma: Annotated[float, Field(ge=0.3, le=20)] = Field(
        1.0, description="width of the blur in px of the resized image"
    )
    most: Annotated[float, Field(gt=0, le=10)] = Field(
        3.0, description="largest amount of detail that is added"
    )
    quantile: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="which sharpness of the training part is the aim: 0.5 is its median"
    )


class PreprocessSettings(Settings):
    """What an image of any size goes through before a stage sees it, while it learns and ever after."""

    normalise: NormaliseSettings = NormaliseSettings()
    segment: SegmentSettings = SegmentSettings()
    sharpen: SharpenSettings = SharpenSettings()
    image_size: Annotated[int, Field(ge=16, le=2048)] = Field(
        160, description="side in px that images are resized to"
    )
    fit: Literal["stretch", "pad", "crop"] = Field("stretch", description="how a non-square image becomes square")  # fmt: skip


class StageSettings(Settings):
    """One stage that learns: data, preprocessing, who learns, and how."""

    data: DataSettings
    split: SplitSettings = SplitSettings()
    preprocess: PreprocessSettings = PreprocessSettings()
    learner: LearnerName = Field(
        "network",
        description="network, stacked (frozen features of many depths and colour), or a classifier on features: svm, forest and others",
    )
    stacked: StackedSettings = Field(StackedSettings(), description="of the learner stacked")
    classical: ClassicalSettings = Field(ClassicalSettings(), description="of learners that are no network")
    unit: Unit = Field("field", description="what is answered for: an image, its white cells, or a patient")
    bags: BagSettings = Field(BagSettings(), description="of the units cells and patient")
    head: Annotated[HeadSettings, BeforeValidator(_head_of)] = HeadSettings()
    augment: AugmentSettings = AugmentSettings()
    train: TrainSettings = TrainSettings()

    @property
    def needs_backbone(self) -> bool:
        """Whether it learns from the backbone of the stage before."""
        return self.learner in ("network", STACKED) or DEEP in self.classical.features

    @property
    def bagging(self) -> Bagging | None:
        """How bags are made; None where every image is answered for itself."""
        return self.bags.of(self.unit)

    @property
    def pool(self) -> str:
        """Global pooling of that backbone."""
        if self.learner == STACKED:
            return "avg"
        return self.head.pool if self.learner == "network" else self.classical.pool

    @model_validator(mode="after")
    def _learned(self) -> StageSettings:
        segment = self.preprocess.segment
        if self.unit != FIELD and self.learner != "network":
            raise ValueError(
                f"Expected no `learner` beside `unit` {self.unit}, whose cells or images a backbone at rest sees, but got {self.learner}; do leave it out"
            )
        if self.learner in ("network", STACKED):
            return self
        if "shape" in self.classical.features and (segment.method == "none" or segment.use == "crop"):
            got = "method none" if segment.method == "none" else "use crop"
            raise ValueError(
                f"Expected `preprocess.segment` to leave white cells on black for the feature shape, but got {got}; "
                "do give --segment hsv or another method with use black, or leave shape out"
            )
        if self.classical.balance != "none" and self.learner in ("knn", "mlp"):
            raise ValueError(
                f"Expected `classical.balance` to be none for {self.learner}, which knows no class weights, but got "
                f"{self.classical.balance}; do leave it out or choose another learner"
            )
        return self


class ImageNetSettings(Settings):
    """Stage 1: verified ImageNet weights, optionally trained further on any image folder."""

    proceed: StageSettings | None = Field(None, description="continue on these images (paper A, eq. 1)")
