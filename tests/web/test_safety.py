"""What would open a hole, wherever it is written: kept out of templates and code by reading them."""

import re
from pathlib import Path

from django.conf import settings

ROOT = Path(settings.BASE_DIR)
MAY_MARK_SAFE = {"evalhub/web/markdown.py": 1}  # what nh3 has just cleaned; tests/web/test_markdown.py holds it
UNSAFE_IN_TEMPLATES = {
    "safe filter": r"\|\s*safe(seq)?\b",
    "autoescape off": r"autoescape\s+off",
    "inline style": r"\sstyle\s*=",
    "inline handler": r"<[^>{%]*\son[a-z]+\s*=",
    "inline script": r"<script(?![^>]*\ssrc=)(?![^>]*application/json)",
    "inline style sheet": r"<style\b",
    "htmx code": r"hx-on|hx-vals\s*=\s*.js:|hx-trigger\s*=\s*\"[^\"]*\[",
    "javascript address": r"javascript:",
    "another host": r"(?:src|href|action)\s*=\s*[\"'](?:https?:)?//",
}
ABOUT_TAGS = {"safe filter", "autoescape off"}
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))


def test_templates_leave_escaping_on_and_the_policy_strict():
    assert len(TEMPLATES) > 20
    found = [
        f"{file.relative_to(ROOT)}: {name}"
        for file in TEMPLATES
        for text in [re.sub(r"{#.*?#}|{% comment %}.*?{% endcomment %}", "", file.read_text(), flags=re.S)]
        for name, pattern in UNSAFE_IN_TEMPLATES.items()
        if re.search(pattern, text if name in ABOUT_TAGS else re.sub(r"{%.*?%}", "", text))
    ]

    assert found == []


def test_the_patterns_see_what_they_look_for():
    bad = {
        "safe filter": "{{ x|safe }}",
        "autoescape off": "{% autoescape off %}",
        "inline style": '<p style="color:red">',
        "inline handler": '<img src=x onerror="x()">',
        "inline script": "<script>x()</script>",
        "inline style sheet": "<style>",
        "htmx code": '<p hx-trigger="load[x()]">',
        "javascript address": '<a href="javascript:x()">',
        "another host": '<img src="//evil.example/x">',
    }

    assert [name for name, text in bad.items() if not re.search(UNSAFE_IN_TEMPLATES[name], text)] == []


def test_text_is_declared_safe_in_one_place_only():
    found = {}
    for top in ("evalhub", "runs", "results"):
        for file in (ROOT / top).rglob("*.py"):
            times = len(re.findall(r"mark_safe\(|SafeString\(|SafeText\(|\.html_safe\b|@html_safe", file.read_text()))
            if times:
                found[str(file.relative_to(ROOT))] = times

    assert found == MAY_MARK_SAFE
