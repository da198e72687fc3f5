"""The texts of recorded results, brought into the search's index after they have arrived."""

from __future__ import annotations

import time
from typing import Final

from django.db import transaction

from results.models import SearchText

AT_ONCE: Final = 500  # rows of one short transaction: about 0.1 s


def index_texts(*, rest: float = 3) -> int:
    """Index the texts that wait, and say how many; several workers at it take different ones.

    ``rest``: pauses, as a multiple of the time at work; who records meanwhile has the rest of the machine.
    """
    indexed = 0
    while True:
        began = time.monotonic()
        waiting = SearchText.objects.filter(indexed=False).select_for_update(skip_locked=True, no_key=True)
        with transaction.atomic():
            taken = SearchText.objects.filter(pk__in=waiting.values("pk")[:AT_ONCE]).update(indexed=True)
        if not taken:
            return indexed
        indexed += taken
        time.sleep(rest * (time.monotonic() - began))
