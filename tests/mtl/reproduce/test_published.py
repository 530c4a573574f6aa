"""What the papers print: read as data, and checked by arithmetic. The oracle is what was recomputed by hand from their text."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from mtl.config import load_config
from mtl.errors import ConfigError
from mtl.loading import config_path, read_tree
from mtl.reproduce.checks import check_paper, check_values
from mtl.reproduce.published import Paper, paper_names, read_paper

NAMES = ("alam2024", "faiz2023", "maaliw2022", "patel2025", "pushpalatha2024")


def test_all_papers_are_there() -> None:
    assert tuple(paper_names()) == NAMES
    assert [read_paper(name).letter for name in NAMES] == ["B", "E", "A", "D", "C"]


def test_an_unknown_paper_gets_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="did you mean patel2025"):
        read_paper("patel2024")


@pytest.mark.parametrize("name", NAMES)
def test_a_paper_runs_a_configuration_that_is_there_with_backbones_of_the_catalogue(name: str) -> None:
    from stages.learners.network.catalogue import CATALOGUE

    paper = read_paper(name)
    assert read_tree(config_path(paper.config))["backbone"] in paper.systems.values()
    assert set(paper.systems.values()) <= set(CATALOGUE)


@pytest.mark.parametrize("name", NAMES)
def test_every_value_is_a_score(name: str) -> None:
    for table in read_paper(name).tables:
        values = [value for row in table.rows for value in row.values if value is not None]
        assert max(values) <= (100 if table.percent else 1)
        assert min(values) > (50 if table.percent else 0.5)


def found(name: str) -> str:
    return "\n".join(check_paper(read_paper(name)))


def test_paper_a_s_t_has_lost_a_factor_of_ten() -> None:
    told = found("maaliw2022")
    assert "t = 8.5310, df 18" in told
    assert "does not agree with p = 0.0001" in told
    assert "Table IV" not in told  # the confusion matrices give the accuracies that are printed
    assert "Table III" not in told  # 131, 135 and 142 of 150


def test_paper_b_s_accuracies_are_of_no_number_of_its_test_images() -> None:
    assert "2215.79 of 2594" in found("alam2024")  # VGG16: 85.42 %


def test_paper_d_s_misprint_is_found_and_its_other_rows_are_possible() -> None:
    told = check_paper(read_paper("patel2025"))
    ensemble = [text for text in told if "networks" not in text]
    # 176 of 176 with 6 false alarms is a precision of 96.70, which is what another row prints for the same counts.
    assert any("precision of 96.70, printed is 96.07" in text for text in ensemble)
    assert all("weights 0.3, 0.7 at 0.7" in text for text in ensemble)


def test_paper_c_s_headline_is_the_mean_of_test_and_validation() -> None:
    assert check_paper(read_paper("pushpalatha2024")) == ()


def test_a_wrong_confusion_matrix_is_found() -> None:
    paper = read_paper("maaliw2022")
    one = paper.confusions[0].model_copy(update={"accuracy": 0.95})
    changed = paper.model_copy(update={"confusions": (one,)})
    assert any("the matrix gives 0.9467, printed is 0.9500" in text for text in check_paper(changed))


@pytest.mark.parametrize("seed", range(5))
def test_scores_of_real_predictions_are_possible(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth, said = random.integers(0, 2, 200), random.integers(0, 2, 200)
    printed = {
        "precision": round(precision_score(truth, said), 4),
        "recall": round(recall_score(truth, said), 4),
        "f1": round(f1_score(truth, said), 4),
    }
    assert not list(check_values(printed))
    assert list(check_values(printed | {"f1": printed["f1"] + 0.01}))


def test_an_iou_above_the_dice_is_impossible_and_one_that_belongs_to_it_is_not() -> None:
    masks = np.random.default_rng(0).random((2, 40, 40)) > 0.5
    both, either = (masks[0] & masks[1]).sum(), (masks[0] | masks[1]).sum()
    dice, iou = 2 * both / masks.sum(), both / either
    assert not list(check_values({"iou": round(iou, 4), "dice": round(dice, 4)}))
    assert "no masks give that" in next(check_values({"iou": 95.1, "dice": 93.0}, unit=100))


def test_a_row_of_another_length_is_refused() -> None:
    told = read_paper("faiz2023").model_dump(mode="json", by_alias=True)
    told["tables"][0]["rows"][0]["values"].append(1.0)
    with pytest.raises(ValueError, match="Expected 4 values"):
        Paper.model_validate(told)


def test_configurations_of_papers_load() -> None:
    for name in NAMES:
        tree = read_tree(config_path(read_paper(name).config))
        sets = {f"{stage}.data.root": "somewhere" for stage in ("single_cell", "multi_cell") if stage in tree}
        assert load_config(read_paper(name).config, sets)
