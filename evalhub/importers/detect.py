"""What a file is, told by its content and never by its name. Nothing is parsed whole here."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

from evalhub.importers.jsonreading import BOM, elements_of, keys_of, mapped, parse_json
from evalhub.importers.problems import ImportProblem, Limits, megabytes
from evalhub.importers.zipreading import open_archive

HEAD = 64 * 1024


class Format(StrEnum):
    INSPECT_ZIP = "inspect-eval"
    INSPECT_JSON = "inspect-json"
    PROMPTFOO = "promptfoo"
    PROMPTFOO_LINES = "promptfoo-jsonl"
    CSV = "csv"
    JSONL = "jsonl"
    JSON = "json"

    @property
    def label(self) -> str:
        return LABELS[self]

    @property
    def is_generic(self) -> bool:
        """Whether a person says what its columns mean."""
        return self in (Format.CSV, Format.JSONL, Format.JSON)


LABELS = {
    Format.INSPECT_ZIP: "Inspect AI log (.eval)",
    Format.INSPECT_JSON: "Inspect AI log (JSON)",
    Format.PROMPTFOO: "promptfoo results (JSON)",
    Format.PROMPTFOO_LINES: "promptfoo results (JSONL)",
    Format.CSV: "CSV table",
    Format.JSONL: "JSONL table",
    Format.JSON: "JSON table",
}

PROMPTFOO_KEYS = {
    ("evalId",),
    ("results", "results"),
    ("results", "prompts"),
    ("data", "results"),  # what promptfoo shares
    ("results", "table"),
}
NO_TEXT = {b"%PDF-": "a PDF file", b"PAR1": "a Parquet file", b"SQLite format 3": "an SQLite database"}
LIST_OF_OBJECTS = re.compile(rb":\s*\[\s*\{")
XML_START = re.compile(rb"<\?xml|<!|<[A-Za-z]")
XML_ROOT = re.compile(rb"<([A-Za-z_][\w.:-]*)")


def detect(path: Path, limits: Limits | None = None) -> Format:
    """The format of a file that can be imported; a problem that names what else it is."""
    limits = limits or Limits.current()
    size = path.stat().st_size
    if size > limits.file_bytes:
        raise ImportProblem(f"The file is larger than {megabytes(limits.file_bytes)}.")
    with path.open("rb") as file:
        head = file.read(HEAD)
    text = head.removeprefix(BOM).lstrip()
    if not text:
        raise ImportProblem("The file is empty.")
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return detect_zip(path, limits)
    if text.startswith(b"version https://git-lfs"):
        raise ImportProblem(
            "This is a Git LFS pointer, not the file itself: fetch it with `git lfs pull`, then import that."
        )
    if head.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf")):
        raise ImportProblem("This is a compressed file: unpack it, then import what is inside.")
    for start, what in NO_TEXT.items():
        if head.startswith(start):
            raise ImportProblem(f"This is {what}: import the results as CSV or JSON.")
    if XML_START.match(text):
        raise detect_xml(text)
    if text[:1] in (b"{", b"["):
        return detect_json(path, text, limits)
    if b"\x00" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ImportProblem("This is a binary file of a kind that EvalHub does not know.")
    return Format.CSV


def not_yet(what: str) -> ImportProblem:
    return ImportProblem(f"This is {what}: not importable yet.")


def detect_zip(path: Path, limits: Limits) -> Format:
    with open_archive(path, limits) as archive:
        if "header.json" in archive or "_journal/start.json" in archive:
            return Format.INSPECT_ZIP
        if "xl/workbook.xml" in archive:
            raise ImportProblem("This is an Excel workbook: save the sheet as CSV, then import that.")
    raise ImportProblem(
        "This zip file holds no Inspect AI log (neither header.json nor _journal/start.json): "
        "unpack it, then import what is inside."
    )


def detect_xml(text: bytes) -> ImportProblem:
    """Told by the first element's name; the file is not parsed."""
    root = XML_ROOT.search(re.sub(rb"<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>]*>", b"", text, flags=re.DOTALL))
    name = root.group(1) if root else b""
    if name in (b"testsuites", b"testsuite"):
        return not_yet("a JUnit file")
    return ImportProblem(f"This is an XML or HTML file ({name.decode() or 'no element'}) that EvalHub does not know.")


def detect_json(path: Path, head: bytes, limits: Limits) -> Format:
    with path.open("rb") as file:
        first = file.readline(limits.record_bytes).removeprefix(BOM).strip()
        rest = file.read(HEAD).lstrip()
    if first.endswith(b"}") and rest[:1] == b"{":
        return detect_lines(parse_json(first, "Line 1"))
    if head[:1] == b"[":
        return detect_list(path, limits)
    found = detect_object(path, limits)
    alone = first.endswith(b"}") and not rest
    return Format.JSONL if found == Format.JSON and alone and not LIST_OF_OBJECTS.search(first) else found


def detect_lines(first: object) -> Format:
    """By the first line of a JSONL file."""
    keys = set(first) if isinstance(first, dict) else set()
    if "spec" in keys:
        raise not_yet("an OpenAI evals file")
    if "doc_id" in keys:
        raise not_yet("an lm-eval samples file")
    if "prompt" in keys and "vars" in keys and ("gradingResult" in keys or "success" in keys):
        return Format.PROMPTFOO_LINES
    return Format.JSONL


def detect_list(path: Path, limits: Limits) -> Format:
    _, first = next(elements_of(path, (), limits), (0, None))
    if first is None:
        raise ImportProblem("The file holds an empty list.")
    if isinstance(first, dict) and {"output_1", "output_2", "preference"} <= set(first):
        raise not_yet("an AlpacaEval file")
    return Format.JSON


def detect_object(path: Path, limits: Limits) -> Format:
    """By keys, read until they say enough; a JSONL file of one line ends here too."""
    seen: set[tuple[str, ...]] = set()
    for key in keys_of(mapped(path)):
        seen.add(key)
        found = told_by(seen)
        if found:
            return found
    return told_by_all(seen)


def told_by(seen: set[tuple[str, ...]]) -> Format | None:
    if ("eval",) in seen and ("status",) in seen:
        return Format.INSPECT_JSON
    if seen & PROMPTFOO_KEYS:
        return Format.PROMPTFOO
    if ("results",) in seen and (("configs",) in seen or ("versions",) in seen):
        raise not_yet("an lm-eval file")
    if ("testRunData",) in seen or (("testCases",) in seen and ("metricsScores",) in seen):
        raise not_yet("a DeepEval file")
    return None


def told_by_all(seen: set[tuple[str, ...]]) -> Format:
    top = {key[0] for key in seen}
    if "results" in top and (top & {"table", "prompts", "stats"}):
        return Format.PROMPTFOO
    if "spec" in top and len(top) == 1:
        raise not_yet("an OpenAI evals file")
    if "doc_id" in top:
        raise not_yet("an lm-eval samples file")
    if {"gradingResult", "vars", "prompt"} <= top:
        return Format.PROMPTFOO_LINES
    return Format.JSON
