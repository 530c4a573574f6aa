"""What a benchmark runs: same splits for all chains, other splits in every cell."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.benchmark.plan import Design, cell_key, cells_of, experiment_of
from mtl.config import load_config
from mtl.errors import ConfigError

CHAINS = ((1, 3), (1, 2, 3))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.sampled_from([0, 2, 3]), st.lists(st.sampled_from("abc"), unique=True))
def test_every_cell_is_another_split_and_has_its_own_key(
    repeats: int, folds: int, backbones: list[str]
) -> None:
    design = Design(CHAINS, repeats, folds, tuple(backbones))
    experiment = load_config("default", {"seed": 7})
    cells = cells_of(design, experiment)
    assert len(cells) == repeats * max(folds, 1) * max(len(backbones), 1)
    assert (
        len({cell.name for cell in cells})
        == len({cell_key(cell, design, experiment) for cell in cells})
        == len(cells)
    )
    for cell in cells:
        chosen = experiment_of(cell, design, experiment)
        assert chosen.chains() == CHAINS
        assert chosen.seed == 7 + cell.repeat
        split = chosen.multi_cell.split
        assert (split.method, split.fold) == (("kfold", cell.fold) if folds else ("grouped", 0))
        assert chosen.single_cell.split == experiment.single_cell.split


def test_blocks_move_round_the_numbers() -> None:
    experiment = load_config("default", {"multi_cell.split.method": "block", "multi_cell.split.test": 0.25})
    offsets = [
        experiment_of(cell, Design(CHAINS, 4), experiment).multi_cell.split.offset
        for cell in cells_of(Design(CHAINS, 4), experiment)
    ]
    assert offsets == [0, 0.25, 0.5, 0.75]
    design = Design(CHAINS, 2, 5)
    splits = [
        experiment_of(cell, design, experiment).multi_cell.split for cell in cells_of(design, experiment)
    ]
    assert {split.test for split in splits} == {0.2}
    assert len({split.offset for split in splits}) == 10


@pytest.mark.parametrize(
    ("design", "said"),
    [
        (Design(((1, 3),)), "two chains"),
        (Design(((1, 3), (1, 3))), "two chains"),
        (Design(((1, 3), (1, 2))), "same stage"),
        (Design(((1,), (1,))), "--chains"),
        (Design(CHAINS, 1), "--repeats"),
        (Design(CHAINS, 0), "--repeats"),
        (Design(CHAINS, 5, 1), "--folds"),
        (Design(CHAINS, 5, draw=-1), "--draw"),
    ],
)
def test_what_cannot_be_compared_is_refused(design: Design, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        design.check()


def test_the_sources_own_parts_cannot_be_repeated() -> None:
    experiment = load_config("default", {"multi_cell.split.method": "official"})
    design = Design(CHAINS)
    with pytest.raises(ConfigError, match="grouped"):
        experiment_of(cells_of(design, experiment)[0], design, experiment)
