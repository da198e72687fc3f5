from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalhub.database.ids import new_id
from results.dealing import Deal, Hand, deal, deal_to_nobody, least_busy, sample, shuffled

ANN, BEN, CLEO, DAN = (UUID(int=number) for number in range(1, 5))


def shares(dealt, *people):
    return [dealt.share_of(person) for person in people]


def ids(count):
    return [new_id() for _ in range(count)]


def test_equal_people_get_equal_shares():
    results = ids(30)

    dealt = deal(results, {ANN: 0, BEN: 0, CLEO: 0}, taken={}, seed=1)

    assert shares(dealt, ANN, BEN, CLEO) == [10, 10, 10]
    assert [hand.result_id for hand in dealt.hands] == results


def test_who_has_less_open_work_gets_more():
    dealt = deal(ids(30), {ANN: 0, BEN: 12, CLEO: 6}, taken={}, seed=1)

    assert shares(dealt, ANN, BEN, CLEO) == [16, 4, 10]


def test_the_same_seed_deals_the_same():
    results = ids(40)

    assert deal(results, {ANN: 3, BEN: 0}, taken={}, seed=7) == deal(results, {BEN: 0, ANN: 3}, taken={}, seed=7)


def test_another_seed_deals_differently():
    results = ids(40)

    assert deal(results, {ANN: 0, BEN: 0}, taken={}, seed=7) != deal(results, {ANN: 0, BEN: 0}, taken={}, seed=8)


def test_overlap_gives_each_result_to_different_people():
    results = ids(12)

    dealt = deal(results, {ANN: 0, BEN: 0, CLEO: 0}, taken={}, seed=1, overlap=2)

    pairs = [{hand.reviewer_id for hand in dealt.hands if hand.result_id == one} for one in results]
    assert {len(pair) for pair in pairs} == {2}
    assert shares(dealt, ANN, BEN, CLEO) == [8, 8, 8]
    assert dealt.seen_again == 12


def test_overlap_can_be_asked_of_a_share_only():
    dealt = deal(ids(50), {ANN: 0, BEN: 0}, taken={}, seed=1, overlap=2, overlap_percent=20)

    assert (len(dealt.hands), dealt.result_count, dealt.seen_again) == (60, 50, 10)


def test_nobody_is_asked_for_what_is_taken():
    first, second = ids(2)

    dealt = deal([first, second], {ANN: 0, BEN: 99}, taken={first: {ANN}, second: {BEN}}, seed=1)

    assert dealt == Deal((Hand(first, 1, BEN), Hand(second, 1, ANN)))


def test_results_that_nobody_can_take_are_left_out_and_counted():
    first, second, third = ids(3)

    dealt = deal([first, second, third], {ANN: 0, BEN: 0}, taken={first: {ANN, BEN}, second: {ANN}}, seed=1, overlap=2)

    assert (dealt.left_out, dealt.missing, dealt.result_count) == (1, 1, 2)


def test_results_with_little_choice_do_not_spoil_the_balance():
    results = ids(20)
    only_ann = {one: {BEN} for one in results[10:]}

    dealt = deal(results, {ANN: 0, BEN: 0}, taken=only_ann, seed=3)

    assert shares(dealt, ANN, BEN) == [10, 10]


def test_a_shared_queue_has_slots_for_nobody_in_particular():
    (one,) = ids(1)

    assert deal_to_nobody([one], seed=1, overlap=2) == Deal((Hand(one, 1, None), Hand(one, 2, None)))


def test_a_bigger_sample_holds_the_smaller_one():
    results = ids(50)

    assert sample(results, 40, 5)[:10] == sample(results, 20, 5)
    assert len(sample(results, 1, 5)) == 1
    assert sample(results, 0, 5) == []


def test_a_late_result_disturbs_no_other():
    *results, late = ids(20)

    assert [one for one in shuffled([*results, late], 9) if one != late] == shuffled(results, 9)


def test_least_busy_is_nobody_of_none():
    assert least_busy({}, seed=1) is None
    assert least_busy({ANN: 2, BEN: 1}, seed=1) == BEN


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault of the deal
@given(
    count=st.integers(0, 40),
    work=st.lists(st.integers(0, 30), min_size=1, max_size=5),
    overlap=st.integers(1, 3),
    seed=st.integers(1, 2**62),
)
def test_a_free_deal_is_as_even_as_it_can_be(count, work, overlap, seed):
    people = [UUID(int=number + 1) for number in range(len(work))]
    overlap = min(overlap, len(people))

    dealt = deal(ids(count), dict(zip(people, work, strict=True)), taken={}, seed=seed, overlap=overlap)

    assert len(dealt.hands) == count * overlap
    assert len({(hand.result_id, hand.reviewer_id) for hand in dealt.hands}) == count * overlap
    if overlap == 1:
        loads = [was + dealt.share_of(person) for person, was in zip(people, work, strict=True)]
        busy = [load for load, person in zip(loads, people, strict=True) if dealt.share_of(person)]
        assert not busy or max(busy) - min(loads) <= 1
