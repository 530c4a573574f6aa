from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.stats import binomtest

from segmentation import training
from segmentation.augment import ColourSettings
from segmentation.crops import CropSettings, Pairs
from segmentation.errors import ImageError, MaskError, ModelError, ParameterError
from segmentation.networks import NetworkRecipe, SegmentationNetwork, create_network
from segmentation.settings import Hardware
from segmentation.training import TrainSettings, train_network

Pair = tuple[np.ndarray, np.ndarray]
FAST = TrainSettings(
    steps=6,
    batch_size=4,
    every=3,
    crops=CropSettings(size=32, scale=(0.8, 1.2)),
    colours=ColourSettings(),
    learning_rate=0.01,
)


def changed(settings: TrainSettings, **values: object) -> TrainSettings:
    return TrainSettings.model_validate({**settings.model_dump(), **values})


def _pairs(count: int = 4) -> list[Pair]:
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(count):
        image, labels = np.full((64, 72, 3), 235, np.uint8), np.zeros((64, 72), np.uint8)
        x, y = (int(value) for value in rng.integers(22, 42, 2))
        for radius, label, colour in ((18, 1, (190, 180, 220)), (11, 2, (90, 50, 150))):
            cv2.circle(image, (x, y), radius, colour, -1)
            cv2.circle(labels, (x, y), radius, label, -1)
        pairs.append((image, labels))
    return pairs


def _network() -> SegmentationNetwork:
    torch.manual_seed(0)
    return create_network(NetworkRecipe(width=4, depth=2))


def test_training_lowers_the_loss_and_learns_discs() -> None:
    network = _network()
    settings = changed(FAST, steps=60, every=15, batch_size=8, colours=None, average=0.9)
    trained = train_network(network, _pairs(), settings)
    assert trained.steps == 60
    assert trained.losses[-1] < 0.6 * trained.losses[0]
    assert not network.training


@pytest.mark.parametrize(("share", "steps"), [(0.0, 6), (0.5, 6), (0.0, 5)])
def test_resumed_equals_uninterrupted(tmp_path: Path, share: float, steps: int) -> None:
    class Stop(Exception):  # noqa: N818 - a signal of this test
        pass

    def stop(done: int, total: int, text: str) -> None:
        if done == 4:
            raise Stop

    whole, broken, resumed = _network(), _network(), _network()
    settings, old = changed(FAST, rehearsal=share, steps=steps), _pairs(2) if share else []
    train_network(whole, _pairs(), settings, rehearsal=old)
    with pytest.raises(Stop):
        train_network(broken, _pairs(), settings, rehearsal=old, folder=tmp_path, progress=stop)
    trained = train_network(resumed, _pairs(), settings, rehearsal=old, folder=tmp_path)
    assert len(trained.losses) == 2
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0, msg=name)


def test_rehearsal_cuts_its_share_of_all_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    cut: Counter[int] = Counter()
    sample = training.sample_batch

    def counted(
        pairs: Pairs, count: int, settings: CropSettings, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        cut[len(pairs)] += count
        return sample(pairs, count, settings, rng)

    monkeypatch.setattr(training, "sample_batch", counted)
    settings = changed(FAST, steps=40, every=40, colours=None, rehearsal=0.25)
    train_network(_network(), _pairs(4), settings, rehearsal=_pairs(3))
    assert sum(cut.values()) == 160
    assert binomtest(cut[3], 160, 0.25).pvalue > 1e-4


@pytest.mark.parametrize("share", [-0.1, 1.0, 0.5])
def test_a_share_without_pairs_or_out_of_range_is_refused(share: float) -> None:
    rehearsal = [] if share == 0.5 else _pairs(1)
    with pytest.raises((ParameterError, ValidationError), match="rehearsal"):
        train_network(_network(), _pairs(1), changed(FAST, rehearsal=share), rehearsal=rehearsal)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    train_network(_network(), _pairs(), changed(FAST, steps=1), folder=tmp_path)
    with pytest.raises(ModelError, match="same settings"):
        train_network(_network(), _pairs(), changed(FAST, steps=2), folder=tmp_path)


def test_validation_scores_are_kept() -> None:
    scores = iter((0.1, 0.2))
    seen: list[tuple[int, int, str]] = []
    trained = train_network(
        _network(),
        _pairs(),
        changed(FAST, steps=5),
        validate=lambda network: next(scores),
        progress=lambda done, total, text: seen.append((done, total, text.partition("val Dice ")[2])),
    )
    assert trained.validation == pytest.approx((0.1, 0.2))
    assert [done for done, _, _ in seen] == [0, 1, 2, 3, 3, 4, 5]
    assert seen[-1] == (5, 5, "0.100")


def test_bf16_and_deep_supervision_train() -> None:
    torch.manual_seed(0)
    network = create_network(NetworkRecipe(width=2, depth=3, deep_supervision=True))
    trained = train_network(
        network,
        _pairs(1),
        changed(FAST, steps=2),
        hardware=Hardware(accelerator="cpu", precision="bf16-mixed"),
    )
    assert np.isfinite(trained.losses).all()


def test_files_train_like_arrays(tmp_path: Path) -> None:
    paths = []
    for number, (image, labels) in enumerate(_pairs(2)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), image[..., ::-1])
        cv2.imwrite(str(tmp_path / f"{number}_mask.png"), labels)
        paths.append((tmp_path / f"{number}.png", tmp_path / f"{number}_mask.png"))
    one = train_network(_network(), _pairs(2), changed(FAST, steps=2))
    other = train_network(_network(), paths, changed(FAST, steps=2))
    assert one.losses == other.losses


def test_wrong_inputs_are_named(tmp_path: Path) -> None:
    image, labels = _pairs(1)[0]
    with pytest.raises(ModelError, match="multiple of 4"):
        train_network(_network(), [(image, labels)], changed(FAST, crops=CropSettings(size=30)))
    with pytest.raises(MaskError, match="labels 0, 1, 2"):
        train_network(_network(), [(image, labels + 1)], FAST)
    with pytest.raises(ImageError, match=r"absent\.png"):
        train_network(_network(), [(tmp_path / "absent.png", labels)], FAST)
    with pytest.raises(ImageError, match="at least one"):
        train_network(_network(), [], FAST)
