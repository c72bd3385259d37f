"""Compare counts between groups: χ² or Fisher's exact test (papers.md row H4)."""

from __future__ import annotations

import numpy as np

from COVIDQuantLib.statistics.methods.outcome import TestOutcome, finite

# Below this expected count χ² is no longer trusted.
_LEAST_EXPECTED = 5.0
# Above this number of tables the exact distribution is sampled instead of enumerated.
_MOST_TABLES = 2_000_000
_RESAMPLES = 20_000
_SEED = 20200320


def compare_counts(table: np.ndarray) -> TestOutcome:
    """Test whether the rows of a contingency table are distributed alike over its columns.

    χ² of Pearson (without continuity correction) if every expected count is 5 or more, otherwise Fisher's exact test:
    enumerated for two rows (Freeman and Halton 1951), sampled with a fixed seed for more.

    Args:
        table: counts, categories × groups.
    """
    from scipy import stats

    counts = np.asarray(table, np.int64)
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    n = int(counts.sum())
    if min(counts.shape, default=0) < 2:
        return TestOutcome("none", n, note="all patients are in one category, or in one group")
    expected = stats.contingency.expected_freq(counts)
    least = float(expected.min())
    if least >= _LEAST_EXPECTED:
        found = stats.chi2_contingency(counts, correction=False)
        why = f"least expected count {least:.3g}"
        return TestOutcome("Pearson's χ² test", n, finite(found.statistic), finite(found.pvalue), why)
    why = f"least expected count {least:.2g}, below {_LEAST_EXPECTED:g}"
    if counts.shape[0] == 2 or counts.shape[1] == 2:
        two = counts if counts.shape[0] == 2 else counts.T
        if np.prod(two.sum(axis=0) + 1.0) <= _MOST_TABLES:
            return TestOutcome("Fisher's exact test", n, None, _freeman_halton(two), why)
    rng = np.random.default_rng(_SEED)
    method = stats.MonteCarloMethod(n_resamples=_RESAMPLES, rng=rng)
    p = float(stats.fisher_exact(counts, method=method).pvalue)
    return TestOutcome(f"Fisher's exact test, {_RESAMPLES} sampled tables", n, None, p, why)


def _freeman_halton(counts: np.ndarray) -> float:
    """Two-sided p of a 2 × k table: all tables with the same margins that are no more probable than this one."""
    from scipy.special import gammaln

    groups, wanted = counts.sum(axis=0), int(counts[0].sum())
    log_choose = [gammaln(size + 1) - gammaln(np.arange(size + 1) + 1) - gammaln(size - np.arange(size + 1) + 1)
                  for size in groups.tolist()]  # fmt: skip
    sums, logs = np.zeros(1, np.int64), np.zeros(1)
    for size, logarithms in zip(groups.tolist(), log_choose, strict=True):
        sums = (sums[:, np.newaxis] + np.arange(size + 1)).ravel()
        logs = (logs[:, np.newaxis] + logarithms).ravel()
        kept = sums <= wanted
        sums, logs = sums[kept], logs[kept]
    logs = logs[sums == wanted]
    probability = np.exp(logs - logs.max())
    own = sum(logarithms[count] for logarithms, count in zip(log_choose, counts[0].tolist(), strict=True))
    # Tables as probable as this one count too, whatever rounding does.
    as_rare = probability <= np.exp(own - logs.max()) * (1 + 1e-7)
    return float(min(1.0, probability[as_rare].sum() / probability.sum()))
