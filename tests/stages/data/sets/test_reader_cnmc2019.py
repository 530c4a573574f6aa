"""C-NMC 2019: names, folds and test parts, trees that contradict themselves."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from reader_trees import put, said

from stages.data.catalogue import read_dataset
from stages.data.sets import cnmc2019


@given(
    st.integers(0, 10**8),
    st.booleans(),
    st.integers(0, 99),
    st.integers(0, 99),
    st.sampled_from(["all", "hem"]),
)
def test_cnmc_names(subject: int, healthy: bool, image: int, cell: int, label: str) -> None:
    prefix = "H" if healthy else ""
    assert cnmc2019.parse_name(f"UID_{prefix}{subject}_{image}_{cell}_{label}") == (
        f"{prefix}{subject}",
        label,
    )
    assert cnmc2019.parse_name(f"UID_{prefix}{subject}_{image}_{label}") is None


def cnmc(root: Path) -> Path:
    put(root / "C-NMC_training_data" / "fold_0" / "all" / "UID_07_1_2_all.bmp")
    put(root / "C-NMC_training_data" / "fold_0" / "hem" / "UID_H12_1_1_hem.bmp")
    test = root / "C-NMC_test_prelim_phase_data"
    put(test / "C-NMC_test_prelim_phase_data" / "1.bmp")
    put(test / "C-NMC_test_prelim_phase_data" / "2.bmp")
    rows = "Patient_ID,new_names,labels\nUID_57_29_1_all.bmp,1.bmp,1\nUID_H49_3_1_hem.bmp,2.bmp,0\n"
    put(test / "C-NMC_test_prelim_phase_data_labels.csv", rows)
    put(root / "C-NMC_test_final_phase_data" / "9.bmp")
    return root


def test_cnmc(tmp_path: Path) -> None:
    found = read_dataset("cnmc2019", cnmc(tmp_path))
    assert [(s.label, s.group, s.part) for s in found] == [
        ("all", "57", "test"),
        ("hem", "H49", "test"),
        ("all", "7", "fold_0"),
        ("hem", "H12", "fold_0"),
    ]


def test_cnmc_bad_trees(tmp_path: Path) -> None:
    cnmc(tmp_path)
    fold = tmp_path / "C-NMC_training_data" / "fold_0"
    put(fold / "all" / "UID_H3_1_1_hem.bmp")
    assert "move it where its name says" in said("cnmc2019", tmp_path)
    (fold / "all" / "UID_H3_1_1_hem.bmp").rename(fold / "all" / "cell.bmp")
    assert "a name without a subject" in said("cnmc2019", tmp_path)
    (fold / "all" / "cell.bmp").unlink()
    (fold / "all" / "UID_07_1_2_all.bmp").unlink()
    assert "fold_0/all" in said("cnmc2019", tmp_path)
    next(tmp_path.rglob("2.bmp")).unlink()
    assert "1 more" in said("cnmc2019", tmp_path)
