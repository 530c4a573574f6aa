"""What is said of an ensemble, on votes that are made up so that the truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mtl.ensemble.changes import changes_of, count_changes
from mtl.ensemble.content import EnsembleContent, combine_members
from mtl.ensemble.members import Member
from mtl.ensemble.report import ensemble_html, headline, verdict
from mtl.ensemble.selection import select
from mtl.ensemble.settings import EnsembleSettings
from mtl.ensemble.tables import ensemble_tables
from mtl.records import DataRecord
from mtl.runs import Predictions
from stages.errors import DataError

CLASSES = ("Benign", "Early", "Pre")


def told(votes: np.ndarray, labels: np.ndarray, part: str, per_group: int = 2) -> Predictions:
    names = tuple(f"{part}{n:03d}" for n in range(len(labels)))
    groups = tuple(f"{part}-g{n // per_group}" for n in range(len(labels)))
    said = tuple(CLASSES[k] for k in votes.argmax(axis=1))
    return Predictions(CLASSES, names, tuple(CLASSES[k] for k in labels), groups, said, votes)


def votes_of(labels: np.ndarray, skill: float, seed: int) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(size=(len(labels), 3)) + skill * np.eye(3)[labels]
    raised = np.exp(logits)
    return raised / raised.sum(axis=1, keepdims=True)


def data(**more: object) -> DataRecord:
    known = {
        "dataset": "taleqani", "sources": ({"name": "taleqani", "dataset": "taleqani", "root": "nowhere", "rendered": False, "unit": "image",
                                            "images": 150, "groups": 75},), "rendered": False, "fingerprint": "f", "counts": {}, "groups": {}, "unit": "image",
        "split": "block", "notes": (),
    }  # fmt: skip
    return DataRecord.model_validate(known | more)


def member(name: str, skill: float, seed: int, **more: object) -> Member:
    watched, tested = np.arange(60) % 3, np.arange(90) % 3
    return Member(
        name, Path(name), name, 3, None, told(votes_of(watched, skill, seed), watched, "v"),
        told(votes_of(tested, skill, seed + 100), tested, "t"), data(**more), {},
    )  # fmt: skip


@pytest.fixture(scope="module")
def content() -> EnsembleContent:
    members = [member("good", 2.0, 0), member("fair", 1.6, 1), member("poor", 0.1, 2)]
    return combine_members(
        members, EnsembleSettings(resamples=200), "mtl ensemble", {"date": "now", "mtl": "0"}
    )


def test_all_rules_and_members_are_scored_and_the_one_asked_for_is_the_ensemble(
    content: EnsembleContent,
) -> None:
    names = [one.name for one in content.methods]
    assert names == [
        "good",
        "fair",
        "poor",
        "equal weights",
        "grid of paper D",
        "optimised weights",
        "stacking",
    ]
    assert content.main.name == "optimised weights"
    assert [one.other for one in content.against] == ["good", "fair", "poor", "equal weights"]


def test_the_best_single_network_is_the_validation_part_s(content: EnsembleContent) -> None:
    singles = [one for one in content.methods if one.single]
    assert content.best is max(singles, key=lambda one: one.validation.macro_f1)


def test_a_poor_member_gets_little_weight(content: EnsembleContent) -> None:
    weights = content.main.chosen.combination.weights  # type: ignore[union-attr]
    assert weights[2] < min(weights[:2])


def test_scores_are_those_of_the_combined_votes(content: EnsembleContent) -> None:
    combination = content.main.chosen.combination  # type: ignore[union-attr]
    votes = combination(np.stack([one.test.probabilities for one in content.members]))
    labels = content.members[0].test.truth()
    right = (votes.argmax(axis=1) == labels).mean()
    assert content.main.evaluation.headline["accuracy"].value == pytest.approx(right)
    lead = content.against[0].accuracy.value
    single = (content.members[0].test.probabilities.argmax(axis=1) == labels).mean()
    assert lead == pytest.approx(right - single)


def test_a_threshold_leaves_the_unsure_without_an_answer() -> None:
    members = [member("good", 2.0, 0), member("fair", 1.6, 1)]
    settings = EnsembleSettings(rule="equal", threshold=0.6, resamples=100)
    one = combine_members(members, settings, "", {}).main
    votes = np.mean([each.test.probabilities for each in members], axis=0)
    sure, right = votes.max(axis=1) >= 0.6, votes.argmax(axis=1) == members[0].test.truth()
    assert one.coverage == pytest.approx(sure.mean())
    assert one.answered == pytest.approx(right[sure].mean())
    point = next(
        point for point in combine_members(members, settings, "", {}).curves[one.name] if point[0] == 0.6
    )
    assert point[1:] == pytest.approx((one.coverage, one.answered))


def test_a_validation_part_of_one_group_is_refused() -> None:
    members = [member("good", 2.0, 0), member("fair", 1.6, 1)]
    for one in members:
        object.__setattr__(
            one, "validation", told(one.validation.probabilities, one.validation.truth(), "v", 1000)
        )
    with pytest.raises(DataError, match="two groups or more"):
        combine_members(members, EnsembleSettings(resamples=100), "", {})


def test_page_and_tables_say_it_all(content: EnsembleContent) -> None:
    page = ensemble_html(content)
    for table in ensemble_tables(content):
        assert table.title.split(":")[0].replace("'", "&#39;") in page
        assert all(len(row) == len(table.header) for row in table.rows)
    assert "good" in verdict(content) or content.best.name in verdict(content)
    assert "90 held-out images of 45 groups" in headline(content)
    assert "<script" not in page


def test_what_is_not_known_is_said() -> None:
    members = [member("good", 2.0, 0), member("fair", 1.6, 1, fingerprint="other")]
    for one in members:
        kept = np.flatnonzero(one.validation.truth() != 2)
        part = told(one.validation.probabilities[kept], one.validation.truth()[kept], "v")
        object.__setattr__(one, "validation", part)
    notes = " ".join(combine_members(members, EnsembleSettings(resamples=100), "", {}).notes)
    assert "holds no Pre" in notes
    assert "did not learn from the same images" in notes


def test_turns_of_one_image_by_hand() -> None:
    labels = np.array([0, 0, 1, 2])
    single = told(np.eye(3)[[1, 0, 2, 2]], labels, "t")
    after = told(np.array([[0.9, 0.1, 0], [0.1, 0.9, 0], [0.9, 0.1, 0], [0.1, 0.4, 0.5]]), labels, "t")
    found = changes_of("m", single, after, 0.7)
    assert [(one.name, one.of, one.turn) for one in found] == [
        ("t000", "Early", "FP -> TN"), ("t000", "Benign", "FN -> TP"),  # corrected
        ("t001", "Benign", "TP -> FN"), ("t001", "Early", "TN -> FP"),  # spoilt
        ("t002", "Pre", "FP -> TN"), ("t002", "Benign", "TN -> FP"),  # wrong, and wrong in another way
    ]  # fmt: skip
    counts = dict(count_changes(found, CLASSES))
    assert counts["Benign"] == {"FN -> TP": 1, "TP -> FN": 1, "TN -> FP": 1, "no answer": 0}
    assert counts["all"] == {"FP -> TN": 2, "FN -> TP": 1, "TP -> FN": 1, "TN -> FP": 2, "no answer": 0}


def test_choosing_on_the_test_part_never_claims_less_than_choosing_honestly() -> None:
    labels = np.arange(90) % 3
    gaps = []
    for seed in range(6):
        watched, tested = (
            np.stack([votes_of(labels, 0.8, seed * 10 + part + m) for m in range(2)]) for part in (0, 5)
        )
        groups = [f"g{n // 3}" for n in range(90)]
        found = select(watched, labels, tested, labels, groups, (0.4, 0.5), resamples=100, seed=0)
        assert found.claimed.test == max(row.test for row in found.rows)
        assert found.honest.validation == max(row.validation for row in found.rows)
        assert found.gap.difference == pytest.approx(found.claimed.test - found.honest.test)
        assert f"{found.claimed.test:.4f}" in found.sentence
        gaps.append(found.gap.difference)
    assert min(gaps) >= 0
    assert max(gaps) > 0


@pytest.mark.parametrize("rule", ["equal", "optimised"])
def test_the_order_of_the_members_changes_no_score(rule: str) -> None:
    members = [member("good", 2.0, 0), member("fair", 1.6, 1), member("poor", 0.1, 2)]
    settings = EnsembleSettings.model_validate({"rule": rule, "resamples": 100})
    here, there = (combine_members(own, settings, "", {}) for own in (members, members[::-1]))
    np.testing.assert_allclose(here.main.test.probabilities, there.main.test.probabilities, atol=1e-4)
    assert here.best.name == there.best.name
    assert here.main.evaluation.headline["accuracy"].value == there.main.evaluation.headline["accuracy"].value
    leads = [{one.other: one.accuracy.value for one in told.against} for told in (here, there)]
    assert leads[0] == pytest.approx(leads[1])


def test_equal_weights_are_the_mean_of_what_the_members_said() -> None:
    members = [member("good", 2.0, 0), member("poor", 0.1, 2)]
    made = combine_members(members, EnsembleSettings(rule="equal", resamples=100), "", {}).main
    votes = np.mean([one.test.probabilities for one in members], axis=0)
    np.testing.assert_allclose(made.test.probabilities, votes)
    assert made.test.predicted == tuple(CLASSES[k] for k in votes.argmax(axis=1))
    right = np.mean(votes.argmax(axis=1) == np.arange(90) % 3)
    assert made.evaluation.headline["accuracy"].value == pytest.approx(right)
