"""Numbers the results of one case. In the database, which has a disk: a file may hold millions of cases."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from itertools import count

from django.db import connection

from evalhub.importers.updating import identity_of
from results.records import ResultRecord

NEXT = 0  # the repetition of a record whose file does not number them
_MAKE = "CREATE TEMPORARY TABLE importing_case (key bytea PRIMARY KEY, held integer NOT NULL) ON COMMIT DROP"
_ADD = """
    INSERT INTO importing_case AS before SELECT * FROM unnest(%s::bytea[], %s::integer[])
    ON CONFLICT (key) DO UPDATE SET held = before.held + excluded.held
    RETURNING key, held
"""


class Repetitions:
    """Of one run, inside the import's transaction. ``repeated``: how many of those numbered were not the first."""

    def __init__(self) -> None:
        self.repeated = 0
        self.ready = False

    def number(self, records: Sequence[ResultRecord]) -> None:
        """Those to be numbered get the next repetition of their case and variant."""
        keyed = [(_key(record), record) for record in records if record.repetition == NEXT]
        if not keyed:
            return
        more = Counter(key for key, _ in keyed)
        with connection.cursor() as cursor:
            if not self.ready:
                cursor.execute("DROP TABLE IF EXISTS importing_case")  # of the file's run before this one
                cursor.execute(_MAKE)
                self.ready = True
            cursor.execute(_ADD, [list(more), list(more.values())])
            following = {bytes(key): count(held - more[bytes(key)] + 1) for key, held in cursor.fetchall()}
        for key, record in keyed:
            record.repetition = next(following[key])
            self.repeated += record.repetition > 1


def _key(record: ResultRecord) -> bytes:
    external_id, variant, _ = identity_of(record)
    return hashlib.blake2b(f"{variant} {external_id}".encode(), digest_size=16).digest()
