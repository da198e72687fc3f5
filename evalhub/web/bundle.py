"""One style sheet instead of thirty requests: css/evalhub.css is css/app.css with its parts put in place.

The finder writes it into var/, so runserver, WhiteNoise and collectstatic all see an ordinary file.
"""

from __future__ import annotations

import os
import posixpath
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage

ENTRY: Final = "css/app.css"
BUNDLE: Final = "css/evalhub.css"
IMPORT: Final = re.compile(r'^@import url\("([^"]+)"\) layer\((\w+)\);\n?', re.MULTILINE)
URL: Final = re.compile(r'url\("(?!data:|/|#)([^"]+)"\)')


def put_together(folder: Path) -> str:
    """The text of the entry with every import replaced by the layer that it names."""

    def inline(match: re.Match[str]) -> str:
        part, layer = match.groups()
        home = posixpath.dirname(part)
        text = (folder / part).read_text(encoding="utf-8")
        rebased = URL.sub(lambda url: f'url("{posixpath.normpath(posixpath.join(home, url.group(1)))}")', text)
        return f"@layer {layer} {{\n{rebased}}}\n"

    return IMPORT.sub(inline, (folder / Path(ENTRY).name).read_text(encoding="utf-8"))


class StyleSheetFinder(BaseFinder):
    """Finds css/evalhub.css, and writes it anew when one of its parts is younger."""

    def __init__(self, app_names: Any = None, *args: Any, **kwargs: Any) -> None:
        self.source = settings.BASE_DIR / "static" / "css"
        self.storage = FileSystemStorage(location=settings.VAR_DIR / "bundle")
        super().__init__(*args, **kwargs)

    def check(self, **kwargs: Any) -> list[Any]:
        return []

    def find(self, path: str, find_all: bool = False, **kwargs: Any) -> Any:
        if path != BUNDLE:
            return []
        return [self.written()] if find_all else self.written()

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterator[tuple[str, FileSystemStorage]]:
        self.written()
        yield BUNDLE, self.storage

    def written(self) -> str:
        target = Path(self.storage.path(BUNDLE))
        youngest = max(part.stat().st_mtime_ns for part in self.source.rglob("*.css"))
        if not target.exists() or target.stat().st_mtime_ns < youngest:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, unfinished = tempfile.mkstemp(dir=target.parent)  # several processes start at once
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(put_together(self.source))
            os.chmod(unfinished, 0o644)
            os.replace(unfinished, target)
        return str(target)
