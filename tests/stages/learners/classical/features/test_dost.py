"""The orthonormal S-transform: it keeps energy, inverts exactly, and is Stockwell's own sum."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_textures import cells, texture

from stages.classical_settings import ClassicalSettings
from stages.learners.classical.features import dost
from stages.learners.classical.features.view import View


@pytest.mark.parametrize("side", [2, 4, 8, 64, 256])
def test_bands_tile_all_frequencies_once(side: int) -> None:
    covered = [first + step for first, count in dost.bands(side) for step in range(count)]
    assert covered == list(range(-side // 2, side // 2))


@pytest.mark.parametrize("side", [2, 8, 64, 128])
def test_it_inverts_exactly_and_keeps_energy(side: int) -> None:
    random = np.random.default_rng(side)
    signal = random.normal(size=(3, side)) + 1j * random.normal(size=(3, side))
    told = dost.dost(signal)
    np.testing.assert_allclose(dost.inverse_dost(told), signal, atol=1e-13)
    np.testing.assert_allclose((np.abs(told) ** 2).sum(axis=1), (np.abs(signal) ** 2).sum(axis=1))


def test_an_image_inverts_exactly_too() -> None:
    grey = View(texture(0, 64, 64)).grey.astype(float)
    told = dost.dost(dost.dost(grey).T).T
    back = dost.inverse_dost(dost.inverse_dost(told.T).T)
    np.testing.assert_allclose(back, grey, atol=1e-11)


def test_it_is_stockwells_sum_over_basis_vectors() -> None:
    # Stockwell (2007), eq. 14: band centre v, width b, time tau; frequencies v - b/2 to v + b/2 - 1.
    side, signal = 16, np.random.default_rng(1).normal(size=16)
    time = np.arange(side)
    told = dost.dost(signal)
    for first, count in dost.bands(side):
        for tau in range(count):
            basis = (
                sum(
                    np.exp(2j * np.pi * frequency * time / side)
                    * np.exp(-2j * np.pi * (frequency - first) * tau / count)
                    for frequency in range(first, first + count)
                )
                * (-1) ** tau
                / np.sqrt(side * count)
            )
            np.testing.assert_allclose(told[first + side // 2 + tau], np.vdot(basis, signal), atol=1e-12)


def test_other_lengths_are_refused() -> None:
    for side in (0, 1, 12):
        with pytest.raises(ValueError, match="power of 2"):
            dost.dost(np.zeros(side) if side else np.zeros(0))


def test_a_row_tells_coarse_from_fine() -> None:
    names = dost.columns(ClassicalSettings())
    down, right = np.mgrid[:64, :64]

    def row(period: int) -> dict[str, float]:
        wave = (127 + 100 * np.sin(2 * np.pi * right / period)).astype(np.uint8)
        values = dost.describe(View(np.stack([wave] * 3, axis=2)), ClassicalSettings())
        return dict(zip(names, values, strict=True))

    coarse, fine = row(32), row(4)  # frequencies 2 and 16
    assert max(coarse, key=lambda name: coarse[name]) == "octaves 0 and 2"
    assert max(fine, key=lambda name: fine[name]) == "octaves 0 and 5"
    assert np.isfinite(dost.describe(View(cells()[0], True), ClassicalSettings())).all()
    assert not np.any(list(row(10**9).values()))
    assert down.shape == (64, 64)
