"""The small parts of every page. Larger ones are includes in templates/components; the guide lists both.

Nothing here marks text as safe: format_html escapes what it is given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Final

from django import template
from django.forms import BoundField, CheckboxInput, CheckboxSelectMultiple, RadioSelect, Select, Textarea, Widget
from django.forms.boundfield import BoundWidget
from django.http import QueryDict
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from evalhub.web import formats
from evalhub.web.diffing import word_diff
from evalhub.web.markdown import breakable, render_markdown
from evalhub.web.pages import POSITION, UNDO
from evalhub.web.parts import OUTCOMES, STATES, Look, hue

register = template.Library()

NOTHING: Final = format_html('<span class="subtle">{}</span>', formats.NONE)
PRETTY_LIMIT: Final = 100_000  # characters of JSON that are coloured and shown


# --- numbers and times ------------------------------------------------------------------------------------------------


def shown(text: str) -> str:
    return NOTHING if text == formats.NONE else text


@register.filter
def rate(share: formats.Number | None) -> str:
    return shown(formats.rate(share))


@register.simple_tag
def interval(low: Any, high: Any, rate: Any = None, compact: bool = False) -> str:
    return shown(formats.interval(low, high, rate, compact=compact))


@register.simple_tag
def span(low: Any, high: Any) -> str:
    return shown(formats.span(low, high))


@register.filter
def delta(change: formats.Number | None) -> str:
    return shown(formats.delta(change))


@register.filter
def score(value: formats.Number | None) -> str:
    return shown(formats.score(value))


@register.simple_tag
def threshold(value: Any, higher_is_better: bool = True) -> str:
    return shown(formats.threshold(value, higher_is_better=higher_is_better))


@register.filter
def count(value: Any) -> str:
    """A number, or a Count of evalhub.web.paging, which knows whether it is an estimate."""
    if hasattr(value, "exact"):
        return formats.count(value.value, about=not value.exact)
    return shown(formats.count(value))


@register.filter
def duration(value: Any) -> str:
    return shown(formats.duration(value))


@register.filter
def money(value: Any) -> str:
    return shown(formats.money(value))


@register.filter
def when(value: datetime | date | None) -> str:
    if value is None or value == "":
        return NOTHING
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', formats.machine(value), formats.stamp(value), formats.when(value)
    )


@register.filter
def stamp(value: datetime | date | None) -> str:
    """The full stamp as its own text, for heads and lists of details."""
    if value is None or value == "":
        return NOTHING
    return format_html('<time datetime="{}">{}</time>', formats.machine(value), formats.stamp(value))


@register.filter
def none(value: Any) -> Any:
    """An en dash where there is nothing; 0 and False stay."""
    return NOTHING if value is None or value == "" or value == [] else value


# --- icons, outcomes, people ------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def sprite() -> str:
    """Where the icons are: asked once, because a list of 50 rows shows hundreds."""
    return static("icons.svg")


@lru_cache(maxsize=1024, typed=True)  # typed: a text that is declared safe equals one that is not
def drawn(name: str, classes: str, label: str) -> SafeString:
    if label:
        return format_html(
            '<svg class="{}" role="img" aria-label="{}"><use href="{}#{}"/></svg>', classes, label, sprite(), name
        )
    return format_html('<svg class="{}" aria-hidden="true"><use href="{}#{}"/></svg>', classes, sprite(), name)


@register.simple_tag
def icon(name: str, size: str = "", label: str = "", extra: str = "") -> SafeString:
    """{% icon "search" "sm" %}; sizes xs, sm, lg. An icon that stands alone needs a label."""
    classes = "icon" + (f" icon--{size}" if size else "") + (f" {extra}" if extra else "")
    return drawn(name, classes, label)


def look(looks: Mapping[str, Look], value: str, style: str, word: str, size: str, extra: str) -> SafeString:
    if value in looks and not word and not extra:
        return usual_look(looks is STATES, value, style, size)
    known = looks.get(value) or Look("pending", "pending", value.replace("_", " ").capitalize(), calm=True)
    return outcome_html(known, looks is STATES, style, word or known.word, size, extra)


@lru_cache(maxsize=256, typed=True)
def usual_look(is_state: bool, value: str, style: str, size: str) -> SafeString:
    known = (STATES if is_state else OUTCOMES)[value]
    return outcome_html(known, is_state, style, known.word, size, "")


def outcome_html(known: Look, is_state: bool, style: str, word: str, size: str, extra: str) -> SafeString:
    role = known.role
    if style == "fill" and known.calm and is_state:
        role = "neutral"  # being done is no outcome
    styles = {"fill": " verdict--fill", "plain": ""}.get(style, " verdict--calm" if known.calm else "")
    return format_html(
        '<span class="verdict verdict--{}{}{}{}">{}{}</span>',
        role,
        styles,
        f" verdict--{size}" if size else "",
        f" {extra}" if extra else "",
        icon(known.icon, extra="spin" if known.icon == "running" else ""),
        word,
    )


@register.simple_tag
def verdict(outcome: Any, style: str = "", word: str = "", size: str = "", extra: str = "") -> SafeString:
    """An outcome as icon and word. Style: nothing (the expected is quiet), "plain" (coloured) or "fill"."""
    return NOTHING if not outcome else look(OUTCOMES, str(outcome), style, word, size, extra)


@register.simple_tag
def status(state: Any, style: str = "", word: str = "", size: str = "", extra: str = "") -> SafeString:
    """The state of a run, an import, a round or an assignment."""
    return NOTHING if not state else look(STATES, str(state), style, word, size, extra)


@register.filter
def initials(name: Any) -> str:
    return formats.initials(str(name))


def named(person: Any) -> tuple[str, Any]:
    if isinstance(person, Mapping):
        return str(person.get("name") or person.get("email") or "?"), person.get("id")
    return str(person), getattr(person, "pk", None)


@register.simple_tag
def avatar(person: Any, size: str = "", hidden: bool = False) -> SafeString:
    """A person's initials; hidden where the name stands beside it. Takes a user, or a dict with id and name."""
    if not person:
        return NOTHING
    name, identity = named(person)
    classes = "avatar" + (f" avatar--{hue(identity)}" if identity else "") + (f" avatar--{size}" if size else "")
    if hidden:
        return format_html('<span class="{}" aria-hidden="true">{}</span>', classes, formats.initials(name))
    return format_html(
        '<span class="{}" role="img" aria-label="{}" title="{}">{}</span>',
        classes,
        name,
        name,
        formats.initials(name),
    )


