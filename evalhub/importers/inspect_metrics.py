"""Counts Inspect's own figures again: one score a sample after reducing its epochs, then the mean over samples."""

from __future__ import annotations

import math
import re
import statistics
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any

from evalhub.importers.description import Check, Imported, Judged, as_dict, as_list, number, text

MEANS = ("accuracy", "mean")
RIGHT = 1.0  # what at_least and pass_at count
Reduce = Callable[[list[float]], float]


def checks_of_scores(header: dict[str, Any], imported: Imported) -> list[Check]:
    results = as_dict(header.get("results"))
    headline = headline_of(results)
    checks: list[Check] = []
    for score in map(as_dict, as_list(results.get("scores"))):
        evaluator = evaluator_of(score, imported)
        reducer = text(score.get("reducer"))
        reduce = reducer_named(reducer or "mean")
        if evaluator is None or reduce is None:
            continue
        reduced = array("d", reduced_scores(imported.judged(evaluator), reduce))  # 8 bytes a case
        scored = sum(not math.isnan(value) for value in reduced)
        how = f" ({reducer})" if reducer else ""
        for key, count in (("scored_samples", scored), ("unscored_samples", len(reduced) - scored)):
            declared = number(score.get(key))
            if declared is not None:
                checks.append(Check(f"{evaluator} {key.split('_')[0]}{how}", declared, count))
        for name, metric in as_dict(score.get("metrics")).items():
            declared = number(as_dict(metric).get("value"))
            plain = name.rsplit("/", 1)[-1]
            if plain in MEANS and declared is not None and scored:
                first = headline == (score.get("scorer"), score.get("name"), name, score.get("reducer"))
                mean = statistics.fmean(value for value in reduced if not math.isnan(value))
                checks.append(Check(f"{evaluator} {plain}{how}", declared, mean, headline=first))
    return checks


def headline_of(results: dict[str, Any]) -> tuple[Any, ...]:
    """(scorer, name, metric, reducer) of the figure to name first: the log's own choice, else the first one."""
    chosen = as_dict(results.get("headline"))
    if chosen:
        return tuple(chosen.get(key) for key in ("scorer", "score", "metric", "reducer"))
    for score in map(as_dict, as_list(results.get("scores"))):
        for name in as_dict(score.get("metrics")):
            return (score.get("scorer"), score.get("name"), name, score.get("reducer"))
    return ()


def evaluator_of(score: dict[str, Any], imported: Imported) -> str | None:
    """A score of a scorer that gives several is named after both."""
    name, scorer = text(score.get("name")), text(score.get("scorer"))
    return next((known for known in (f"{scorer}.{name}", name, scorer) if known in imported.evaluators), None)


def reduced_scores(judged: Iterable[Judged], reduce: Reduce) -> Iterator[float]:
    """One number a case; NaN where no epoch of it has a score."""
    for _, epochs in groupby(judged, key=attrgetter("case")):
        in_order = sorted(epochs, key=attrgetter("repetition"))
        values = [one.value for one in in_order if one.value is not None]
        yield reduce(values) if values else math.nan


def reducer_named(name: str) -> Reduce | None:
    simple: dict[str, Reduce] = {"mean": statistics.fmean, "median": statistics.median, "mode": mode, "max": max}
    if name in simple:
        return simple[name]
    match = re.fullmatch(r"(at_least|pass_at|pass_k)_(\d+)", name)
    if match is None:
        return None
    kind, k = match[1], int(match[2])
    return {"at_least": at_least, "pass_at": pass_at, "pass_k": pass_all}[kind](k)


def mode(values: list[float]) -> float:
    return Counter(values).most_common(1)[0][0]


def at_least(k: int) -> Reduce:
    return lambda values: float(sum(value >= RIGHT for value in values) >= k)


def pass_at(k: int) -> Reduce:
    """The chance that k epochs drawn without replacement hold a right one."""

    def reduce(values: list[float]) -> float:
        wrong = sum(value < RIGHT for value in values)
        return math.nan if len(values) < k else 1 - math.comb(wrong, k) / math.comb(len(values), k)

    return reduce


def pass_all(k: int) -> Reduce:
    """The chance that k epochs drawn without replacement are all right."""

    def reduce(values: list[float]) -> float:
        right = sum(value >= RIGHT for value in values)
        return math.nan if len(values) < k else math.comb(right, k) / math.comb(len(values), k)

    return reduce
