"""The report as one page for people: it needs no network, no script, and nothing beside it."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from html import escape

from asyncupload._shown import shown
from asyncupload._units import amount

from .progress import Progress, Waits
from .records import CANCELLED
from .rows import Row, State
from .spelling import spelled
from .summary import Summary

_OUTCOMES = (State.STORED, State.UNCHANGED, State.SKIPPED, State.FAILED, CANCELLED)
_FACTS = ("server", "user", "source", "destination")
"""What is told of the run, if the journal knows it. Nothing else of it: who knows what is kept there one day."""

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: .5rem 0 }
th, td { text-align: left; padding: .15rem 1rem .15rem 0; vertical-align: top; overflow-wrap: anywhere }
td.n, th.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
svg { width: 100%; height: 10rem; background: #f4f4f4 } rect { fill: #36c }
.wrong { color: #b00020; font-weight: bold }
"""

Cell = str | int


class Page:
    """HTML of all rows, of bounded size.

    Args:
        run: What the queue keeps of the run.
        planned: How many rows the queue says there are.
        progress: How the load ended, if that is known.
    """

    def __init__(self, run: Mapping[str, str], planned: int, progress: Progress | None = None) -> None:
        self._run = run
        self._planned = planned
        self._progress = progress
        self._summary = Summary()

    def first(self) -> str:
        """Nothing yet."""
        return ""

    def of(self, rows: Iterable[Row]) -> str:
        """Nothing yet: the rows are counted."""
        for row in rows:
            self._summary.add(row)
        return ""

    def last(self) -> str:
        """The page."""
        parts = (
            _facts(self._run),
            _totals(self._summary, self._planned),
            _left_out(self._progress),
            _throughput(self._summary),
            _waits(self._progress),
            _sizes(self._summary),
            _reasons(self._summary),
            _slowest(self._summary),
        )
        body = "\n".join(filter(None, parts))
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Bulk load</title>'
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
            f"<style>{_STYLE}</style></head><body>\n<h1>Bulk load</h1>\n{body}\n</body></html>\n"
        )


def _facts(run: Mapping[str, str]) -> str:
    return _table((), [(name, run[name]) for name in _FACTS if run.get(name)])


def _totals(summary: Summary, planned: int) -> str:
    """The sum in words, for whoever has to sign it."""
    ends = [(str(end), summary.totals.get(str(end))) for end in _OUTCOMES]
    told = [(name, total.rows if total else 0, total.size if total else 0) for name, total in ends]
    sum_ = " + ".join(f"{rows:,} {name}" for name, rows, _ in told)
    says = f"{summary.rows:,} input rows = {sum_}."
    if sum(rows for _, rows, _ in told) == summary.rows == planned:
        verdict = "<p>Every input row has ended in exactly one of them.</p>"
    else:
        verdict = (
            f'<p class="wrong">The journal counts {planned:,} rows: it was written to while this report was made, '
            "or is damaged. Write the report again when nothing runs.</p>"
        )
    rows: list[Sequence[Cell]] = [(name, rows, size, amount(size)) for name, rows, size in told]
    rows.append(("all", summary.rows, sum(size for _, _, size in told), amount(sum(size for _, _, size in told))))
    unknown = f"<p>Of {summary.unknown_sizes:,} rows nobody knows the size.</p>" if summary.unknown_sizes else ""
    table = _table(("outcome", "rows", "bytes", ""), rows)
    return f'<h2>What became of it</h2>\n<p id="sum">{says}</p>\n{verdict}\n{table}\n{unknown}'


def _left_out(progress: Progress | None) -> str:
    if progress is None or not progress.left_out:
        return ""
    return f"<p>The rules of the plan left out {progress.left_out:,} more files: they are no input rows.</p>"


def _throughput(summary: Summary) -> str:
    rates = summary.timeline.rates()
    if not rates:
        return ""
    bars = [(f"{_when(begin)}: {amount(rate)}/s", rate) for begin, rate in rates]
    busy: list[Sequence[Cell]] = [(_when(begin), round(rate), f"{amount(rate)}/s") for begin, rate in rates if rate]
    width = summary.timeline.width
    return (
        f"<h2>Throughput</h2>\n<p>Bytes per second of stored documents, in intervals of {width:,} s from "
        f"{_when(rates[0][0])} to {_when(rates[-1][0] + width)} (UTC). A document counts when it is stored, so that "
        f"a large one makes a peak at its end.</p>\n{_chart(bars)}\n"
        + _more("The numbers", _table(("from", "bytes/s", ""), busy))
    )


def _waits(progress: Progress | None) -> str:
    if progress is None or not progress.waits.bottleneck:
        return ""
    waits = progress.waits
    rows = [(field.name.replace("_", " "), f"{getattr(waits, field.name):,.1f} s") for field in fields(Waits)]
    return (
        f"<h2>What was in the way</h2>\n<p>Most of the time was spent waiting for: <b>{_text(waits.bottleneck)}</b>. "
        "Seconds of all files in flight together, in the last run of this process.</p>\n" + _table((), rows)
    )


def _sizes(summary: Summary) -> str:
    if not summary.sizes:
        return ""
    digits = range(min(summary.sizes), max(summary.sizes) + 1)
    named = [(_span(number), summary.sizes[number]) for number in digits]
    bars = [(f"{span}: {count:,} files", count) for span, count in named]
    return (
        "<h2>Sizes</h2>\n<p>Files by size; each bar reaches to twice the size of the one before.</p>\n"
        f"{_chart(bars)}\n{_more('The numbers', _table(('size', 'files'), named))}"
    )


def _span(digits: int) -> str:
    if digits == 0:
        return "empty"
    return f"{amount(2 ** (digits - 1))} to below {amount(2**digits)}"


def _reasons(summary: Summary) -> str:
    if not summary.reasons:
        return ""
    ordered = sorted(summary.reasons.items(), key=lambda entry: (entry[0][0], -entry[1].rows, entry[0][1]))
    rows = [(end, kind.rows, what, kind.example) for (end, what), kind in ordered]
    return "<h2>Failed and skipped, by kind</h2>\n" + _table(("outcome", "rows", "kind", "for example"), rows)


def _slowest(summary: Summary) -> str:
    if not summary.slowest:
        return ""
    rows = [
        (f"{row.facts.seconds:,.1f} s", amount(row.item.size or 0), spelled(row.item.source), row.item.destination)
        for row in summary.slowest
    ]
    return "<h2>Slowest files</h2>\n" + _table(("time", "size", "source", "destination"), rows)


def _chart(bars: Sequence[tuple[str, float]]) -> str:
    """One bar for each, with its title to be read by pointing at it."""
    most = max(value for _, value in bars) or 1
    drawn = "".join(
        f'<rect x="{10 * place}" y="{100 - 100 * value / most:.2f}" width="9" height="{100 * value / most:.2f}">'
        f"<title>{_text(title)}</title></rect>"
        for place, (title, value) in enumerate(bars)
    )
    return f'<svg role="img" viewBox="0 0 {10 * len(bars)} 100" preserveAspectRatio="none">{drawn}</svg>'


def _more(title: str, content: str) -> str:
    return f"<details><summary>{_text(title)}</summary>{content}</details>"


def _table(head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    titles = f"<tr>{''.join(f'<th>{_text(title)}</th>' for title in head)}</tr>" if head else ""
    lines = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in rows)
    return f"<table>{titles}{lines}</table>"


def _cell(value: Cell) -> str:
    if isinstance(value, int):
        return f'<td class="n">{value:,}</td>'
    return f"<td>{_text(value)}</td>"


def _when(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))


def _text(value: str) -> str:
    return escape(shown(value))
