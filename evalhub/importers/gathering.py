"""Brings together what lies apart in a file. In the database, which has a disk: a file may hold millions of rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.db import connection

from evalhub.database.copying import copy_rows

_IN_ORDER = """
    SELECT first, item FROM (SELECT n, item, min(n) OVER (PARTITION BY key) AS first FROM gathering) AS numbered
    ORDER BY first, n
"""


def gathered(items: Iterable[tuple[str, Any]]) -> Iterator[list[Any]]:
    """The items (JSON) of each key, in the order in which the keys first come. Inside a transaction."""
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS gathering")  # of the file's run before this one
        cursor.execute("CREATE TEMPORARY TABLE gathering (n integer, key text, item text) ON COMMIT DROP")
    copy_rows("gathering", ("n", "key", "item"), ((n, key, json.dumps(item)) for n, (key, item) in enumerate(items)))
    with connection.chunked_cursor() as cursor:
        cursor.execute(_IN_ORDER)
        for _, rows in groupby(cursor, key=itemgetter(0)):
            yield [json.loads(item) for _, item in rows]
