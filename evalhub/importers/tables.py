"""Tables that anybody may have written: CSV, JSONL and JSON lists as rows of named cells."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalhub.database.storable import storable
from evalhub.importers.detect import Format
from evalhub.importers.jsonreading import elements_of, lists_in, read_json_lines
from evalhub.importers.problems import ImportProblem, Limits

SAMPLE_ROWS = 200
PREVIEW_ROWS = 20
DELIMITERS = ",;\t|"
MOST_COLUMNS = 300  # each has three fields in the form
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(e[+-]?\d+)?", re.IGNORECASE)
WORDS = {"true": True, "false": False, "yes": True, "no": False, "pass": True, "fail": False}
WORDS |= {"passed": True, "failed": False, "correct": True, "incorrect": False}
MISSING = ("", "nan", "null", "none", "n/a", "na", "-", "–")


@dataclass(frozen=True, slots=True)
class Row:
    """Cells by column; ``place`` for messages; ``ragged``: not as long as the header; ``extra``: cells beyond it."""

    place: str
    cells: dict[str, Any]
    extra: tuple[str, ...] = ()
    ragged: bool = False


@dataclass(slots=True)
class Column:
    name: str
    kind: str  # text, number, true/false, list, empty
    example: str = ""


@dataclass
class Table:
    """A file as rows. Reading starts anew each time."""

    path: Path
    format: Format
    limits: Limits = field(default_factory=Limits.current)
    encoding: str = "utf-8"
    delimiter: str = ","
    decimal_comma: bool = False
    at: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.format == Format.CSV:
            self.encoding = encoding_of(self.path)
            self.delimiter = delimiter_of(self._start())
        elif self.format == Format.JSON:
            self.at = list_in(self.path)
        self.sample = [row for row, _ in zip(self.rows(), range(SAMPLE_ROWS), strict=False)]
        if not self.sample:
            raise ImportProblem("The file has a header but no rows." if self._start().strip() else "The file is empty.")
        self.decimal_comma = (
            self.format == Format.CSV
            and self.delimiter != ","
            and any(
                isinstance(cell, str) and DECIMAL_COMMA.fullmatch(cell.strip())
                for row in self.sample
                for cell in row.cells.values()
            )
        )
        names = list(dict.fromkeys(name for row in self.sample for name in row.cells))
        if len(names) > MOST_COLUMNS:
            raise ImportProblem(f"The file has more than {MOST_COLUMNS:,} columns.")
        self.columns = [self._column(name) for name in names]

    @property
    def preview(self) -> list[list[str]]:
        """The first rows as short texts."""
        return [[shown(row.cells.get(column.name)) for column in self.columns] for row in self.sample[:PREVIEW_ROWS]]

    def rows(self) -> Iterator[Row]:
        if self.format == Format.CSV:
            yield from self._csv_rows()
            return
        if self.format == Format.JSONL:
            found = ((f"Line {n:,}", value) for n, value in read_json_lines(self.path, self.limits))
        else:
            found = ((f"Element {n:,}", value) for n, value in elements_of(self.path, self.at, self.limits))
        for place, value in found:
            if not isinstance(value, dict):
                raise ImportProblem("is not an object with named values", place=place)
            yield Row(place, {storable(name): cell for name, cell in flat(value).items()})

    def number(self, cell: Any) -> float | None:
        return number_in(cell, decimal_comma=self.decimal_comma)

    def _column(self, name: str) -> Column:
        cells = [row.cells.get(name) for row in self.sample]
        present = [cell for cell in cells if not is_missing(cell)]
        if not present:
            return Column(name, "empty")
        if all(isinstance(cell, list | dict) for cell in present):
            kind = "list"
        elif all(truth_in(cell) is not None and self.number(cell) is None for cell in present):
            kind = "true/false"
        elif all(self.number(cell) is not None for cell in present):
            kind = "number"
        else:
            kind = "text"
        return Column(name, kind, shown(present[0]))

    # --- CSV ----------------------------------------------------------------------------------------------------------

    def _start(self) -> str:
        with self.path.open("rb") as file:
            return codecs.getincrementaldecoder(self.encoding)("replace").decode(file.read(256 * 1024))

    def _csv_rows(self) -> Iterator[Row]:
        csv.field_size_limit(self.limits.record_bytes)
        with self.path.open("r", encoding=self.encoding, newline="") as file:
            lines = csv.reader(file, delimiter=self.delimiter, strict=True)
            header: list[str] | None = None
            started = 1
            while True:
                try:
                    cells = next(lines, None)
                except csv.Error as error:
                    place = f"Line {started:,}"
                    raise ImportProblem(f"is not CSV that can be read ({error})", place=place) from error
                if cells is None:
                    return
                place, started = f"Line {started:,}", lines.line_num + 1
                if not any(cell.strip() for cell in cells):
                    continue
                if header is None:
                    header = headings(list(map(storable, cells)))
                    continue
                named = {name: cell for name, cell in zip(header, cells, strict=False) if name}
                extra = tuple(cell for cell in cells[len(header) :] if cell.strip())
                extra += tuple(cell for name, cell in zip(header, cells, strict=False) if not name and cell.strip())
                missing = dict.fromkeys(filter(None, header[len(cells) :]))
                yield Row(place, named | missing, extra, ragged=bool(extra or missing))


def headings(cells: list[str]) -> list[str]:
    """Names of columns: trimmed, and each once; one without a name has its place, a trailing one is none."""
    seen: Counter[str] = Counter()
    names = []
    named = max((place for place, cell in enumerate(cells, 1) if cell.strip()), default=0)
    for place, cell in enumerate(cells, 1):
        name = cell.strip() or (f"column {place}" if place < named else "")
        seen[name] += 1
        names.append(f"{name} ({seen[name]})" if name and seen[name] > 1 else name)
    return names


def encoding_of(path: Path) -> str:
    """UTF-8 with or without mark, UTF-16 with mark, else what Windows wrote."""
    with path.open("rb") as file:
        start = file.read(4)
        if start.startswith((b"\xff\xfe", b"\xfe\xff")):
            return "utf-16"
        file.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while chunk := file.read(1024 * 1024):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252" if _decodes(path, "cp1252") else "latin-1"
    return "utf-8-sig" if start.startswith(codecs.BOM_UTF8) else "utf-8"


def _decodes(path: Path, encoding: str) -> bool:
    with path.open(encoding=encoding, newline="") as file:
        try:
            while file.read(1024 * 1024):
                pass
        except UnicodeDecodeError:
            return False
    return True


def delimiter_of(start: str) -> str:
    """The character that cuts the first lines into the most columns, equally many in each."""

    def rank(delimiter: str) -> tuple[float, int]:
        widths = []
        try:
            for cells in csv.reader(io.StringIO(start, newline=""), delimiter=delimiter):
                if any(cells):
                    widths.append(len(cells))
                if len(widths) == 20:
                    break
        except csv.Error:
            pass
        if not widths or widths[0] < 2:
            return (0, 0)
        return (sum(width == widths[0] for width in widths) / len(widths), widths[0])

    best = max(DELIMITERS, key=rank)
    return best if rank(best)[1] else ","


# --- JSON -------------------------------------------------------------------------------------------------------------


def list_in(path: Path) -> tuple[str, ...]:
    """Where the rows are: the file itself is a list, or an object with one; the longest."""
    lists = lists_in(path)
    if lists:
        return max(lists, key=lists.__getitem__)
    raise ImportProblem("A JSON file needs a list of objects, by itself or under one name; this one has none.")


def flat(value: dict[str, Any], prefix: str = "", depth: int = 4) -> dict[str, Any]:
    """Objects inside objects as `outer.inner` columns."""
    cells: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, dict) and item and depth > 1:
            cells |= flat(item, f"{prefix}{key}.", depth - 1)
        else:
            cells[f"{prefix}{key}"] = item
    return cells


# --- cells ------------------------------------------------------------------------------------------------------------


def is_missing(cell: Any) -> bool:
    if isinstance(cell, str):
        return cell.strip().casefold() in MISSING
    return cell is None or cell != cell or cell == [] or cell == {}


def truth_in(cell: Any) -> bool | None:
    if isinstance(cell, bool):
        return cell
    if isinstance(cell, str):
        return WORDS.get(cell.strip().casefold())
    return None


def number_in(cell: Any, *, decimal_comma: bool = False) -> float | None:
    """A finite number, also one written as text."""
    if isinstance(cell, bool) or cell is None:
        return None
    if isinstance(cell, str):
        text = cell.strip()
        if decimal_comma and DECIMAL_COMMA.fullmatch(text):
            text = text.replace(",", ".")
        if not NUMBER.fullmatch(text):
            return None
        cell = float(text)
    if not isinstance(cell, int | float):
        return None
    try:
        as_float = float(cell)
    except OverflowError:
        return None
    return as_float if as_float - as_float == 0 else None


def shown(cell: Any, length: int = 120) -> str:
    text = "" if cell is None else cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False, default=str)
    text = storable(" ".join(text[: 2 * length].split()))
    return text if len(text) <= length else text[: length - 1] + "…"
