"""The pieces of recolouring against SciPy and closed forms: blur, JPEG, hue, shade, and what each class may do."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
import torch
from scipy import fft, ndimage
from scipy.spatial.transform import Rotation

from segmentation.augment import ColourSettings, _Draw, _gaussian, _jpeg, _shade, hue_turn, recolour

OFF = {field.name: 0.0 for field in fields(ColourSettings)} | {"cytoplasm": 1.0, "red_cells": 1.0}


def only(**changes: float) -> ColourSettings:
    return ColourSettings(**{**OFF, **changes})


def draw(count: int, seed: int = 0) -> _Draw:
    return _Draw(count, torch.Generator().manual_seed(seed), torch.device("cpu"))


def images(count: int = 4, size: int = 32, seed: int = 1) -> torch.Tensor:
    return 0.15 + 0.8 * torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def changed(batch: torch.Tensor, settings: ColourSettings, label: int = 0, seed: int = 0) -> torch.Tensor:
    labels = torch.full((len(batch), *batch.shape[2:]), label, dtype=torch.int64)
    return recolour(batch.clone(), labels, settings, torch.Generator().manual_seed(seed))[0]


def test_with_everything_off_images_stay() -> None:
    torch.testing.assert_close(changed(images(), only()), images(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("sigma", [0.6, 1.0, 1.5])
def test_blurring_is_scipys_within_its_reach(sigma: float) -> None:
    batch = images(2)
    ours = _gaussian(batch, torch.full((2,), sigma))
    theirs = ndimage.gaussian_filter(batch.numpy(), (0, 0, sigma, sigma), mode="nearest", radius=(0, 0, 4, 4))
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-5)


def test_every_image_has_a_width_of_its_own() -> None:
    batch = images(1).expand(2, -1, -1, -1).contiguous()
    sharp, soft = _gaussian(batch, torch.tensor([0.2, 2.0]))
    torch.testing.assert_close(sharp, batch[0], atol=1e-4, rtol=0)
    assert soft.var() < 0.3 * sharp.var()


@pytest.mark.parametrize("angle", [0.0, 0.3, -1.2, math.pi])
def test_a_hue_turn_is_a_rotation_about_grey(angle: float) -> None:
    expected = Rotation.from_rotvec(np.full(3, angle / math.sqrt(3))).as_matrix()
    np.testing.assert_allclose(hue_turn(torch.tensor([angle]))[0].numpy(), expected, atol=1e-6)


def test_turns_compose() -> None:
    one, other, both = hue_turn(torch.tensor([0.4, 0.7, 1.1]))
    torch.testing.assert_close(one @ other, both, atol=1e-6, rtol=0)


def test_jpeg_quantises_cosine_coefficients_as_scipy_computes_them() -> None:
    batch = images(1, 8)
    source = draw(1, 5)
    twin = draw(1, 5)
    twin.chance(1.0)
    step = float(twin.uniform(0.01, 0.05))
    decoded = _jpeg(batch, only(jpeg=1.0), source)[0, 0].numpy()
    index = np.arange(8)
    steps = step * (1 + (index[None] + index[:, None]) / 3)
    coefficients = fft.dctn(batch[0, 0].numpy(), norm="ortho")
    expected = fft.idctn(np.round(coefficients / steps) * steps, norm="ortho")
    np.testing.assert_allclose(decoded, expected, atol=1e-4)


@pytest.mark.parametrize("size", [(7, 30), (20, 8), (17, 23)])
def test_what_is_left_over_of_blocks_of_eight_stays(size: tuple[int, int]) -> None:
    batch = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    result = _jpeg(batch, only(jpeg=1.0), draw(2))
    height, width = size[0] // 8 * 8, size[1] // 8 * 8
    assert torch.equal(result[..., height:, :], batch[..., height:, :])
    assert torch.equal(result[..., width:], batch[..., width:])
    if height and width:
        assert not torch.equal(result, batch)


def test_uneven_light_is_smooth_and_of_the_spread_that_is_asked() -> None:
    density = torch.zeros(64, 3, 40, 40)
    shade = _shade(density, only(shade=0.1), draw(64))
    assert shade.shape == (64, 3, 40, 40)
    assert (shade.diff(dim=2).abs().max() < 0.2 * shade.abs().max()).item()
    # a common part of variance 1/3 and an own one of 0.4^2, which also shares in the mean: about 0.7
    assert 0.04 < shade[..., 0, 0].std() < 0.1


@pytest.mark.parametrize("amount", [0.0, 0.02, 0.2])
def test_a_tone_curve_is_a_power_of_intensity(amount: float) -> None:
    batch = images(3)
    result = changed(batch, only(gamma=amount))
    powers = result.log() / batch.log()
    spread = powers.flatten(1).std(dim=1)
    assert spread.max() < 1e-3
    assert (powers.flatten(1).mean(dim=1) - 1).abs().max() <= math.exp(2.5 * amount) - 1 + 1e-3


def test_stain_multiplies_densities_and_leaves_white_white() -> None:
    batch = images(3)
    batch[:, :, :4] = 1.0
    result = changed(batch, only(stain=0.3))
    ratio = result[:, :, 6:].log() / batch[:, :, 6:].log()
    assert ratio.flatten(2).std(dim=2).max() < 1e-2  # one factor a channel and image
    torch.testing.assert_close(result[:, :, :3], torch.ones_like(result[:, :, :3]))


@pytest.mark.parametrize("reach", [1.5, 3.0])
def test_cytoplasm_is_darkened_or_bleached_within_its_reach(reach: float) -> None:
    batch = torch.full((200, 3, 4, 4), 0.6)
    factor = (changed(batch, only(cytoplasm=reach), label=1).log() / math.log(0.6))[:, 0, 0, 0]
    assert 1 / reach - 1e-3 <= factor.min() < 0.8
    assert 1.2 < factor.max() <= reach + 1e-3
    assert abs(float(factor.log().mean())) < 0.1  # either way alike


def test_red_cells_darken_in_a_third_of_images() -> None:
    batch = torch.full((300, 3, 4, 4), 0.7)
    factor = (changed(batch, only(red_cells=2.5), label=0).log() / math.log(0.7))[:, 0, 0, 0]
    assert factor.min() > 1 - 1e-3
    assert 0.25 < float((factor > 1.01).float().mean()) < 0.42
    assert factor.max() <= 2.5 + 1e-3


def test_noise_is_of_the_spread_that_is_asked_and_stays_in_range() -> None:
    batch = torch.full((100, 3, 16, 16), 0.5)
    spread = (changed(batch, only(noise=0.1)) - batch).flatten(1).std(dim=1)
    assert spread.max() <= 0.12
    assert 0.25 < float((spread < 1e-3).float().mean()) < 0.55  # four in ten are left alone
    bright = changed(torch.ones(8, 3, 8, 8), only(noise=0.5))
    assert bright.max() <= 1
    assert bright.min() >= 0


def test_chroma_blurs_colour_and_keeps_lightness() -> None:
    batch = images(4)
    result = changed(batch, only(chroma=1.0, blur=0.2))
    torch.testing.assert_close(result.mean(dim=1), batch.mean(dim=1), atol=2e-2, rtol=0)
    colour, before = (one - one.mean(dim=1, keepdim=True) for one in (result, batch))
    assert colour.var() < 0.5 * before.var()


def test_a_plate_is_white_with_a_black_bar_and_its_labels_are_background() -> None:
    batch, labels = torch.full((6, 3, 48, 48), 0.5), torch.full((6, 48, 48), 2)
    result, after = recolour(batch, labels.clone(), only(plates=1.0), torch.Generator().manual_seed(0))
    for number in range(6):
        covered = after[number] == 0
        rows, columns = covered.nonzero(as_tuple=True)
        assert covered.sum() == (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
        values = result[number][:, covered]
        assert set(values.unique().tolist()) == {0.0, 1.0}
        assert (values == 0).sum() < 0.5 * values.numel()
        torch.testing.assert_close(
            result[number][:, ~covered], torch.full_like(result[number][:, ~covered], 0.5)
        )


def test_draws_are_per_image_and_cut_off() -> None:
    source = draw(2000)
    normal = source.normal(1)
    assert normal.shape == (2000, 1, 1, 1)
    assert normal.abs().max() <= 2.5
    assert abs(float(normal.mean())) < 0.08
    uniform = draw(2000).uniform(2.0, 5.0, 3)
    assert uniform.shape == (2000, 3, 1, 1)
    assert 2 <= uniform.min() <= uniform.max() <= 5
    assert abs(float(draw(2000).chance(0.3).mean()) - 0.3) < 0.05