@register.simple_tag
def who(person: Any, size: str = "") -> SafeString:
    """Initials and name."""
    if not person:
        return NOTHING
    return format_html('<span class="who">{}{}</span>', avatar(person, size, hidden=True), named(person)[0])


@register.simple_tag
def avatars(people: Iterable[Any], size: str = "") -> SafeString:
    marks = format_html_join("", "{}", ((avatar(person, size),) for person in people))
    return format_html('<span class="avatars">{}</span>', marks) if marks else NOTHING


@register.simple_tag
def marks(evaluations: Iterable[Any]) -> SafeString:
    """One mark per evaluator, from (name, state) pairs; state is pass, fail, error or pending (no score)."""
    pairs = [
        (str(name), {"passed": "pass", "failed": "fail"}.get(str(state), str(state))) for name, state in evaluations
    ]
    if not pairs:
        return NOTHING
    pairs = [(name, state if state in ("pass", "fail", "error") else "pending") for name, state in pairs]
    words = ", ".join(f"{name} {state}" for name, state in pairs if state in ("fail", "error"))
    if not words:
        rest = sum(state == "pending" for _, state in pairs)
        words = "All evaluators pass" if not rest else f"{len(pairs) - rest} pass, {rest} without a score"
    drawings = format_html_join(
        "",
        '<svg class="mark mark--{}"><use href="{}#mark-{}"/></svg>',
        ((state, sprite(), state) for _, state in pairs),
    )
    return format_html('<span class="marks" role="img" aria-label="{}" title="{}">{}</span>', words, words, drawings)


