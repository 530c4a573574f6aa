from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.learners.network.augment import augment, cutmix, mix, mixup
from stages.settings import AugmentSettings

NOTHING = {
    "flip": "none",
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


@pytest.mark.parametrize(
    ("flip", "axes"),
    [("both", [(), (2,), (1,), (1, 2)]), ("horizontal", [(), (2,)]), ("vertical", [(), (1,)])],
)
@pytest.mark.parametrize("scale", [0, 1e-9])
def test_flips_are_those_that_are_named(flip: str, axes: list[tuple[int, ...]], scale: float) -> None:
    many = images(16)
    changed = AugmentSettings.model_validate({**NOTHING, "flip": flip, "scale": scale})
    out = augment(many, changed, drawn())
    seen = set()
    for before, after in zip(many, out, strict=True):
        same = [axis for axis in axes if torch.allclose(after, before.flip(axis), atol=1e-4)]
        assert len(same) == 1
        seen.add(same[0])
    assert seen == set(axes)


@pytest.mark.parametrize("anisotropic", [False, True])
def test_x_and_y_are_zoomed_together_or_apart(anisotropic: bool) -> None:
    # A ramp from 0 to 1 shows by its slope at the centre how far its axis was zoomed.
    ramp = torch.linspace(0.3, 0.7, 33)
    both = torch.stack([ramp.expand(33, 33), ramp[:, None].expand(33, 33), torch.zeros(33, 33)])
    zoomed = AugmentSettings.model_validate({**NOTHING, "scale": 0.4, "anisotropic": anisotropic})
    out = augment(both.expand(8, -1, -1, -1), zoomed, drawn())
    x = out[:, 0, 16, 17] - out[:, 0, 16, 15]
    y = out[:, 1, 17, 16] - out[:, 1, 15, 16]
    assert torch.allclose(x, y, atol=1e-5) is not anisotropic
    step = 2 * float(ramp[1] - ramp[0])
    for slope in (x, y):
        assert ((step / slope >= 0.6 - 1e-4) & (step / slope <= 1.4 + 1e-4)).all()
        assert len({round(float(value), 4) for value in slope}) > 4


def test_the_default_draws_what_it_always_drew() -> None:
    generator, alone = drawn(5), drawn(5)
    augment(images(4), AugmentSettings(), generator)
    for shape in [(4, 1), (4, 1), (4, 2)]:  # angle, zoom, shift
        torch.rand(*shape, 1, 1, generator=alone)
    torch.randint(0, 2, (4, 2), generator=alone)
    for shape in [(4, 1), (4, 1), (4, 3), (4, 1), (4, 1)]:  # saturation, hue, channels, brightness, contrast
        torch.rand(*shape, 1, 1, generator=alone)
    assert torch.equal(generator.get_state(), alone.get_state())
    targets = torch.eye(4)
    assert mix(images(4), targets, AugmentSettings(), generator)[1] is targets
    assert torch.equal(generator.get_state(), alone.get_state())


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


@pytest.mark.parametrize("seed", range(8))
def test_cutmix_pastes_a_rectangle_and_counts_its_area(seed: int) -> None:
    # Image i holds the number i everywhere, so every pixel says whose it is.
    numbered = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 3, 20, 30)
    mixed, targets = cutmix(numbered, torch.eye(6), 1.0, drawn(seed))
    whose = torch.nn.functional.one_hot(mixed.long(), 6).float()
    assert torch.allclose(whose.mean(dim=(1, 2, 3)), targets)
    for number in range(6):
        pasted = mixed[number, 0] != number
        rows, columns = pasted.any(dim=1).sum(), pasted.any(dim=0).sum()
        assert pasted.sum() == rows * columns
        assert len(mixed[number].unique()) <= 2


def test_the_area_that_cutmix_keeps_follows_its_beta_distribution() -> None:
    # An even Beta(1, 1) share keeps half on average, a little more since rectangles are cut off at the border.
    kept = [float(cutmix(images(2), torch.eye(2), 1.0, drawn(seed))[1].max()) for seed in range(300)]
    assert 0.5 < sum(kept) / len(kept) < 0.95
    assert math.isclose(max(kept), 1, abs_tol=0.02)


def test_mix_is_one_of_the_two() -> None:
    pixels, targets = images(), torch.eye(6)
    both = AugmentSettings(mixup=0.4, cutmix=1.0)
    seen = set()
    for seed in range(20):
        out, _ = mix(pixels, targets, both, drawn(seed))
        own = (out[..., None] == pixels.permute(1, 2, 3, 0)[None]).any(dim=-1).float().mean()
        seen.add("cutmix" if own == 1 else "mixup")
    assert seen == {"cutmix", "mixup"}
    for one, function in (("mixup", mixup), ("cutmix", cutmix)):
        alone, _ = mix(pixels, targets, AugmentSettings.model_validate({one: 0.4}), drawn())
        assert torch.equal(alone, function(pixels, targets, 0.4, drawn())[0])
