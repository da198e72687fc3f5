"""A result is found by its words as soon as it is recorded, and the same way once a worker has indexed them."""

import pytest

from results.amending import amend_result
from results.models import SearchText
from results.searching import index_texts
from tests.factories import make_actor, make_project, make_result, make_run
from tests.results.test_filters import found

pytestmark = pytest.mark.django_db


def make_searched(*outputs: str):
    actor = make_actor(role="lead")
    run = make_run(make_project(actor.organization))
    return actor, run, [make_result(run, name=text, output={"output": text}) for text in outputs]


def test_a_result_is_found_before_and_after_its_text_is_in_the_index():
    actor, run, _ = make_searched("A parcel got lost", "A voucher expired")
    before = found(actor, run, q="parcel"), found(actor, run=None, q="PARCEL got")

    indexed = index_texts(rest=0)

    assert indexed == 2
    assert (found(actor, run, q="parcel"), found(actor, run=None, q="PARCEL got")) == before
    assert before == (["A parcel got lost"], ["A parcel got lost"])


def test_texts_are_indexed_once():
    make_searched("One", "Two")
    index_texts(rest=0)

    assert (index_texts(rest=0), SearchText.objects.filter(indexed=True).count()) == (0, 2)


def test_an_indexed_and_a_waiting_text_are_found_together():
    actor, run, _ = make_searched("First refund")
    index_texts(rest=0)
    make_result(run, name="Second refund", output={"output": "Second refund"})

    assert found(actor, run, q="refund") == ["First refund", "Second refund"]


def test_an_amended_answer_is_found_by_its_new_words_only():
    actor, run, (result,) = make_searched("The old words")
    index_texts(rest=0)

    amend_result(result, {"output": {"output": "The new words"}}, by=actor, via="api")

    assert (found(actor, run, q="old words"), found(actor, run, q="new words")) == ([], ["The old words"])


def test_the_words_of_another_organisation_are_not_found():
    actor, _, _ = make_searched("Ours")
    make_searched("Secret parcel")
    index_texts(rest=0)

    assert found(actor, run=None, q="secret") == []