@register.filter
@lru_cache(maxsize=4096)
def ticks(letters: str) -> SafeString:
    """The marks of a row in a long list, drawn by the style sheet: p passes, f fails, e errs, n has no score."""
    passing = format_html("<i>{}</i>", "")
    return format_html_join(
        "", "{}", ((passing if letter == "p" else format_html('<i class="{}"></i>', letter),) for letter in letters)
    )


@register.simple_tag
def change(value: Any, significant: bool = False, unit: bool = False, better: str = "up") -> SafeString:
    """A change in points; coloured and marked only when it is significant. better="down" for latency and cost."""
    if value is None:
        return NOTHING
    text = formats.delta(value) if unit else formats.points(value, plus=True)
    if not significant:
        return format_html('<span class="delta">{}</span>', text)
    rises = float(value) > 0
    role = "up" if rises == (better == "up") else "down"
    arrow = icon("trend-up" if rises else "trend-down")
    return format_html('<span class="delta delta--{}">{}{}</span>', role, arrow, text)


@register.simple_tag
def keycap(keys: str) -> SafeString:
    """{% keycap "mod+enter" %} as it is printed on buttons: Ctrl ↵."""
    words = {"mod": "Ctrl", "enter": "↵", "escape": "Esc", "space": "Space"}
    words |= {"arrowleft": "←", "arrowright": "→", "arrowup": "↑", "arrowdown": "↓"}
    text = " ".join(words.get(key.lower(), key) for key in re.split(r"[+ ](?=.)", keys))
    return format_html('<kbd class="kbd">{}</kbd>', text)


@register.simple_tag
def badge(text: Any, role: str = "") -> SafeString:
    """Roles: accent, review, conflict, fail, error, pass; none is neutral."""
    return format_html('<span class="badge{}">{}</span>', f" badge--{role}" if role else "", text)


@register.simple_tag
def tags(names: Iterable[Any]) -> SafeString:
    return format_html_join(" ", '<span class="tag">{}</span>', ((name,) for name in names))


@register.simple_tag
def progress(done: Any, total: Any, label: str = "", role: str = "") -> SafeString:
    """A bar; roles running and pass. The label is what a screen reader says."""
    done, total = int(done or 0), max(int(total or 0), 0)
    said = label or f"{done:,} of {total:,}"
    return format_html(
        '<progress class="progress{}" value="{}" max="{}" aria-label="{}">{}</progress>',
        f" progress--{role}" if role else "",
        min(done, total) if total else 0,
        total or 1,
        said,
        said,
    )


# --- drawings ---------------------------------------------------------------------------------------------------------


def at(number: float) -> str:
    return f"{number:.1f}"


@register.simple_tag
def spark(values: Sequence[Any], low: bool = False) -> str:
    """The rates (0 to 1) of the last runs, oldest first; ``low`` marks the last one red: only if significant."""
    rates = [float(value) for value in values if value is not None]
    if not rates:
        return ""
    least, most = min(rates), max(rates)
    reach = max(most - least, 0.08)
    middle = (most + least) / 2
    step = 112 / max(len(rates) - 1, 1)
    # Whole half pixels keep a list of fifty short.
    across = [round(4 + step * i) if len(rates) > 1 else 116 for i in range(len(rates))]
    down = [round(18 - 24 * (rate - middle) / reach) for rate in rates]
    label = (
        f"Last {len(rates)} runs: {formats.percent(rates[0])} to {formats.percent(rates[-1])} percent"
        if len(rates) > 1
        else f"One run: {formats.percent(rates[0])} percent"
    )
    point = '<circle class="is-low" cx="{}" cy="{}" r="4"/>' if low else '<circle cx="{}" cy="{}" r="4"/>'
    return format_html(
        '<svg class="spark" viewBox="0 0 120 36" role="img" aria-label="{}"><polyline points="{}"/>{}</svg>',
        label,
        " ".join(f"{x},{y}" for x, y in zip(across, down, strict=True)),
        format_html(point, across[-1], down[-1]),
    )


