from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.learners.network.batches import EpochSampler, StoreDataset, make_loader


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 5), st.booleans())
def test_every_image_is_seen_and_the_length_is_told(labels: list[int], seed: int, oversample: bool) -> None:
    sampler = EpochSampler(np.array(labels), seed, oversample)
    chosen = list(sampler)
    assert len(chosen) == len(sampler)
    assert set(chosen) == set(range(len(labels)))
    if oversample:
        counts = np.bincount(np.array(labels)[chosen])
        assert len(set(counts[counts > 0].tolist())) == 1


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 30), st.integers(1, 5))
def test_classes_are_oversampled_to_a_number_and_all_is_copied(
    labels: list[int], number: int, copies: int
) -> None:
    sampler = EpochSampler(np.array(labels), 0, True, number, copies)
    chosen = list(sampler)
    assert len(chosen) == len(sampler)
    seen = np.bincount(np.array(labels)[chosen], minlength=4)
    own = np.bincount(labels, minlength=4)
    expected = [copies * max(count, number) if count else 0 for count in own.tolist()]
    assert seen.tolist() == expected
    assert min(np.bincount(chosen)) >= copies


def test_paper_d_s_training_part_becomes_four_times_640() -> None:
    labels = np.repeat(np.arange(4), [328, 640, 626, 523])
    assert len(EpochSampler(labels, 0, oversample=True)) == 2560
    assert len(EpochSampler(labels[:1500], 0, oversample=True, at_least=640)) == 3 * 640


def test_order_follows_from_seed_and_epoch() -> None:
    sampler, twin = EpochSampler(np.zeros(30), 1), EpochSampler(np.zeros(30), 1)
    first = list(sampler)
    assert first == list(twin)
    sampler.set_epoch(1)
    assert list(sampler) != first


def test_batches_are_rows_of_the_store() -> None:
    store = np.random.default_rng(0).integers(0, 255, (10, 4, 4, 3)).astype(np.uint8)
    data = StoreDataset(store, [7, 3, 5], np.array([1, 0, 1]))
    images, labels, positions = next(iter(make_loader(data, 8)))
    assert images.dtype == torch.uint8
    assert images.shape == (3, 3, 4, 4)
    np.testing.assert_array_equal(images.permute(0, 2, 3, 1), store[[7, 3, 5]])
    assert labels.tolist() == [1, 0, 1]
    assert positions.tolist() == [0, 1, 2]


def test_a_last_batch_of_one_is_dropped_in_training_only() -> None:
    data = StoreDataset(np.zeros((9, 4, 4, 3), np.uint8), range(9), np.zeros(9, np.int64))
    assert len(make_loader(data, 4, EpochSampler(np.zeros(9), 0))) == 2
    assert len(make_loader(data, 4)) == 3
