import pytest

from runs.rates import clustered_wilson, wilson


def test_wilson_reproduces_a_published_interval():
    """81 of 263, 95 %: R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_wilson_stays_within_zero_and_one():
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(20, 20)[1] == 1.0


def test_nothing_judged_has_no_interval():
    assert wilson(0, 0) is None


def test_without_repetitions_clusters_change_nothing():
    """Ten cases, one result each, seven passed."""
    clustered = clustered_wilson(7, 10, clusters=10, judged_squares=10, judged_passed=7, passed_squares=7)

    assert clustered == wilson(7, 10)


def test_repetitions_that_always_agree_count_as_one():
    """Ten cases, three equal results each, five cases pass: n_eff = rate(1-rate) / (10/9 * sum(p-rj)^2 / 30^2) = 9."""
    clustered = clustered_wilson(15, 30, clusters=10, judged_squares=90, judged_passed=45, passed_squares=45)

    assert clustered == pytest.approx(wilson(4.5, 9))
