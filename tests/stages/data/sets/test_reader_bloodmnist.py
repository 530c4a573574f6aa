"""BloodMNIST: frames of an .npz."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from reader_trees import said

from stages.data.catalogue import read_dataset
from stages.data.images import load_rgb


def arrays(**changes: object) -> dict[str, object]:
    rng = np.random.default_rng(1)
    out: dict[str, object] = {}
    for part, count in (("train", 5), ("val", 2), ("test", 3)):
        out[f"{part}_images"] = rng.integers(0, 256, (count, 28, 28, 3), np.uint8)
        out[f"{part}_labels"] = np.arange(count, dtype=np.uint8)[:, None]
    return out | changes


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_bloodmnist(tmp_path: Path, save: object) -> None:
    content = arrays()
    save(tmp_path / "bloodmnist.npz", **content)  # type: ignore[operator]
    found = read_dataset("bloodmnist", tmp_path)
    assert found == read_dataset("bloodmnist", tmp_path / "bloodmnist.npz")
    assert Counter(s.part for s in found) == {"train": 5, "validation": 2, "test": 3}
    assert found[7].name == "bloodmnist.npz#00007"
    assert (found[7].label, found[7].part, found[7].order) == ("basophil", "test", 2)
    np.testing.assert_array_equal(load_rgb(found[7]), content["test_images"][0])  # type: ignore[index]
    np.testing.assert_array_equal(load_rgb(found[4]), content["train_images"][4])  # type: ignore[index]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"test_labels": np.array([0, 1, 8])}, "8 in `test_labels`"),
        ({"val_labels": np.array([0])}, "one label a frame"),
        ({"val_images": np.zeros((2, 28, 28), np.uint8)}, "of (N, H, W, 3) uint8"),
        ({"val_images": np.zeros((2, 28, 28, 3), np.float32)}, "of (N, H, W, 3) uint8"),
        ({"val_labels": np.array([{}, {}])}, "a truncated or foreign file"),
    ],
)
def test_bad_bloodmnist(tmp_path: Path, changes: dict[str, object], says: str) -> None:
    np.savez(tmp_path / "bloodmnist.npz", **arrays(**changes))  # type: ignore[arg-type]
    assert says in said("bloodmnist", tmp_path)


def test_truncated_or_ambiguous_bloodmnist(tmp_path: Path) -> None:
    path = tmp_path / "bloodmnist.npz"
    np.savez_compressed(path, **arrays())  # type: ignore[arg-type]
    np.savez(tmp_path / "bloodmnist_64.npz", x=1)
    assert "name the file itself" in said("bloodmnist", tmp_path)
    assert "the arrays x" in said("bloodmnist", tmp_path / "bloodmnist_64.npz")
    path.write_bytes(path.read_bytes()[:500])
    assert "a truncated or foreign file" in said("bloodmnist", path)
