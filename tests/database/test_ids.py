import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from evalhub.database.ids import new_id, same_ids_each_time


def test_ids_carry_their_time_and_version_digit_4():
    before = time.time_ns() // 1_000_000

    made = new_id()

    assert before <= made.int >> 80 <= time.time_ns() // 1_000_000
    assert (made.version, made.variant) == (4, "specified in RFC 4122")


def test_later_ids_are_larger_also_within_a_millisecond():
    made = [new_id() for _ in range(10_000)]

    assert made == sorted(set(made))


def test_ids_of_many_threads_never_meet():
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: new_id(), range(20_000)))

    assert len(set(made)) == 20_000


def test_ids_can_be_made_the_same_again():
    def made():
        with same_ids_each_time(datetime(2026, 1, 1, tzinfo=UTC)):
            return [new_id() for _ in range(1_000)]

    before, first, second = new_id(), made(), made()

    assert first == second == sorted(set(first))
    assert first[-1] < before < new_id()
