from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.learners.network.augment import augment, mixup
from stages.settings import AugmentSettings

NOTHING = {
    "flip": False,
    "rotate": 0,
    "shift": 0,
    "scale": 0,
    "brightness": 0,
    "contrast": 0,
    "saturation": 0,
    "hue": 0,
    "channel": 0,
}


def images(count: int = 6, size: int = 24) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_nothing_changes_nothing() -> None:
    out = augment(images(), AugmentSettings.model_validate(NOTHING), drawn())
    assert torch.allclose(out, images(), atol=1e-6)


def test_the_same_seed_is_the_same_batch_and_another_is_not() -> None:
    first, again, other = (augment(images(), AugmentSettings(), drawn(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_every_image_draws_its_own() -> None:
    same = images(1).expand(4, -1, -1, -1)
    out = augment(same, AugmentSettings(), drawn())
    assert len({float(image.sum()) for image in out}) == 4


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(0, 180), st.floats(0, 0.9), st.floats(0, 0.5))
def test_pixels_stay_in_range(seed: int, angle: float, reach: float, hue: float) -> None:
    far = AugmentSettings(
        rotate=angle, brightness=reach, contrast=reach, saturation=reach, channel=reach, hue=hue
    )
    out = augment(images(2), far, drawn(seed))
    assert out.shape == (2, 3, 24, 24)
    assert torch.isfinite(out).all()
    assert 0 <= out.min() <= out.max() <= 1


def test_flips_only_permute_pixels() -> None:
    out = augment(images(), AugmentSettings.model_validate({**NOTHING, "flip": True}), drawn())
    for before, after in zip(images(), out, strict=True):
        candidates = [before, before.flip(2), before.flip(1), before.flip(1, 2)]
        assert any(torch.allclose(after, candidate, atol=1e-6) for candidate in candidates)


def test_hue_and_saturation_leave_grey_grey() -> None:
    grey = torch.full((4, 3, 8, 8), 0.4)
    far = AugmentSettings.model_validate({**NOTHING, "hue": 0.5, "saturation": 0.9})
    assert torch.allclose(augment(grey, far, drawn()), grey, atol=1e-5)


def test_mixup_blends_images_and_targets_alike() -> None:
    targets = torch.eye(6)
    blended, mixed = mixup(images(), targets, 0.4, drawn())
    assert torch.allclose(mixed.sum(dim=1), torch.ones(6))
    weights = torch.linalg.lstsq(images().flatten(1).T, blended.flatten(1).T).solution.T
    assert torch.allclose(weights, mixed, atol=1e-3)
