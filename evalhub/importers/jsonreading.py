"""Reads JSON that somebody else wrote: what Python's writers emit (NaN, long integers), within limits, with places."""

from __future__ import annotations

import json
import mmap
import re
from array import array
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from evalhub.importers.problems import ImportProblem, Limits, megabytes

BOM = b"\xef\xbb\xbf"
TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}\[\]:,]', re.DOTALL)
TOO_DEEP = "is nested too deeply"
DEEPEST = 1000  # more than any reader takes, and few enough to keep count of


def parse_json(data: bytes | str, place: str) -> Any:
    """The value that ``data`` spells, or a problem that says where it stops being JSON."""
    try:
        text = data if isinstance(data, str) else decode(data, place)
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ImportProblem(f"is not valid JSON at {where(error, data)} ({error.msg})", place=place) from error
    except RecursionError as error:
        raise ImportProblem(TOO_DEEP, place=place) from error
    except ValueError as error:  # integers of more than 4,300 digits
        raise ImportProblem(f"is not JSON that can be read ({error})", place=place) from error


def decode(data: bytes, place: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ImportProblem(f"is not UTF-8 text (byte {error.start + 1:,})", place=place) from error


def where(error: json.JSONDecodeError, data: bytes | str) -> str:
    cut = " (the end: the file seems cut off)" if error.pos >= len(data.rstrip()) - 1 else ""
    return f"line {error.lineno:,}, column {error.colno:,}{cut}"


def read_json_lines(path: Path, limits: Limits | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of every line that is not blank."""
    limits = limits or Limits.current()
    with path.open("rb") as file:
        number = 0
        while line := file.readline(limits.record_bytes + 1):
            number += 1
            place = f"Line {number:,}"
            if len(line) > limits.record_bytes:
                raise ImportProblem(f"is longer than {megabytes(limits.record_bytes)}", place=place)
            if not line.strip(b"\xef\xbb\xbf \t\r\n"):
                continue
            value = parse_json(line.strip(), place)
            if not isinstance(value, dict):
                raise ImportProblem("is not a JSON object", place=place)
            yield number, value


def mapped(path: Path) -> mmap.mmap | bytes:
    """The file's bytes without reading them into memory; let go of when nothing looks at them any more."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""


def keys_of(buffer: mmap.mmap | bytes, depth: int = 2) -> Iterator[tuple[str, ...]]:
    """The paths of keys in a JSON object down to ``depth``, in order and without parsing the values; [] is a list."""
    path: list[str] = []
    last: bytes | None = None
    for match in TOKEN.finditer(buffer):
        token = match.group()
        if token in (b"{", b"["):
            path.append("[]" if token == b"[" else "")
            if len(path) == 1 and token == b"[":
                yield ("[]",)
            elif len(path) > DEEPEST:
                raise ImportProblem(TOO_DEEP, place="The file")
        elif token in (b"}", b"]"):
            if path:
                path.pop()
            if not path:
                return
        elif token == b":" and last is not None and 0 < len(path) <= depth and path[-1] != "[]":
            path[-1] = last[1:-1].decode("utf-8", "replace")
            yield tuple(path)
        last = token if token[:1] == b'"' else None


class LongList:
    """The first list at one of ``at`` in a JSON file: its elements one by one, and what is ``around`` it at once.

    A file without such a list is all around it.
    """

    def __init__(self, path: Path, *at: tuple[str, ...], noun: str) -> None:
        self.buffer, self.noun, self.limits = mapped(path), noun, Limits.current()
        self.starts, self.ends = array("Q"), array("Q")  # 16 bytes an element
        with suppress(NoSuchList):
            for start, end in _element_spans(self.buffer, *at, noun=noun):
                self.starts.append(start)
                self.ends.append(end)
        around = self.buffer[: self.starts[0]] + self.buffer[self.ends[-1] :] if self.starts else self.buffer[:]
        self.around = parse_json(around, "The file")

    def __len__(self) -> int:
        return len(self.starts)

    def place(self, index: int) -> str:
        return f"{self.noun} {index + 1:,}"

    def __getitem__(self, index: int) -> Any:
        return _element(self.buffer, self.starts[index], self.ends[index], self.place(index), self.limits)


def elements_of(path: Path, at: tuple[str, ...], limits: Limits | None = None) -> Iterator[tuple[int, Any]]:
    """(number, value) of every element of the list at ``at`` in a JSON file, one after the other."""
    limits = limits or Limits.current()
    buffer = mapped(path)
    for number, (start, end) in enumerate(_element_spans(buffer, at), 1):
        yield number, _element(buffer, start, end, f"Element {number:,}", limits)


def _element(buffer: mmap.mmap | bytes, start: int, end: int, place: str, limits: Limits) -> Any:
    if end - start > limits.record_bytes:
        raise ImportProblem(f"is longer than {megabytes(limits.record_bytes)}", place=place)
    return parse_json(buffer[start:end].strip(), place)


def lists_in(path: Path) -> dict[tuple[str, ...], int]:
    """How long the lists of objects are that a JSON file holds: itself as (), or under one name; nothing is parsed."""
    found: dict[tuple[str, ...], int] = {}
    path_to: list[str] = []
    last, before = b"", b""  # the last text, and the token before this one
    for match in TOKEN.finditer(mapped(path)):
        token = match.group()
        if token in (b"{", b"["):
            named = tuple(path_to[:-1])
            if token == b"{" and before == b"[" and len(named) < 2 and "[]" not in named:
                found.setdefault(named, 1)
                if not named:
                    return found  # the file is that list
            path_to.append("[]" if token == b"[" else "")
            if len(path_to) > DEEPEST:
                raise ImportProblem(TOO_DEEP, place="The file")
        elif token in (b"}", b"]"):
            if path_to:
                path_to.pop()
        elif token == b"," and path_to and path_to[-1] == "[]" and tuple(path_to[:-1]) in found:
            found[tuple(path_to[:-1])] += 1
        elif token == b":" and path_to and path_to[-1] != "[]":
            path_to[-1] = last[1:-1].decode("utf-8", "replace")
        before = token
        last = token if token[:1] == b'"' else b""
    return found


class NoSuchList(ImportProblem):
    """Not where it was looked for."""


def _element_spans(buffer: mmap.mmap | bytes, *at: tuple[str, ...], noun: str = "Element") -> Iterator[tuple[int, int]]:
    keys: list[str] = []
    last: bytes | None = None
    deepest = max(map(len, at)) + 1
    inside = 0  # the depth of the list's elements
    number = 1
    start = None
    for match in TOKEN.finditer(buffer):
        token = match.group()
        if token in (b"{", b"["):
            keys.append("[]" if token == b"[" else "")
            if start is None and token == b"[" and len(keys) <= deepest and tuple(keys[:-1]) in at:
                start, inside = match.end(), len(keys)
            elif len(keys) > DEEPEST:
                raise ImportProblem(TOO_DEEP, place=f"{noun} {number:,}")
        elif token in (b"}", b"]"):
            if len(keys) == inside and start is not None:
                if buffer[start : match.start()].strip():
                    yield start, match.start()
                return
            if keys:
                keys.pop()
        elif token == b"," and start is not None and len(keys) == inside:
            yield start, match.start()
            start = match.end()
            number += 1
        elif token == b":" and last is not None and keys and keys[-1] != "[]":
            keys[-1] = last[1:-1].decode("utf-8", "replace")
        last = token if token[:1] == b'"' else None
    if start is None:
        raise NoSuchList("The file is cut off, or holds no list where one is expected.")
    raise ImportProblem(f"The file is cut off in {noun.lower()} {number:,}: its list does not end.")
