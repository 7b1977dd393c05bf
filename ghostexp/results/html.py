"""A report as one HTML page that needs nothing else: no network, no script, figures inside it."""

from base64 import b64encode
from html import escape

from ghostexp.results.circumstances import circumstances
from ghostexp.results.standing import count_statuses, summary, unfinished
from ghostexp.results.table import Report

CSS = """
:root { --ink: #1d2329; --soft: #5f6b76; --line: #dde2e7; --good: #00724f; --bad: #b03a00; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 3rem; max-width: 76rem; color: var(--ink);
  background: #fff; font: 16px/1.5 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
h1 { margin: 0; font-size: 1.7rem; overflow-wrap: anywhere; }
h2 { margin: 2.2rem 0 .6rem; font-size: 1.15rem; }
.summary { margin: .3rem 0 1.4rem; color: var(--soft); }
.bar { display: flex; gap: 2px; height: .5rem; margin: .7rem 0 0; }
.bar span { border-radius: 2px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem;
  font-variant-numeric: tabular-nums; }
th { text-align: left; vertical-align: bottom; font-weight: 600; color: var(--soft);
  border-bottom: 2px solid var(--ink); }
th, td { padding: .38rem .7rem; }
td { border-bottom: 1px solid var(--line); vertical-align: top; white-space: nowrap; }
td.number, th.number { text-align: right; }
td.text { white-space: normal; overflow-wrap: break-word; min-width: 24rem; }
tbody tr:hover { background: #f5f7f9; }
.finished { color: var(--good); } .failed { color: var(--bad); font-weight: 600; }
.running { color: #005a8c; } .interrupted { color: #8a5a00; }
.notes, .facts { color: var(--soft); font-size: .87rem; }
.notes p { margin: .25rem 0; }
figure { margin: 1.2rem 0 2rem; break-inside: avoid; }
figure img { display: block; max-width: 100%; height: auto; }
figcaption { margin-bottom: .4rem; font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; margin: 0; }
dt { font-weight: 600; } dd { margin: 0; overflow-wrap: anywhere; }
pre { overflow-x: auto; padding: .8rem; background: #f5f7f9; font-size: .8rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
@media print { body { padding: 0; max-width: none; font-size: 11px; } .scroll { overflow: visible; }
  th, td { padding: .2rem .35rem; } }
"""
# What the page may load: pictures and styles within it, nothing else.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
BAR_COLORS = {
    "finished": "#009E73",
    "running": "#56B4E9",
    "interrupted": "#E69F00",
    "failed": "#D55E00",
    "not started": "#c3cad1",
}


def to_html(report: Report, figures: dict[str, bytes]) -> str:
    """Page with the summary, the table, the figures (SVG by title) and the circumstances."""
    body = [
        f"<h1>{escape(report.title)}</h1>",
        _bar(report),
        f'<p class="summary">{escape(summary(report.tree))}</p>',
        _table(report),
        _notes(report),
        _legend(report),
        _unfinished(report),
        "<h2>Figures</h2>" if figures else "",
        *(_figure(title, svg) for title, svg in figures.items()),
        _circumstances(report),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(report.title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body>\n</html>\n"
    )


def _bar(report: Report) -> str:
    """Shares of the statuses as a coloured bar; the line below it says the same in words."""
    counts = count_statuses(report.tree.runs) | {"not started": len(report.tree.not_started)}
    parts = [
        f'<span style="flex: {count}; background: {BAR_COLORS[name]}"></span>'
        for name, count in counts.items()
        if count
    ]
    return f'<div class="bar">{"".join(parts)}</div>'


def _table(report: Report) -> str:
    kinds = ["number" if column.is_number else "word" for column in report.columns]
    headers = [column.header for column in report.columns]
    head = _cells("th", headers, kinds)
    rows = []
    for cells in zip(*(column.cells for column in report.columns), strict=True):
        rows.append(_cells("td", cells, [*kinds[:-1], _status_class(cells[-1])]))
    return _html_table(head, rows)


def _legend(report: Report) -> str:
    """What the short labels of mixed recipes stand for."""
    if not report.legend:
        return ""
    kinds = ["word", "word", "text"]
    head = _cells("th", ["run", "folder", "what tells it apart"], kinds)
    rows = [_cells("td", entry, kinds) for entry in report.legend]
    return f"<h2>Recipes</h2>\n{_html_table(head, rows)}"


def _unfinished(report: Report) -> str:
    entries = unfinished(report.tree, report.rows)
    parts = []
    if entries:
        head = _cells("th", ["run", "status", "progress", "error"], ["word"] * 3 + ["text"])
        rows = [_cells("td", e, ["word", _status_class(e[1]), "word", "text"]) for e in entries]
        parts += ["<h2>Without a result</h2>", _html_table(head, rows)]
    for run in report.tree.runs:
        if trace := run.record["error"].get("traceback"):
            name = escape(run.label)
            parts.append(
                f"<details><summary>Traceback of {name}</summary>"
                f"<pre>{escape(str(trace))}</pre></details>"
            )
    if report.tree.unreadable:
        problems = "".join(f"<li>{escape(problem)}</li>" for problem in report.tree.unreadable)
        parts.append(f'<h2>Unreadable files</h2>\n<ul class="failed">{problems}</ul>')
    return "\n".join(parts)


def _notes(report: Report) -> str:
    notes = [f"<p>[{i}] {escape(note)}</p>" for i, note in enumerate(report.notes, 1)]
    return f'<div class="notes">{"".join(notes)}</div>' if notes else ""


def _figure(title: str, svg: bytes) -> str:
    data = b64encode(svg).decode()  # as an image: its ids meet no other figure's
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<img alt="{escape(title)}" src="data:image/svg+xml;base64,{data}"></figure>'
    )


def _circumstances(report: Report) -> str:
    facts = [
        f"<dt>{escape(fact)}</dt><dd>{'<br>'.join(map(escape, values))}</dd>"
        for fact, values in circumstances(report.tree.runs).items()
    ]
    return f'<h2>Circumstances</h2>\n<dl class="facts">{"".join(facts)}</dl>' if facts else ""


def _html_table(head: str, rows: list[str]) -> str:
    lines = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{lines}\n</tbody></table></div>"
    )


def _cells(tag: str, texts: object, kinds: list[str]) -> str:
    return "".join(
        f'<{tag} class="{kind}">{escape(text)}</{tag}>'
        for text, kind in zip(texts, kinds, strict=True)
    )


def _status_class(status: str) -> str:
    """Worst status in a cell such as `1 finished, 1 failed`."""
    for name in ("failed", "interrupted", "running", "finished"):
        if name in status:
            return name
    return "word"
