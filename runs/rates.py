"""Pass rates and their intervals."""

from __future__ import annotations

from math import sqrt

Z_95 = 1.959963984540054


def wilson(passed: float, judged: float, z: float = Z_95) -> tuple[float, float] | None:
    """The Wilson score interval for ``passed`` of ``judged`` (E. B. Wilson, JASA 22, 1927); None of nothing.

    ``judged`` may be an effective sample size, so neither needs to be whole.
    """
    if judged <= 0:
        return None
    rate = passed / judged
    z2 = z * z
    centre = (rate + z2 / (2 * judged)) / (1 + z2 / judged)
    half = z * sqrt(rate * (1 - rate) / judged + z2 / (4 * judged * judged)) / (1 + z2 / judged)
    # At the ends the formula gives exactly 0 and 1, which binary fractions miss by a little.
    return (0.0 if passed <= 0 else centre - half), (1.0 if passed >= judged else centre + half)


def clustered_wilson(
    passed: int, judged: int, *, clusters: int, judged_squares: int, judged_passed: int, passed_squares: int
) -> tuple[float, float] | None:
    """Wilson's interval when several results share a case: its n is the effective sample size.

    The rate is the ratio estimator sum(p) / sum(j) over cases with p passed of j judged results; its variance is
    m / (m - 1) * sum((p - rate * j)^2) / sum(j)^2 (W. G. Cochran, Sampling Techniques, 3rd ed., 6.3 and 9A), and
    n = rate * (1 - rate) / variance goes into the Wilson formula (E. L. Korn and B. I. Graubard, Survey Methodology 24,
    1998). Where the variance says nothing (one case, or all alike) n is the number of cases.
    """
    if judged <= 0:
        return None
    if clusters == judged:
        return wilson(passed, judged)
    rate = passed / judged
    residual = passed_squares - 2 * rate * judged_passed + rate * rate * judged_squares
    effective = float(clusters)
    if clusters > 1 and residual > 1e-12:
        variance = clusters / (clusters - 1) * residual / (judged * judged)
        effective = min(float(judged), max(1.0, rate * (1 - rate) / variance))
    return wilson(rate * effective, effective)
