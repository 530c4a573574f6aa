import pytest
import torch

from segmentation.losses import border_weights, cross_entropy_dice, levels_loss, soft_dice_loss


def _labels() -> torch.Tensor:
    labels = torch.zeros(2, 8, 8, dtype=torch.int64)
    labels[:, 2:6, 2:6] = 1
    labels[:, 3:5, 3:5] = 2
    return labels


def _logits(labels: torch.Tensor, sure: float) -> torch.Tensor:
    return sure * torch.nn.functional.one_hot(labels, 3).permute(0, 3, 1, 2).float()


def test_the_truth_costs_nothing_and_its_opposite_much() -> None:
    labels = _labels()
    assert cross_entropy_dice(_logits(labels, 50), labels) == pytest.approx(0, abs=1e-4)
    assert cross_entropy_dice(_logits((labels + 1) % 3, 50), labels) > 5


def test_dice_of_half_the_nucleus() -> None:
    labels = torch.zeros(1, 4, 4, dtype=torch.int64)
    labels[0, :2] = 2
    seen = torch.zeros(1, 4, 4, dtype=torch.int64)
    seen[0, 0] = 2
    loss = soft_dice_loss(_logits(seen, 1), labels, smooth=0.0)  # one-hot probabilities
    # Nucleus 2 * 4 / (4 + 8); cytoplasm is absent on both sides and, unsmoothed, undefined.
    assert torch.isnan(loss)
    smoothed = soft_dice_loss(_logits(seen, 1), labels, smooth=1e-6)
    assert float(smoothed) == pytest.approx(1 - (8 / 12 + 1) / 2, abs=1e-4)


def test_borders_weigh_more() -> None:
    labels = torch.zeros(1, 9, 9, dtype=torch.int64)
    labels[0, 4, 4] = 1
    weights = border_weights(labels, 2.0, reach=1)
    assert weights[0, 3:6, 3:6].eq(3).all()
    assert weights.sum() == 81 + 2 * 9


def test_levels_weigh_half_of_the_one_before() -> None:
    labels = _labels()
    fine, coarse = _logits(labels, 3), torch.zeros(2, 3, 4, 4)
    each = cross_entropy_dice(fine, labels), cross_entropy_dice(coarse, labels[:, 1::2, 1::2])
    expected = (each[0] + 0.5 * each[1]) / 1.5
    torch.testing.assert_close(levels_loss([fine, coarse], labels), expected)