@register.simple_tag
def dotplot(rate: Any, low: Any, high: Any, start: float = 0.0, bad: bool = False) -> SafeString:
    """A rate with its interval on the axis from ``start`` to 1, which all rows of a table share."""
    if rate is None:
        return NOTHING

    def place(share: Any) -> str:
        return f"{min(max((float(share) - start) / (1 - start), 0), 1) * 100:.1f}%"

    span = "" if low is None or high is None else f", interval {formats.percent(low)} to {formats.percent(high)}"
    low, high = (rate if low is None else low), (rate if high is None else high)
    ticks = format_html_join(
        "", '<line class="tick" x1="{}%" x2="{}%" y1="0" y2="100%"/>', ((tick, tick) for tick in range(0, 101, 20))
    )
    return format_html(
        '<svg class="dotplot{}" role="img" aria-label="{} percent{}">{}'
        '<line class="ci" x1="{}" x2="{}" y1="50%" y2="50%"/><circle cx="{}" cy="50%" r="4"/></svg>',
        " dotplot--bad" if bad else "",
        formats.percent(rate),
        span,
        ticks,
        place(low),
        place(high),
        place(rate),
    )


@register.simple_tag
def change_plot(value: Any, low: Any, high: Any, reach: float = 0.15) -> SafeString:
    """A change with its interval around zero; coloured only when the interval leaves zero out."""
    if value is None or low is None or high is None:
        return NOTHING

    def place(points: Any) -> str:
        return f"{50 + min(max(float(points) / reach, -1), 1) * 48:.1f}%"

    role = " interval--up" if low > 0 else " interval--down" if high < 0 else ""
    return format_html(
        '<svg class="interval{}" role="img" aria-label="{} points, interval {}">'
        '<line class="zero" x1="50%" x2="50%" y1="0" y2="100%"/>'
        '<line class="ci" x1="{}" x2="{}" y1="50%" y2="50%"/><circle cx="{}" cy="50%" r="3"/></svg>',
        role,
        formats.points(value, plus=True),
        formats.span(low, high),
        place(low),
        place(high),
        place(value),
    )


@register.simple_tag
def meter(total: Any, parts: Iterable[Sequence[Any]], label: str) -> SafeString:
    """Shares of a whole in one bar, from (role, number) pairs; roles ok, bad, err, acc, acc2."""
    whole = float(total or 0)
    drawings, start = [], 0.0
    for role, number in parts:
        width = float(number) / whole * 100 if whole else 0
        drawings.append((role, f"{start:.2f}", f"{width:.2f}"))
        start += width
    return format_html(
        '<svg class="meter" role="img" aria-label="{}"><rect class="bg" width="100%" height="100%"/>{}</svg>',
        label,
        format_html_join("", '<rect class="{}" x="{}%" width="{}%" height="100%"/>', drawings),
    )


