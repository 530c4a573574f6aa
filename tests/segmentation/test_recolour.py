from dataclasses import fields

import pytest
import torch

from segmentation.augment import ColourSettings, hue_turn, recolour

OFF = {field.name: 0.0 for field in fields(ColourSettings)} | {"cytoplasm": 1.0, "red_cells": 1.0}


def _batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = 0.2 + 0.7 * torch.rand(6, 3, 24, 32, generator=generator)
    return images, torch.randint(0, 3, (6, 24, 32), generator=generator)


def _changed(settings: ColourSettings, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = _batch()
    return recolour(images, labels.clone(), settings, torch.Generator().manual_seed(seed))


def test_the_same_seed_gives_the_same_images() -> None:
    torch.testing.assert_close(_changed(ColourSettings()), _changed(ColourSettings()), rtol=0, atol=0)
    assert not torch.equal(_changed(ColourSettings())[0], _changed(ColourSettings(), seed=1)[0])


def test_images_stay_in_range_and_every_image_draws_its_own() -> None:
    images, _ = _batch()
    same = images[:1].expand(6, -1, -1, -1).clone()
    changed, _ = recolour(
        same, torch.zeros(6, 24, 32, dtype=torch.int64), ColourSettings(), torch.Generator()
    )
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert not torch.allclose(changed[0], changed[1])


def test_empty_background_stays_white_under_any_stain() -> None:
    white = torch.ones(4, 3, 16, 16)
    settings = ColourSettings(**{**OFF, "stain": 0.5, "part": 0.5, "hue": 0.3, "mix": 0.2})
    changed, _ = recolour(white, torch.zeros(4, 16, 16, dtype=torch.int64), settings, torch.Generator())
    torch.testing.assert_close(changed, white)


def test_labels_change_under_plates_alone() -> None:
    _, labels = _batch()
    assert torch.equal(_changed(ColourSettings(**{**OFF, "stain": 0.5, "blur": 1.0, "jpeg": 1.0}))[1], labels)
    plated_images, plated = _changed(ColourSettings(**{**OFF, "plates": 1.0}))
    covered = plated != labels
    assert covered.any()
    values = plated_images.permute(0, 2, 3, 1)[covered]
    assert ((values == 0) | (values == 1)).all()


@pytest.mark.parametrize(
    "name", ["stain", "part", "hue", "tint", "shade", "gamma", "chroma", "noise", "jpeg"]
)
def test_every_setting_does_something(name: str) -> None:
    strong = ColourSettings(**{**OFF, name: 0.9})
    assert not torch.allclose(_changed(strong)[0], _changed(ColourSettings(**OFF))[0], atol=1e-3)


@pytest.mark.parametrize(("name", "label"), [("cytoplasm", 1), ("red_cells", 0)])
def test_one_kind_of_cell_changes_alone(name: str, label: int) -> None:
    images = torch.full((8, 3, 16, 16), 0.6)
    settings = ColourSettings(**{**OFF, name: 3.0})
    for number in range(3):
        changed, _ = recolour(
            images, torch.full((8, 16, 16), number), settings, torch.Generator().manual_seed(0)
        )
        assert torch.allclose(changed, images, atol=1e-5) == (number != label)


def test_a_hue_turn_keeps_grey_and_length() -> None:
    turn = hue_turn(torch.tensor([0.4]))
    grey, colour = torch.ones(3, 1), torch.tensor([[0.1], [0.5], [0.9]])
    torch.testing.assert_close(turn[0] @ grey, grey)
    torch.testing.assert_close((turn[0] @ colour).norm(), colour.norm())
