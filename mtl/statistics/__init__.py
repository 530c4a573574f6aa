"""Statistics of comparisons: pure functions on arrays, each with its source.

Differences are always first minus second. Intervals are 95 %. Scores are "more is better".
"""

from mtl.statistics._errors import StatisticsError
from mtl.statistics._result import SelfCheck, TestResult, self_check
from mtl.statistics.bayes import BayesianResult, bayesian_correlated_t
from mtl.statistics.compare import Comparison, compare_pairs
from mtl.statistics.corrected import corrected_repeated_kfold_t, corrected_resampled_t, fraction_of
from mtl.statistics.delong import Auroc, delong_auroc, delong_test
from mtl.statistics.effects import EffectSize, cliffs_delta, cohens_dz
from mtl.statistics.five_by_two import five_by_two_f, five_by_two_t
from mtl.statistics.independent import independent_t, welch_t
from mtl.statistics.paired import paired_t, wilcoxon
from mtl.statistics.power import Power, corrected_t_power, power_limit, power_of, repeats_needed
from mtl.statistics.predictions import mcnemar
from mtl.statistics.resampling import bootstrap_difference
from mtl.statistics.several import FriedmanResult, NemenyiResult, friedman, holm, holm_defined, nemenyi
from mtl.statistics.verdict import verdict_of

__all__ = [
    "Auroc",
    "BayesianResult",
    "Comparison",
    "EffectSize",
    "FriedmanResult",
    "NemenyiResult",
    "Power",
    "SelfCheck",
    "StatisticsError",
    "TestResult",
    "bayesian_correlated_t",
    "bootstrap_difference",
    "cliffs_delta",
    "cohens_dz",
    "compare_pairs",
    "corrected_repeated_kfold_t",
    "corrected_resampled_t",
    "corrected_t_power",
    "delong_auroc",
    "delong_test",
    "five_by_two_f",
    "five_by_two_t",
    "fraction_of",
    "friedman",
    "holm",
    "holm_defined",
    "independent_t",
    "mcnemar",
    "nemenyi",
    "paired_t",
    "power_limit",
    "power_of",
    "repeats_needed",
    "self_check",
    "verdict_of",
    "welch_t",
    "wilcoxon",
]