@register.simple_tag
def histogram(
    bins: Sequence[Any],
    label: str,
    low: Any = 0,
    high: Any = 1,
    threshold: Any = None,
    unit: str = "score",
    fails_below: bool = True,
) -> SafeString:
    """Counts per equal bin between low and high. Unit: score, ms or money; bins beyond the threshold are red."""
    counts = [int(number) for number in bins]
    low, high = float(low), float(high)
    reach = (high - low) or 1.0
    top = nice_ceiling(max(counts, default=0))
    words = {"ms": formats.duration, "money": formats.money}.get(unit, formats.score)
    left, right, base, height = 36.0, 408.0, 96.0, 82.0
    width = (right - left) / max(len(counts), 1)
    limit = None if threshold is None else float(threshold)

    def fails(index: int) -> bool:
        if limit is None:
            return False
        middle = low + reach * (index + 0.5) / len(counts)
        return middle < limit if fails_below else middle > limit

    grid = format_html_join(
        "",
        '<line class="grid" x1="36" x2="408" y1="{}" y2="{}"/><text x="32" y="{}" text-anchor="end">{}</text>',
        (
            (
                at(base - height * part),
                at(base - height * part),
                at(base - height * part + 4),
                formats.count(int(top * part)),
            )
            for part in ((0, 0.5, 1) if top > 1 else (0, 1))
        ),
    )
    bars = format_html_join(
        "",
        '<rect class="bar{}" x="{}" y="{}" width="{}" height="{}" rx="1"/>',
        (
            (
                " bar--fail" if fails(i) else "",
                at(left + width * i + 1),
                at(base - height * number / top),
                at(max(width - 2, 1)),
                at(height * number / top),
            )
            for i, number in enumerate(counts)
        ),
    )
    axis = format_html_join(
        "",
        '<text x="{}" y="112" text-anchor="{}">{}</text>',
        (
            (at(left + (right - left) * part), "end" if part == 1 else "middle", words(low + reach * part))
            for part in (0, 0.25, 0.5, 0.75, 1)
        ),
    )
    rule: str = ""
    if limit is not None and low <= limit <= high:
        x = left + (right - left) * (limit - low) / reach
        rule = format_html(
            '<line class="rule" x1="{}" x2="{}" y1="4" y2="96"/>'
            '<text class="t-strong" x="{}" y="12" text-anchor="{}">{}</text>',
            at(x),
            at(x),
            at(x - 5 if x > 220 else x + 5),
            "end" if x > 220 else "start",
            words(limit),
        )
    return format_html(
        '<svg class="chart" viewBox="0 0 420 118" role="img" aria-label="{}">{}{}'
        '<line class="axis" x1="36" x2="408" y1="96" y2="96"/>{}{}</svg>',
        label,
        grid,
        bars,
        axis,
        rule,
    )


def nice_ceiling(number: int) -> int:
    """The next even number that people count in: 1, 2, 4, 6, 8, 10, 20, 40 ..."""
    size = 1
    while True:
        for step in (1, 2, 4, 6, 8):
            if step * size >= number:
                return step * size
        size *= 10


# --- text of models and people ----------------------------------------------------------------------------------------


@register.simple_tag
def markdown(text: Any) -> SafeString:
    """Markdown as sanitised HTML; htmx is told to look away, whatever the text says."""
    return format_html('<div class="markdown" hx-ignore>{}</div>', render_markdown(str(text or "")))


@register.simple_tag
def plain(text: Any) -> SafeString:
    """Text as it is, with its line breaks."""
    return format_html('<div class="plain" hx-ignore>{}</div>', "" if text is None else breakable(str(text)))


NUMBERED: Final = re.compile(r"(.*)( #\d+)", re.DOTALL)


@register.filter
def bdi(name: Any) -> SafeString:
    """A name that a person or a machine gave, so that signs in it turn nothing around it, nor a run's number."""
    found = NUMBERED.fullmatch(str(name))
    return format_html("<bdi>{}</bdi>{}", *(found.groups() if found else (name, "")))


@register.simple_tag
def diff(old: Any, new: Any) -> SafeString:
    """What has to change in ``old`` to become ``new``, word by word."""
    return format_html('<div class="plain" hx-ignore>{}</div>', word_diff(str(old or ""), str(new or "")))


JSON_PARTS: Final = re.compile(
    r'(?P<k>"(?:[^"\\]|\\.)*+"(?=:))|(?P<s>"(?:[^"\\]|\\.)*+")|(?P<n>-?\d[\d.eE+-]*|\btrue\b|\bfalse\b|\bnull\b)'
)


