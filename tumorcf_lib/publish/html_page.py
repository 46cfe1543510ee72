"""One self-contained HTML page: text, tables and figures in a single printable file."""

import base64
import html
import io
import math
import struct

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff;
       max-width: 52rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin-top: 2rem; }
figure { margin: 1rem 0; break-inside: avoid; }
img { max-width: 100%; height: auto; } figcaption, .small { font-size: .87rem; color: #555; }
.plot img { min-width: min(var(--natural), 640px); } /* labels stay readable on a phone */
.wide, .plot { overflow-x: auto; padding-bottom: .5rem; }
.wide td:not(.number) { min-width: 7rem; }
table { border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #ddd; text-align: left;
         vertical-align: top; }
tr { break-inside: avoid; } td.number, th.number { text-align: right; white-space: nowrap; }
.answers li { margin: .4rem 0; } .warning { border-left: 4px solid #D55E00; padding-left: .8rem; }
summary { cursor: pointer; margin: .5rem 0; }
@media print { body { max-width: none; padding: 0; font-size: 11pt; } }
"""


POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""What a browser may do with a page: show it, and load or run nothing."""


def page(title, parts, *, style="") -> str:
    """The whole page from its title and the parts that the functions below make.

    ``style`` adds to :data:`STYLE`.

    Examples
    --------
    >>> text = page("An audit & more", [paragraph("Three slices.")])
    >>> "<title>An audit &amp; more</title>" in text, "<p>Three slices.</p>" in text
    (True, True)
    """
    title = html.escape(title)
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{title}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n"
        f"<h1>{title}</h1>\n"
        f"{body}\n</body>\n</html>\n"
    )


def heading(text) -> str:
    return f"<h2>{html.escape(text)}</h2>"


def paragraph(text, kind="") -> str:
    """A paragraph; ``kind`` is "small", "warning" or nothing."""
    return f"<p{_class(kind)}>{html.escape(text)}</p>"


def bullets(texts, kind="") -> str:
    items = "".join(f"<li>{html.escape(text)}</li>" for text in texts)
    return f"<ul{_class(kind)}>{items}</ul>"


def folded(summary, *parts) -> str:
    """Parts that open on a click."""
    inner = "\n".join(parts)
    return f"<details><summary>{html.escape(summary)}</summary>\n{inner}\n</details>"


def picture(fig, caption) -> str:
    """A Matplotlib figure as PNG inside the page."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    data = base64.b64encode(buffer.getvalue()).decode()
    words = html.escape(caption)
    return (
        f'<figure class="plot" style="--natural: {width_px(buffer.getvalue())}px">'
        f'<img alt="{words}" src="data:image/png;base64,{data}">'
        f"<figcaption>{words}</figcaption></figure>"
    )


def width_px(png: bytes) -> int:
    """Width of a PNG, which its header says."""
    return struct.unpack(">I", png[16:20])[0]


def table(frame) -> str:
    """A DataFrame without its index; numbers to the right, three decimals, NaN empty.

    Examples
    --------
    >>> import pandas as pd
    >>> print(table(pd.DataFrame({"class": ["<a>"], "mean": [0.12345]})))
    <div class="wide"><table><thead><tr><th>class</th><th class="number">mean</th></tr></thead>
    <tbody><tr><td>&lt;a&gt;</td><td class="number">0.123</td></tr></tbody></table></div>
    """
    numeric = [kind.kind in "iuf" for kind in frame.dtypes]
    head = "".join(
        f"<th{_class('number' if right else '')}>{html.escape(str(name))}</th>"
        for name, right in zip(frame.columns, numeric, strict=True)
    )
    rows = "\n".join(
        "<tr>"
        + "".join(
            f"<td{_class('number' if right else '')}>{_cell(value)}</td>"
            for value, right in zip(row, numeric, strict=True)
        )
        + "</tr>"
        for row in frame.itertuples(index=False, name=None)
    )
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody>'
        "</table></div>"
    )


def _cell(value):
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.3f}"
    return html.escape(str(value))


def _class(name):
    return f' class="{name}"' if name else ""
