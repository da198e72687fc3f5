"""How numbers and times are written, everywhere: the table "Numbers and time" of the design language."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

from django.utils import timezone

NONE: Final = "–"
MINUS: Final = "−"
THIN: Final = "\u202f"  # a narrow space that does not break
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

type Number = int | float | Decimal


def signed(text: str) -> str:
    return text.replace("-", MINUS)


def rate(share: Number | None) -> str:
    """0.824 -> 82.4 %. Only what is exactly all or nothing is written 100.0 or 0.0."""
    return NONE if share is None else f"{percent(share)}{THIN}%"


def percent(share: Number) -> str:
    share = float(share)
    tenths = round(share * 1000)
    if tenths == 1000 and share < 1:
        tenths = 999
    if tenths == 0 and share > 0:
        tenths = 1
    return f"{tenths / 10:.1f}"


def interval(low: Number | None, high: Number | None, share: Number | None = None, *, compact: bool = False) -> str:
    """± 3.1 points; [43.9, 100.0] where one arm is more than half as long again as the other. Compact: 44–100 there."""
    if low is None or high is None:
        return NONE
    low, high = float(low) * 100, float(high) * 100
    if share is None:
        return f"± {(high - low) / 2:.1f}"
    arms = float(share) * 100 - low, high - float(share) * 100
    if max(arms) > 1.5 * max(min(arms), 0.1):  # ± would promise what is not so, up to rates above 100 %
        return f"{low:.0f}–{high:.0f}" if compact else f"[{low:.1f}, {high:.1f}]"
    return f"± {(high - low) / 2:.1f}"


def span(low: Number | None, high: Number | None) -> str:
    """The interval of a change: [−5.7, −0.5] points."""
    if low is None or high is None:
        return NONE
    return f"[{points(low)}, {points(high)}]"


def points(change: Number, *, plus: bool = False) -> str:
    text = f"{float(change) * 100:.1f}"
    if text in ("0.0", "-0.0"):
        return "±0.0" if plus else "0.0"
    return signed(f"+{text}" if plus and not text.startswith("-") else text)


def delta(change: Number | None) -> str:
    """−0.031 -> −3.1 pt, with a true minus sign."""
    return NONE if change is None else f"{points(change, plus=True)} pt"


def exact(value: object) -> str:
    """Counts whole, the rest with six digits: as exact as totals are compared."""
    if isinstance(value, float) and not value.is_integer():
        return f"{value:,.6g}"
    return f"{int(value):,}" if isinstance(value, int | float) else ""


def score(value: Number | None) -> str:
    """0.31 · 4.6 · 87 · 0: two decimals up to one, then as many as it has, up to two."""
    if value is None:
        return NONE
    number = float(value)
    if not math.isfinite(number):
        return NONE
    size = abs(number)
    if number == int(number) and size < 1e15:
        return signed(f"{int(number):,}")
    if size < 0.01:
        return signed(f"{number:.2g}")
    if size <= 1:
        return signed(f"{number:.2f}")
    if size < 1e15:
        return signed(f"{number:,.2f}".rstrip("0").rstrip("."))
    return signed(f"{number:.3g}")


def threshold(value: Number | None, *, higher_is_better: bool = True) -> str:
    """What stands beside a score: ≥ 0.80."""
    if value is None:
        return NONE
    text = f"{float(value):.2f}" if abs(float(value)) <= 1 else score(value)
    return f"{'≥' if higher_is_better else '≤'} {text}"


def count(value: int | None, *, about: bool = False) -> str:
    """12,408; about 12,400 when it is an estimate (three digits are all it knows)."""
    if value is None:
        return NONE
    if not about:
        return signed(f"{value:,}")
    step = 10 ** max(len(str(abs(value))) - 3, 0)
    return f"about {round(value / step) * step:,}"


def duration(value: timedelta | Number | None) -> str:
    """840 ms · 1.2 s · 41 s · 4 min 18 s · 1 h 50 min · 3 d 4 h; a plain number is milliseconds."""
    if value is None:
        return NONE
    ms = value.total_seconds() * 1000 if isinstance(value, timedelta) else float(value)
    if not math.isfinite(ms) or ms < 0:
        return NONE
    if round(ms) < 1000:
        return f"{round(ms)} ms"
    if ms < 9950:
        return f"{ms / 1000:.1f} s"
    seconds = round(ms / 1000)
    if seconds < 60:
        return f"{seconds} s"
    for unit, size, smaller, step, limit in (
        ("min", 60, "s", 1, 3600),
        ("h", 3600, "min", 60, 86400),
        ("d", 86400, "h", 3600, math.inf),
    ):
        steps = round(seconds / step)
        if steps * step < limit:
            whole, rest = divmod(steps * step, size)
            return f"{whole:,} {unit}" + (f" {rest // step} {smaller}" if rest else "")
    raise AssertionError("the last limit is infinite")


def money(value: Number | None) -> str:
    """$1.46 · $0.25 · $0.0041: two significant digits below a cent's worth of decimals."""
    if value is None:
        return NONE
    number = float(value)
    if not math.isfinite(number):
        return NONE
    if number == 0:
        return "$0"
    sign, size = (MINUS if number < 0 else ""), abs(number)
    if size >= 0.995:
        return f"{sign}${size:,.2f}"
    if size < 1e-9:
        return f"{sign}$0.000000001"
    decimals = max(2, 1 - math.floor(math.log10(size)))
    return f"{sign}${size:.{decimals}f}"


def when(value: datetime | date | None, now: datetime | None = None) -> str:
    """08:00 (today) · 17 Jun 19:44 (this year) · 17 Jun 2025; a date without a time: today · 17 Jun · 17 Jun 2025."""
    if value is None:
        return NONE
    today = timezone.localtime(now).date() if now else timezone.localdate()
    if isinstance(value, datetime):
        local = timezone.localtime(value)
        if local.date() == today:
            return f"{local:%H:%M}"
        day = f"{local.day} {MONTHS[local.month - 1]}"
        return f"{day} {local:%H:%M}" if local.year == today.year else f"{day} {local.year}"
    for days, word in ((0, "today"), (1, "tomorrow"), (-1, "yesterday")):
        if value == today + timedelta(days=days):
            return word
    day = f"{value.day} {MONTHS[value.month - 1]}"
    return day if value.year == today.year else f"{day} {value.year}"


def stamp(value: datetime | date) -> str:
    """The full stamp that a time's title shows: 18 Jun 2026, 08:00:12 UTC."""
    if isinstance(value, datetime):
        local = timezone.localtime(value)
        return f"{local.day} {MONTHS[local.month - 1]} {local.year}, {local:%H:%M:%S} {local.tzname() or ''}".rstrip()
    return f"{value.day} {MONTHS[value.month - 1]} {value.year}"


def machine(value: datetime | date) -> str:
    """The stamp that programs read: 2026-06-18T08:00:12Z."""
    return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else value.isoformat()


def initials(name: str) -> str:
    """Ines Kowalski -> IK; CI pipeline -> CI; ines.kowalski@acme.example -> IK."""
    words = [word for word in name.split("@")[0].replace(".", " ").replace("_", " ").replace("-", " ").split() if word]
    if not words:
        return "?"
    first = words[0]
    if len(words) == 1 or (len(first) == 2 and first.isupper()):
        return first[:2].upper()
    return (first[0] + words[-1][0]).upper()