@register.filter
def prettyjson(value: Any, limit: int = PRETTY_LIMIT) -> SafeString:
    """Any value as indented JSON in colours of its own; escaped, and cut where it gets unreadable anyway."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    rest = len(text) - limit
    text = text[:limit]
    found = list(JSON_PARTS.finditer(text))
    starts = [0, *(match.end() for match in found)]
    coloured = format_html_join(
        "",
        '{}<span class="{}">{}</span>',
        (
            (text[start : match.start()], match.lastgroup, match.group())
            for start, match in zip(starts, found, strict=False)
        ),
    )
    more = format_html('\n<span class="c">… {} more characters</span>', formats.count(rest)) if rest > 0 else ""
    return format_html("{}{}{}", coloured, text[starts[-1] :], more)


@dataclass(frozen=True, slots=True)
class Toast:
    text: str
    level: int
    undo_url: str

    def __str__(self) -> str:
        return self.text


@register.filter
def toasts(messages: Iterable[Any]) -> list[Toast]:
    """Django's messages with the address that takes back what they tell."""
    return [
        Toast(str(message.message), message.level, message.extra_tags[len(UNDO) :])
        if (message.extra_tags or "").startswith(UNDO)
        else Toast(str(message.message), message.level, "")
        for message in messages or ()
    ]


# --- addresses --------------------------------------------------------------------------------------------------------


def parameters(context: template.Context) -> QueryDict:
    """A copy of the query without what only fits the list as it is: the position in it, the open drawer."""
    query: QueryDict = context["request"].GET.copy()
    for name in POSITION:
        query.pop(name, None)
    return query


def written(query: QueryDict) -> str:
    return f"?{query.urlencode()}"


@register.simple_tag(takes_context=True)
def query_set(context: template.Context, **values: Any) -> str:
    """This list with other values: {% query_set sort="-started" status=None %}."""
    query = parameters(context)
    for name, value in values.items():
        if value is None or value == "":
            query.pop(name, None)
        else:
            query.setlist(name, [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)])
    return written(query)


@register.simple_tag(takes_context=True)
def query_add(context: template.Context, name: str, value: Any) -> str:
    """This list with one more value of a filter that takes several."""
    query = parameters(context)
    if str(value) not in query.getlist(name):
        query.appendlist(name, str(value))
    return written(query)


@register.simple_tag(takes_context=True)
def query_drop(context: template.Context, name: str, value: Any = None) -> str:
    """This list without a filter, or without one of its values."""
    query = parameters(context)
    left = [] if value is None else [item for item in query.getlist(name) if item != str(value)]
    if left:
        query.setlist(name, left)
    else:
        query.pop(name, None)
    return written(query)


@register.simple_tag(takes_context=True)
def sort_link(context: template.Context, name: str, label: str, first: str = "-", default: str = "") -> SafeString:
    """A column head's link: sorts by it, the other way round when it already does. ``default``: the list's own sort."""
    now = context["request"].GET.get("sort") or default
    ascending, descending = name, f"-{name}"
    wanted = {ascending: descending, descending: ascending}.get(now, f"{first}{name}")
    arrow: str = ""
    if now in (ascending, descending):
        arrow = icon("down" if now == descending else "up", "xs")
    return format_html('<a href="{}">{}{}</a>', query_set(context, sort=wanted), label, arrow)


@register.simple_tag(takes_context=True)
def sort_state(context: template.Context, name: str, default: str = "") -> str:
    """The aria-sort attribute of the head that the list is sorted by."""
    now = context["request"].GET.get("sort") or default
    word = {name: "ascending", f"-{name}": "descending"}.get(now)
    return format_html('aria-sort="{}"', word) if word else ""


# --- parts with a body ------------------------------------------------------------------------------------------------


@register.simple_block_tag
def panel(content: str, title: str, note: Any = "", level: int = 2, flush: bool = False, end: Any = "") -> SafeString:
    """{% panel "Evaluations" note="2 fail" %}…{% endpanel %}; flush for tables and lists that touch the frame."""
    return format_html(
        '<section class="panel"><div class="panel__head"><h{level}>{title}</h{level}>{note}{end}</div>{body}</section>',
        level=int(level),
        title=title,
        note=format_html('<span class="panel__note">{}</span>', note) if note else "",
        end=format_html('<span class="end">{}</span>', end) if end else "",
        body=content if flush else format_html('<div class="panel__body">{}</div>', content),
    )


