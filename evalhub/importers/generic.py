"""Tables with a column mapping as runs: one row a result, or one row a judgement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

from evalhub.importers.description import Check, Imported, RunDescription, VariantDescription, counted, digest_of, text
from evalhub.importers.detect import Format
from evalhub.importers.gathering import gathered
from evalhub.importers.mapping import LONG, ColumnMapping
from evalhub.importers.problems import ImportProblem
from evalhub.importers.repeating import NEXT
from evalhub.importers.tables import Row, Table, is_missing, truth_in
from evalhub.importers.updating import identity_of
from results.models import Evaluation, Outcome
from results.records import Judgement, ResultRecord
from runs.cases import CaseSpec
from runs.evaluators import EvaluatorSpec
from runs.models import Evaluator

MOST_RUNS = 100
MOST_VARIANTS = 1000
PLACES_NAMED = 5


@dataclass(slots=True)
class Survey:
    """What a first reading finds out: runs with their rows and variants, rows that do not fit the header."""

    rows: Counter[str] = field(default_factory=Counter)
    variants: dict[str, dict[str, int]] = field(default_factory=dict)
    ragged: int = 0
    first_ragged: list[str] = field(default_factory=list)


@contextmanager
def open_table(
    path: Path, found: Format, *, filename: str, mapping: dict[str, Any], sha256: str
) -> Iterator[Iterable[TableRun]]:
    table = Table(path, found)
    meanings = ColumnMapping.from_json(mapping, [column.name for column in table.columns])
    survey = survey_of(table, meanings)
    identity = f"{sha256[:32]}-{digest_of(meanings.as_json())[:8]}"
    yield [
        TableRun(table, meanings, survey, run, filename=filename, run_id=f"{identity}-{n}")
        for n, run in enumerate(survey.rows)
    ]


def survey_of(table: Table, mapping: ColumnMapping) -> Survey:
    survey = Survey()
    for row in table.rows():
        run = cell_text(row, mapping.one("run"))
        survey.rows[run] += 1
        variants = survey.variants.setdefault(run, {})
        if mapping.one("variant"):
            variants.setdefault(cell_text(row, mapping.one("variant")) or "–", len(variants))
        if row.ragged:
            survey.ragged += 1
            if survey.ragged <= PLACES_NAMED:
                survey.first_ragged.append(row.place)
        if len(survey.rows) > MOST_RUNS:
            raise ImportProblem(f"The run column has more than {MOST_RUNS} different values; is it a run?")
        if len(variants) > MOST_VARIANTS:
            raise ImportProblem(
                f"The variant column has more than {MOST_VARIANTS:,} different values; is it a variant?"
            )
    return survey


class TableRun:
    """The rows of one run."""

    def __init__(
        self, table: Table, mapping: ColumnMapping, survey: Survey, run: str, *, filename: str, run_id: str
    ) -> None:
        self.table, self.mapping, self.run = table, mapping, run
        self.variants = survey.variants[run] if len(survey.variants[run]) > 1 else {}
        self.warnings: list[str] = []
        self.specs: dict[str, EvaluatorSpec] = {}
        if survey.ragged:
            named = ", ".join(survey.first_ragged) + (", …" if survey.ragged > PLACES_NAMED else "")
            one, many = "row is longer or shorter", "rows are longer or shorter"
            self.warnings.append(f"{counted(survey.ragged, one, many)} than the header ({named}).")
        stem = Path(filename).stem or "table"
        only = next(iter(survey.variants[run]), "") if not self.variants else ""
        self.description = RunDescription(
            tool="table",
            run_id=run_id,
            name=run or stem,
            settings_id=digest_of(stem, sorted(mapping.columns)),
            configuration=stem,
            parameters={"mapping": mapping.as_json()},
            test_set=stem,
            model=only,
            variants=[VariantDescription(label=label) for label in self.variants],
            held=survey.rows[run] if mapping.layout != LONG else None,
            attributes={"file": filename},
        )

    def checks(self, imported: Imported) -> list[Check]:
        return []  # tables state no totals

    def records(self) -> Iterator[ResultRecord]:
        rows = (row for row in self.table.rows() if cell_text(row, self.mapping.one("run")) == self.run)
        return self._long(rows) if self.mapping.layout == LONG else self._wide(rows)

    def _wide(self, rows: Iterable[Row]) -> Iterator[ResultRecord]:
        for row in rows:
            record = self.record(row)
            if not self.mapping.one("repetition"):
                record.repetition = NEXT
            record.evaluations = [
                judgement
                for evaluator, group in self.mapping.groups().items()
                for judgement in self.judged(row, evaluator, group)
            ] + self.ratings(row)
            yield record

    def _long(self, rows: Iterable[Row]) -> Iterator[ResultRecord]:
        """Rows of one result may be anywhere in the file, so they are gathered first."""
        group = self.mapping.groups().get("", {})
        lone = next(iter(group.values()), "score")
        for cells in gathered((digest_of(identity_of(self.record(row))), astuple(row)) for row in rows):
            together = [Row(*of_row) for of_row in cells]
            known, *more = map(self.record, together)
            for record in more:
                fill_up(known, record)
            for row in together:
                evaluator = cell_text(row, self.mapping.one("evaluator")) or self.evaluator_of(lone)
                known.evaluations += [*self.judged(row, evaluator, group), *self.ratings(row)]
            yield known

    def evaluator_of(self, column: str) -> str:
        return self.mapping.columns[column].evaluator if column in self.mapping.columns else column

    def record(self, row: Row) -> ResultRecord:
        mapping, number = self.mapping, self.table.number
        inputs = {plain_key(name, "input", mapping): row.cells.get(name) for name in mapping.all("input")}
        case_id = cell_text(row, mapping.one("case"))
        expected = self.value(row, "expected")
        spec = CaseSpec(
            external_id=digest_of(case_id, inputs) if case_id or inputs else digest_of(row.place),
            name=case_id or text(next(iter(inputs.values()), row.place))[:120],
            inputs=inputs,
            expected=None if expected is None else as_object(expected, "expected"),
        )
        output, error = self.value(row, "output"), cell_text(row, mapping.one("error"))
        latency = number(self.cell(row, "latency_ms"))
        if latency is None and (seconds := number(self.cell(row, "latency_s"))) is not None:
            latency = seconds * 1000
        tokens = number(self.cell(row, "tokens"))
        attributes: dict[str, Any] = {
            name: row.cells[name] for name in mapping.all("metadata") if row.cells.get(name) not in (None, "")
        }
        if row.extra:
            attributes["cells beyond the header"] = list(row.extra)
        variant = cell_text(row, mapping.one("variant")) or "–"
        return ResultRecord(
            case=spec,
            variant=self.variants.get(variant),
            repetition=self.repetition(row),
            name=spec.name,
            inputs=inputs,
            expected=spec.expected,
            output=None if output is None else as_object(output, "output"),
            error=error,
            reported_outcome=self.outcome(row),
            latency_ms=latency,
            cost=number(self.cell(row, "cost")),
            tokens=None if tokens is None else int(tokens),
            tags=[tag for name in mapping.all("tags") for tag in tags_in(row.cells.get(name))],
            attributes=attributes,
        )

    def repetition(self, row: Row) -> int:
        said = self.cell(row, "repetition")
        value = self.table.number(said)
        if value is None and not is_missing(said):
            raise ImportProblem(f"the repetition is not a number: {text(said)[:40]}", place=f"{row.place}:")
        if value is not None and not 1 <= value <= 1_000_000:
            raise ImportProblem(f"the repetition is out of range: {text(said)[:40]}", place=f"{row.place}:")
        return int(value or 1)

    def outcome(self, row: Row) -> str:
        said = self.cell(row, "outcome")
        if is_missing(said):
            return ""
        passed = truth_in(said)
        if passed is not None:
            return Outcome.PASSED if passed else Outcome.FAILED
        word = text(said).strip().casefold()
        if word in ("error", "errored"):
            return Outcome.ERROR
        if word in ("unjudged", "skipped", "pending"):
            return Outcome.UNJUDGED
        raise ImportProblem(f"the outcome is not pass, fail or error: {text(said)[:40]}", place=f"{row.place}:")

    def judged(self, row: Row, evaluator: str, group: dict[str, str]) -> list[Judgement]:
        """One judgement from the cells of a group; a person who said nothing is not one."""
        cells = {role: row.cells.get(name) for role, name in group.items()}
        annotator = text(cells.get("annotator")).strip()
        nothing = all(is_missing(cells.get(role)) for role in ("score", "label", "passed"))
        if not group or (nothing and "annotator" in group):
            return []
        judgement = self.judgement(evaluator, cells.get("score"), by_people="annotator" in group)
        if not is_missing(cells.get("label")):
            judgement.label = text(cells["label"])
        if not is_missing(cells.get("passed")):
            judgement.passed = self.verdict(cells["passed"], row)
        if not nothing:
            judgement.state = Evaluation.State.SCORED
        judgement.explanation = text(cells.get("explanation")) or judgement.explanation
        if "annotator" in group:
            judgement.source, judgement.author_name = Evaluation.Source.HUMAN, annotator or "unknown"
        return [judgement]

    def ratings(self, row: Row) -> list[Judgement]:
        """Columns that hold the rating of one person, or a list with those of several."""
        found = []
        for name in self.mapping.all("rating"):
            cell, evaluator = row.cells.get(name), self.mapping.columns[name].evaluator
            several = cell if isinstance(cell, list) else None
            for position, one in enumerate(several if several is not None else [cell], 1):
                if is_missing(one):
                    continue
                judgement = self.judgement(evaluator, one, by_people=True)
                judgement.source = Evaluation.Source.HUMAN
                judgement.author_name = f"rater {position}" if several is not None else name.rsplit(".", 1)[-1]
                found.append(judgement)
        return found

    def judgement(self, evaluator: str, score: Any, *, by_people: bool) -> Judgement:
        """A number, a truth value or a word; what is missing or NaN is unscored."""
        spec = self.specs.get(evaluator)
        if spec is None:
            who = Evaluator.Who.HUMAN if by_people else Evaluator.Who.HEURISTIC
            spec = EvaluatorSpec(name=evaluator, who=who, threshold=self.mapping.threshold_of(evaluator))
            self.specs[evaluator] = spec
        judgement = Judgement(evaluator=spec)
        value, truth = self.table.number(score), truth_in(score)
        if value is not None:
            judgement.value = value
        elif truth is not None:
            judgement.value, judgement.passed = float(truth), truth
        elif is_missing(score):
            judgement.state = Evaluation.State.UNSCORED
            judgement.explanation = f"The cell holds {text(score)!r}." if score not in (None, "") else ""
        else:
            judgement.label = text(score)
            spec.value_type = Evaluator.ValueType.LABEL
        return judgement

    def verdict(self, cell: Any, row: Row) -> bool | None:
        truth = truth_in(cell)
        if truth is None and self.table.number(cell) in (0, 1):
            truth = self.table.number(cell) == 1
        if truth is None:
            raise ImportProblem(f"the verdict is not pass or fail: {text(cell)[:40]}", place=f"{row.place}:")
        return truth

    def cell(self, row: Row, role: str) -> Any:
        name = self.mapping.one(role)
        return row.cells.get(name) if name else None

    def value(self, row: Row, role: str) -> Any:
        """A cell as it is; nothing where it is empty."""
        cell = self.cell(row, role)
        return None if cell in ("", None) else cell


def fill_up(known: ResultRecord, more: ResultRecord) -> None:
    """Rows of one result may leave out what an earlier one said."""
    known.output = known.output or more.output
    known.error = known.error or more.error
    known.reported_outcome = known.reported_outcome or more.reported_outcome
    for name in ("latency_ms", "cost", "tokens"):
        if getattr(known, name) is None:
            setattr(known, name, getattr(more, name))
    known.tags = list(dict.fromkeys([*known.tags, *more.tags]))
    known.attributes = {**more.attributes, **known.attributes}


def cell_text(row: Row, name: str | None) -> str:
    return text(row.cells.get(name)).strip() if name else ""


def tags_in(cell: Any) -> list[str]:
    if isinstance(cell, list):
        return [text(tag).strip() for tag in cell]
    return [tag.strip() for tag in text(cell).split(",") if tag.strip()]


def plain_key(name: str, role: str, mapping: ColumnMapping) -> str:
    """A lone input is called input; several keep their columns' names."""
    return role if len(mapping.all(role)) == 1 else name


def as_object(value: Any, key: str) -> dict[str, Any]:
    return value if isinstance(value, dict) else {key: value}
