"""What runs in so many minutes, and where the data lie."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from mtl.errors import ConfigError
from mtl.reproduce.data import datasets_of, find_roots
from mtl.reproduce.plan import Sizes, estimate, experiment_for, scale
from mtl.reproduce.published import read_paper

WHOLE = Sizes(None, None, None, 1, float("nan"))
SMALL = Sizes(64, 30, 2, 1, 1.0)
ROOTS = {"multi_cell": Path("somewhere")}


def made(kind: str, split: int = 0, sizes: Sizes = SMALL):  # noqa: ANN201
    return experiment_for(read_paper("patel2025"), ROOTS, sizes, kind, split, 0, backbone="resnet50")  # type: ignore[arg-type]


def test_more_minutes_never_give_less() -> None:
    base, names = made("groups", sizes=WHOLE), ["tf_efficientnet_lite0", "tf_efficientnet_lite1"]
    found = [scale(names, base, minutes) for minutes in (0.1, 1, 5, 20, 60, 240, 5000)]
    sizes = [(one.image_size or 0, one.limit or 0, one.epochs or 0, one.splits) for one in found]
    assert all(a[0] <= b[0] for a, b in pairwise(sizes))
    assert sizes[0] != sizes[-1]
    for one, minutes in zip(found[2:], (5, 20, 60, 240, 5000), strict=True):
        assert one.minutes <= minutes


def test_no_budget_is_the_papers_own_size() -> None:
    own = made("groups", sizes=scale([], made("groups", sizes=WHOLE), 0))
    assert own.multi_cell.preprocess.image_size == 224
    assert own.multi_cell.train.epochs == 10
    assert own.multi_cell.train.oversample_to == 640


def test_what_is_scaled_is_said_and_nothing_else_changes() -> None:
    own, small = made("groups", sizes=WHOLE), made("groups")
    assert "64 px" in SMALL.sentence
    assert "30 images a class" in SMALL.sentence
    assert small.multi_cell.preprocess.segment == own.multi_cell.preprocess.segment
    assert small.multi_cell.train.optimizer == own.multi_cell.train.optimizer
    assert (small.multi_cell.data.limit, small.multi_cell.train.epochs) == (30, 2)


def test_the_papers_split_ignores_groups_and_ours_moves_the_block() -> None:
    leaking, honest, second = made("images"), made("groups"), made("groups", 1)
    assert (leaking.multi_cell.data.groups, leaking.multi_cell.split.method) == ("ignore", "grouped")
    assert not leaking.multi_cell.split.near_duplicates
    assert (honest.multi_cell.data.groups, honest.multi_cell.split.method) == ("known", "block")
    assert second.multi_cell.split.offset == honest.multi_cell.split.test
    assert second.seed == honest.seed + 1


def test_a_larger_network_takes_longer() -> None:
    base = made("groups", sizes=WHOLE)
    little, much = (estimate([name], base, 96, 100, 3) for name in ("resnet18", "vgg19"))
    assert little < much


def test_data_are_found_by_their_names(tmp_path: Path) -> None:
    for name in ("ALL_IDB1", "ALL-IDB2", "Taleqani", "C-NMC_Leukemia"):
        (tmp_path / name).mkdir()
    paper = read_paper("maaliw2022")
    assert datasets_of(paper) == {"single_cell": "all-idb2", "multi_cell": "all-idb1"}
    assert {path.name for path in find_roots(paper, tmp_path).values() if path} == {"ALL-IDB2", "ALL_IDB1"}
    assert find_roots(read_paper("patel2025"), tmp_path)["multi_cell"] == tmp_path / "Taleqani"
    assert find_roots(read_paper("pushpalatha2024"), tmp_path)["single_cell"] == tmp_path / "C-NMC_Leukemia"
    (tmp_path / "Taleqani").rmdir()
    assert find_roots(read_paper("patel2025"), tmp_path)["multi_cell"] is None
    with pytest.raises(ConfigError, match="--data"):
        find_roots(paper, tmp_path / "nowhere")


@pytest.mark.parametrize("minutes", [0.1, 3, 30, 300])
def test_a_budget_gives_the_same_plan_every_time_and_in_any_order_of_networks(minutes: float) -> None:
    base, names = made("groups", sizes=WHOLE), ["vgg19", "resnet18", "densenet201"]
    first = scale(names, base, minutes)
    assert scale(names, base, minutes) == first
    other = scale(names[::-1], made("groups", sizes=WHOLE), minutes)
    assert (other.image_size, other.limit, other.epochs, other.splits) == (
        first.image_size,
        first.limit,
        first.epochs,
        first.splits,
    )
    assert first.minutes == pytest.approx(
        first.splits * estimate(names, base, first.image_size or 0, first.limit or 0, first.epochs or 0)
    )
    assert made("groups", 1, first) == made("groups", 1, first)


def test_splits_of_both_kinds_differ_in_how_images_are_parted_alone() -> None:
    for split in range(3):
        ours, theirs = (made(kind, split).model_dump(mode="json") for kind in ("groups", "images"))
        for part in ("data", "split"):
            ours["multi_cell"].pop(part)
            theirs["multi_cell"].pop(part)
        assert ours == theirs