@register.simple_block_tag
def menu(
    content: str, name: str, label: str, icon: str = "more", text: str = "", classes: str = "btn", key: str = ""
) -> SafeString:
    """A button and its menu, whose items are components/menu_item.html: {% menu "more" "More actions" %}…{% endmenu %}.

    ``text`` is printed on the button; without it the button is an icon named by ``label``.
    """
    face = drawn(icon, "icon", "") if icon else ""
    alone = "" if text else " btn--icon"
    return format_html(
        '<button class="{}{}" type="button" popovertarget="{}" aria-haspopup="menu" aria-expanded="false"{}{}>'
        "{}{}</button>"
        '<div class="menu" id="{}" popover role="menu" aria-label="{}">{}</div>',
        classes,
        alone,
        name,
        "" if text else format_html(' aria-label="{}" title="{}"', label, label),
        format_html(' data-key="{}"', key) if key else "",
        face,
        text,
        name,
        label,
        content,
    )


@register.simple_block_tag
def dialog(content: str, name: str, title: str, note: Any = "", size: str = "sm") -> SafeString:
    """A dialog of this page, opened by data-dialog-open="name". The body holds a form or a text."""
    return format_html(
        '<dialog class="dialog{}" id="{}" aria-labelledby="{}-title"><div class="dialog__head"><div>'
        '<h2 id="{}-title">{}</h2>{}</div>{}</div>{}</dialog>',
        f" dialog--{size}" if size else "",
        name,
        name,
        name,
        title,
        format_html("<p>{}</p>", note) if note else "",
        close_button(),
        content,
    )


@register.simple_tag
def close_button() -> SafeString:
    """Closes the dialog that it is in."""
    return format_html(
        '<button class="btn btn--icon btn--ghost end" type="button" data-dialog-close aria-label="Close (Esc)">'
        "{}</button>",
        icon("x"),
    )


@register.simple_tag
def field(bound: BoundField, label: str = "", hint: str = "", wide: bool = False, autofocus: bool = False) -> str:
    """A form field with its label, hint and message in the house's look."""
    widget = bound.field.widget
    if widget.is_hidden:
        return str(bound.as_hidden())
    kind, classes = look_of(widget)
    hint = hint or str(bound.help_text or "")
    ids = [f"{bound.auto_id}_hint"] * bool(hint) + [f"{bound.auto_id}_error"] * bool(bound.errors)
    attributes: dict[str, Any] = {"class": " ".join(filter(None, [classes, widget.attrs.get("class", "")]))}
    if ids:
        attributes["aria-describedby"] = " ".join(ids)
    if bound.errors:
        attributes["aria-invalid"] = "true"
    if autofocus:
        attributes["autofocus"] = True
    options: list[BoundWidget] = []
    if kind == "options":
        attributes = bound.build_widget_attrs({"id": bound.auto_id, "class": classes}, widget)
        drawn = widget.subwidgets(bound.html_name, bound.value(), attributes)
        options = [BoundWidget(widget, option, bound.form.renderer) for option in drawn]
    return render_to_string(
        "components/field.html",
        {
            "field": bound,
            "widget": "" if options else bound.as_widget(attrs=attributes),
            "options": options,
            "kind": kind,
            "label": label or bound.label,
            "hint": hint,
            "wide": wide,
            "optional": not bound.field.required and kind == "input",
        },
    )


def look_of(widget: Widget) -> tuple[str, str]:
    """How a field is laid out, and its control's class."""
    if isinstance(widget, RadioSelect | CheckboxSelectMultiple):
        return "options", "check"
    if isinstance(widget, CheckboxInput):
        return "check", "check"
    if isinstance(widget, Select):
        return "input", "select"
    return "input", "textarea" if isinstance(widget, Textarea) else "input"
