"""Shares of blasts against statsmodels, and their coverage where fields differ."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.errors import ConfigError
from mtl.predict.blasts import blast_class, share_of

pairs = st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda two: (min(two), max(two)))


@pytest.mark.parametrize(("count", "total"), [(0, 7), (3, 10), (50, 50), (499, 1000), (1, 1)])
def test_one_field_has_the_interval_of_wilson(count: int, total: int) -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    share = share_of([(count, total)])
    low, high = proportion.proportion_confint(count, total, method="wilson")
    assert (share.low, share.high) == pytest.approx((low, high), abs=1e-12)
    assert share.part == count / total


def test_fields_that_differ_widen_it_by_the_design_effect_of_survey_statistics() -> None:
    fields = [(9, 10), (1, 10), (10, 20), (0, 5)]
    count, total = 20, 45
    part = count / total
    # Ratio estimator over clusters (Cochran 1977, 6.13), by hand.
    residuals = np.array([9 - 10 * part, 1 - 10 * part, 10 - 20 * part, 0 - 5 * part])
    variance = 4 / 3 * (residuals**2).sum() / total**2
    size = part * (1 - part) / variance
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    low, high = proportion.proportion_confint(part * size, size, method="wilson")
    share = share_of(fields)
    assert (share.low, share.high) == pytest.approx((low, high))
    assert share.high - share.low > 1.3 * (share_of([(count, total)]).high - share_of([(count, total)]).low)


@given(st.lists(pairs, max_size=12))
def test_an_interval_holds_its_part_and_stays_in_range(fields: list[tuple[int, int]]) -> None:
    share = share_of(fields)
    assert (share.count, share.total) == (sum(c for c, _ in fields), sum(t for _, t in fields))
    if not share.total:
        assert share.part is share.low is share.high is None
        return
    assert 0 <= share.low <= share.part <= share.high <= 1
    alone = share_of([(share.count, share.total)])
    assert share.low <= alone.low + 1e-12
    assert share.high >= alone.high - 1e-12


def test_it_holds_the_truth_of_patients_whose_fields_differ() -> None:
    random = np.random.default_rng(0)
    held = {"fields": 0, "cells": 0}
    for _ in range(2000):
        chances = random.beta(1, 3, size=12)  # mean 0.25
        fields = [(int(random.binomial(15, chance)), 15) for chance in chances]
        pooled = share_of([(sum(c for c, _ in fields), 180)])
        for name, share in (("fields", share_of(fields)), ("cells", pooled)):
            held[name] += share.low <= 0.25 <= share.high
    assert held["fields"] / 2000 > 0.90
    assert held["cells"] / 2000 < 0.80  # what counting cells alone would claim to be 95 %


@pytest.mark.parametrize(
    ("classes", "positive", "asked", "expected"),
    [
        (("normal", "lymphoblast"), None, None, "lymphoblast"),
        (("other", "Pro"), "Pro", None, "Pro"),
        (("hem", "all"), None, None, "all"),
        (("Blast", "Band", "Myelocyte"), None, None, "Blast"),
        (("basophil", "erythroblast", "monocyte"), None, None, None),
        (("basophil", "erythroblast", "monocyte"), None, "erythroblast", "erythroblast"),
        (("a", "b"), None, None, "b"),
    ],
)
def test_which_class_is_of_blasts(
    classes: tuple[str, ...], positive: str | None, asked: str | None, expected: str | None
) -> None:
    assert blast_class(classes, positive, asked) == expected


def test_a_class_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"\(a, b\), but got 'c'"):
        blast_class(("a", "b"), None, "c")
