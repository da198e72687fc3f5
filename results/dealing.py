"""Dealing review work out. Nothing here touches the database: the same seed and facts give the same deal."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from math import ceil
from uuid import UUID

Taken = Mapping[UUID, Collection[UUID]]


@dataclass(frozen=True, slots=True)
class Hand:
    """One slot of one result, for one person; None: for whoever takes it."""

    result_id: UUID
    slot: int
    reviewer_id: UUID | None


@dataclass(frozen=True, slots=True)
class Deal:
    """Who is to review what. ``left_out``: results that nobody of the chosen can take; ``missing``: slots of others."""

    hands: tuple[Hand, ...]
    left_out: int = 0
    missing: int = 0

    @property
    def result_count(self) -> int:
        return len({hand.result_id for hand in self.hands})

    @property
    def seen_again(self) -> int:
        """Results that more than one person looks at."""
        return len({hand.result_id for hand in self.hands if hand.slot > 1})

    def share_of(self, reviewer_id: UUID) -> int:
        return sum(hand.reviewer_id == reviewer_id for hand in self.hands)


def new_seed() -> int:
    return secrets.randbits(62) + 1


def shuffled(ids: Iterable[UUID], seed: int) -> list[UUID]:
    """The ids in an order that depends on the seed and on each id alone, so that a late one disturbs no other."""
    return sorted(set(ids), key=lambda one: _rank(seed, one))


def sample(ids: Iterable[UUID], percent: int, seed: int) -> list[UUID]:
    """At least ``percent`` % of the ids at random; a bigger share holds every smaller one."""
    mixed = shuffled(ids, seed)
    return mixed[: sample_size(len(mixed), percent)]


def sample_size(count: int, percent: int) -> int:
    return ceil(count * percent / 100)


def deal(
    result_ids: Iterable[UUID],
    open_work: Mapping[UUID, int],
    *,
    taken: Taken,
    seed: int,
    overlap: int = 1,
    overlap_percent: int = 100,
) -> Deal:
    """Give each result to ``overlap`` people (one, outside of ``overlap_percent`` % of the results), always to whoever
    has least to do. ``taken``: result -> the people who are not to be asked about it.

    Results with little choice are dealt first, or the last ones would all go to the same person.
    """
    ids = list(dict.fromkeys(result_ids))
    seen_more_often = set(sample(ids, overlap_percent, seed)) if overlap > 1 else set()
    load = dict(open_work)
    people = sorted(load, key=lambda one: _rank(seed, one))
    able = {one: [person for person in people if person not in taken.get(one, ())] for one in ids}
    chosen: dict[UUID, list[UUID]] = {}
    left_out = missing = 0
    for one in sorted(shuffled(ids, seed), key=lambda one: len(able[one])):
        wanted = overlap if one in seen_more_often else 1
        hands = sorted(able[one], key=lambda person: load[person])[:wanted]
        for person in hands:
            load[person] += 1
        chosen[one] = hands
        if hands:
            missing += wanted - len(hands)
        else:
            left_out += 1
    hands_in_order = tuple(Hand(one, slot, person) for one in ids for slot, person in enumerate(chosen[one], start=1))
    return Deal(hands_in_order, left_out=left_out, missing=missing)


def deal_to_nobody(result_ids: Iterable[UUID], *, seed: int, overlap: int = 1, overlap_percent: int = 100) -> Deal:
    """Slots for a shared queue."""
    ids = list(dict.fromkeys(result_ids))
    seen_more_often = set(sample(ids, overlap_percent, seed)) if overlap > 1 else set()
    return Deal(
        tuple(Hand(one, slot, None) for one in ids for slot in range(1, (overlap if one in seen_more_often else 1) + 1))
    )


def least_busy(candidates: Mapping[UUID, int], *, seed: int) -> UUID | None:
    """Who has least open work; the seed decides between equals."""
    return min(candidates, key=lambda one: (candidates[one], _rank(seed, one)), default=None)


def _rank(seed: int, one: UUID) -> bytes:
    return blake2b(one.bytes, key=seed.to_bytes(8, "big", signed=True), digest_size=8).digest()
