"""Calibration against independent programs, by hand, and on drawn data whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.calibrate import LEVEL, Calibration, Certainty, Surroundings, at_temperature, fit_certainty, unit
from stages.errors import ModelError
from stages.metrics import calibration_error


def drawn(count: int, sharpness: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from true probabilities, and what a model says that is `sharpness` times too sure."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(count, 3)) * 1.5
    truth = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([random.choice(3, p=row) for row in truth])
    said = np.exp(sharpness * logits)
    return said / said.sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_temperature_is_how_much_too_sure_the_model_is(sharpness: float) -> None:
    said, labels = drawn(3000, sharpness)
    found = fit_certainty(said, labels, [str(row) for row in range(3000)])
    assert found.temperature == pytest.approx(sharpness, rel=0.12)
    fresh, truth = drawn(3000, sharpness, seed=1)
    after = calibration_error(truth, at_temperature(fresh, found.temperature))[0]
    assert after < 0.03
    if sharpness != 1:
        assert after < calibration_error(truth, fresh)[0] / 2


def test_without_a_mistake_certainty_stays_bounded() -> None:
    said = np.tile([[0.7, 0.3], [0.3, 0.7]], (10, 1))
    found = fit_certainty(said, np.tile([0, 1], 10), list(map(str, range(20))))
    assert 0.1 < found.temperature < 1
    assert found.unsure_below == pytest.approx(at_temperature(said, found.temperature).max())


@given(st.floats(0.05, 20), st.integers(0, 1000))
def test_temperature_keeps_sums_and_order_and_can_be_undone(temperature: float, seed: int) -> None:
    said = np.random.default_rng(seed).dirichlet([1, 1, 1], 5) * 0.98 + 0.02 / 3
    changed = at_temperature(said, temperature)
    np.testing.assert_allclose(changed.sum(axis=1), 1)
    assert (changed.argmax(axis=1) == said.argmax(axis=1)).all()
    if temperature > 0.3:
        np.testing.assert_allclose(at_temperature(changed, 1 / temperature), said, atol=1e-6)


def test_temperature_of_probabilities_is_that_of_logits() -> None:
    torch = pytest.importorskip("torch")
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]], dtype=torch.float64)
    cooled = at_temperature(logits.softmax(1).numpy(), 2.5)
    np.testing.assert_allclose(cooled, (logits / 2.5).softmax(1))
    one = torch.tensor([1.3, -0.2], dtype=torch.float64)
    both = torch.stack([1 - one.sigmoid(), one.sigmoid()], dim=1).numpy()
    np.testing.assert_allclose(at_temperature(both, 2.5)[:, 1], (one / 2.5).sigmoid())


def test_sets_are_those_of_crepes_where_every_image_is_its_own_group() -> None:
    crepes = pytest.importorskip("crepes")
    said, labels = drawn(500, 1.0)
    found = fit_certainty(said, labels, [str(row) for row in range(500)])
    ours = Calibration(found, {})
    calibrated, (fresh, _) = ours.calibrated(said), drawn(300, 1.0, seed=2)
    fresh = ours.calibrated(fresh)
    oracle = crepes.ConformalClassifier()
    oracle.fit(1 - calibrated[np.arange(500), labels], bins=labels)
    expected = np.zeros((300, 3), bool)
    for k in range(3):
        alphas = np.repeat(1 - fresh[:, [k]], 1, axis=1)
        values = oracle.predict_p(alphas, bins=np.full(300, k), smoothing=False)
        expected[:, k] = values[:, 0] > 1 - LEVEL + 1e-12
    expected[np.arange(300), fresh.argmax(axis=1)] = True
    np.testing.assert_array_equal(ours.sets(fresh), expected)


def test_groups_weigh_alike_however_many_images_they_have() -> None:
    # Ten groups; nine of one image at 0.9, one of 91 images at 0.2: by images the threshold would be 0.2.
    own = np.array([0.9] * 9 + [0.2] * 91)
    said = np.stack([own, 1 - own], axis=1)
    groups = [str(row) for row in range(9)] + ["crowd"] * 91
    found = fit_certainty(said, np.zeros(100, int), groups)
    at = at_temperature(said, found.temperature)[:, 0]
    assert found.accepted[0].unit == "groups"
    # Nine of eleven groups reach 0.9, which is too few for 90 %; the tenth is needed.
    assert found.accepted[0].least == pytest.approx(at.min())
    assert found.accepted[1].unit == "none"
    assert found.accepted[1].least == 0


@pytest.mark.parametrize(
    ("groups", "images", "unit"), [(9, 9, "groups"), (8, 16, "images"), (1, 9, "images"), (8, 8, "none")]
)
def test_what_is_counted_is_said(groups: int, images: int, unit: str) -> None:
    said = np.tile([0.8, 0.2], (images, 1))
    found = fit_certainty(said, np.zeros(images, int), [str(row % groups) for row in range(images)])
    first = found.accepted[0]
    assert (first.unit, first.groups, first.images) == (unit, groups, images)


def test_sets_hold_the_truth_of_new_groups_in_nine_of_ten() -> None:
    random = np.random.default_rng(3)
    held = []
    for _ in range(60):

        def patients(count: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
            # A patient's images share an offset: they are alike.
            shift = np.repeat(random.normal(size=count) * 1.5, 6)
            labels = np.repeat(random.integers(2, size=count), 6)
            logit = (2 * labels - 1) * 1.0 + shift + random.normal(size=count * 6) * 0.5
            yes = 1 / (1 + np.exp(-logit))
            return np.stack([1 - yes, yes], axis=1), labels, [str(row // 6) for row in range(count * 6)]

        said, labels, groups = patients(40)
        how = Calibration(fit_certainty(said, labels, groups), {})
        fresh, truth, _ = patients(40)
        sets = how.sets(how.calibrated(fresh))
        held.append([sets[truth == k, k].mean() for k in (0, 1)])
    assert np.mean(held, axis=0).min() > LEVEL - 0.015


def test_silence_leaves_answers_that_are_right() -> None:
    random = np.random.default_rng(0)
    confidence = random.uniform(0.5, 1, 4000)
    labels = (random.uniform(size=4000) > confidence).astype(int)
    said = np.stack([confidence, 1 - confidence], axis=1)
    found = fit_certainty(said, labels, list(map(str, range(4000))))
    how = Calibration(found, {})
    calibrated = how.calibrated(said)
    kept = ~how.unsure(calibrated)
    assert (labels[kept] == 0).mean() == pytest.approx(0.95, abs=0.01)
    assert found.unsure_below == pytest.approx(0.9, abs=0.05)  # mean of 0.9 to 1 is 0.95


def test_all_is_unsure_where_nothing_is_right() -> None:
    said = np.tile([0.6, 0.4], (20, 1))
    how = Calibration(fit_certainty(said, np.ones(20, int), list(map(str, range(20)))), {})
    assert how.unsure(how.calibrated(said)).all()


def test_distance_is_that_of_mahalanobis_to_the_nearest_class() -> None:
    from sklearn.covariance import LedoitWolf

    random = np.random.default_rng(0)
    features = random.normal(size=(200, 12)) + 3
    labels = np.repeat([0, 1], 100)
    features[labels == 1, :4] += 2
    vectors = features / np.linalg.norm(features, axis=1, keepdims=True)
    means = np.stack([vectors[labels == k].mean(axis=0) for k in (0, 1)])
    shared = LedoitWolf(assume_centered=True).fit(vectors - means[labels])
    expected = np.min([shared.mahalanobis(vectors - mean) for mean in means], axis=0) ** 0.5
    np.testing.assert_allclose(
        Surroundings.of(unit(features), labels).distances(unit(features)), expected, rtol=1e-6
    )


def test_foreign_features_are_far_even_with_more_dimensions_than_axes() -> None:
    random = np.random.default_rng(1)
    plane = random.normal(size=(4, 300))

    def near(count: int) -> np.ndarray:
        return 5 + random.normal(size=(count, 4)) @ plane + 0.1 * random.normal(size=(count, 300))

    around = Surroundings.of(near(80), np.zeros(80, int))
    assert around.axes.shape == (128, 300)
    known, foreign = around.distances(near(50)), around.distances(5 + random.normal(size=(50, 300)) * 2)
    assert foreign.min() > known.max()


def test_it_is_saved_whole_and_missing_files_are_named(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    around = Surroundings.of(random.normal(size=(30, 5)), np.arange(30) % 3)
    said, labels = drawn(30, 1.0)
    features = random.normal(size=(30, 5))
    how = Calibration(
        fit_certainty(said, labels, ["a"] * 30, {"x": around.distances(features)}), {"x": around}
    )
    how.save(tmp_path)
    again = Calibration.load(tmp_path, Certainty.model_validate_json(how.certainty.model_dump_json()))
    np.testing.assert_array_equal(again.distances({"x": features}), how.distances({"x": features}))
    assert (how.distances({"x": features}) > 1).sum() == 0
    (tmp_path / "surroundings.safetensors").write_bytes(b"x")
    with pytest.raises(ModelError, match="surroundings"):
        Calibration.load(tmp_path, how.certainty)


def test_nothing_to_calibrate_on_is_one_sentence() -> None:
    with pytest.raises(ModelError, match=r"split\.validation"):
        fit_certainty(np.empty((0, 2)), np.empty(0, int), [])
