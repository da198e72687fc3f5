"""Reads zip files that somebody else wrote, member by member and in memory; nothing is ever extracted to disk."""

from __future__ import annotations

import os
import struct
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from evalhub.importers.problems import ImportProblem, Limits, megabytes

if sys.version_info >= (3, 14):
    import zipfile

    from compression.zstd import ZstdError
else:
    from backports.zstd import ZstdError, zipfile  # method 93 (Zstandard), which Inspect writes

CHUNK = 1024 * 1024
BYTES_PER_ENTRY = 400  # of the directory, for one member with a long name
FAULTS = (zipfile.BadZipFile, zlib.error, ZstdError, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)


class Archive:
    """An open zip file: its names, and its members within limits. The last member of a name counts."""

    def __init__(self, opened: Any, limits: Limits) -> None:
        self.limits = limits
        self.zip = opened
        self.members: dict[str, Any] = {info.filename: info for info in opened.infolist() if not info.is_dir()}

    def __contains__(self, name: str) -> bool:
        return name in self.members

    def names(self, prefix: str) -> list[str]:
        return [name for name in self.members if name.startswith(prefix)]

    def read(self, name: str) -> bytes:
        """The bytes of one member, whatever size it claims to have: reading stops at the limit."""
        most = self.limits.record_bytes
        parts: list[bytes] = []
        size = 0
        try:
            with self.zip.open(self.members[name]) as member:
                while part := member.read(min(CHUNK, most + 1 - size)):
                    parts.append(part)
                    size += len(part)
                    if size > most:
                        raise ImportProblem(f"is larger than {megabytes(most)} when unpacked", place=name)
        except FAULTS as error:
            raise ImportProblem(f"cannot be unpacked ({describe(error)})", place=name) from error
        return b"".join(parts)


@contextmanager
def open_archive(path: Path, limits: Limits | None = None) -> Iterator[Archive]:
    """The archive at ``path``, refused as a whole where it is broken or hostile."""
    limits = limits or Limits.current()
    with path.open("rb") as file:
        check_directory_size(file, limits)
        try:
            opened = zipfile.ZipFile(file)
        except FAULTS as error:
            raise ImportProblem(f"The zip file is broken or cut off ({describe(error)}).") from error
        with opened:
            check_members(opened.infolist(), path.stat().st_size, limits)
            yield Archive(opened, limits)


def check_directory_size(file: IO[bytes], limits: Limits) -> None:
    """Refuse a directory of millions of entries before it is read into memory."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 66_000))
    tail = file.read()
    file.seek(0)
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) - end < 22:
        raise ImportProblem("The zip file is cut off: its directory, which is at its end, is missing.")
    entries, directory = struct.unpack("<HL", tail[end + 10 : end + 16])
    end64 = tail.rfind(b"PK\x06\x06", 0, end)
    if (entries == 0xFFFF or directory == 0xFFFFFFFF) and end64 >= 0 and len(tail) - end64 >= 48:
        entries, directory = struct.unpack("<QQ", tail[end64 + 32 : end64 + 48])
    if entries > limits.members or directory > limits.members * BYTES_PER_ENTRY:
        raise ImportProblem(f"The zip file has more than {limits.members:,} members.")


def check_members(infos: list[Any], size: int, limits: Limits) -> None:
    if len(infos) > limits.members:
        raise ImportProblem(f"The zip file has more than {limits.members:,} members.")
    unpacked = 0
    for info in infos:
        if leads_outside(info.filename):
            raise ImportProblem(
                "leads outside of the zip file; a file with such a name is not read", place=info.filename
            )
        if info.flag_bits & 0x1:
            raise ImportProblem("is encrypted", place=info.filename)
        unpacked += info.file_size
    if unpacked > limits.expansion_from_bytes and unpacked > size * limits.expansion:
        raise ImportProblem(
            f"The zip file says that its {megabytes(size)} unpack to {megabytes(unpacked)}, "
            f"more than {limits.expansion} times as much: a zip bomb is not read."
        )


def leads_outside(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return name.startswith(("/", "\\")) or ".." in parts or (len(parts[0]) == 2 and parts[0].endswith(":"))


def describe(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__
