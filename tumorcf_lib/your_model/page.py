"""One self-contained HTML page: words, tables and pictures; whatever users wrote is escaped."""

import base64
import html
import io
import textwrap

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff;
       max-width: 54rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; line-height: 1.25; } h2 { font-size: 1.15rem; margin-top: 2rem; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; }
figcaption, .small { font-size: .87rem; color: #555; }
.plot, .wide { overflow-x: auto; } .plot img { min-width: min(100%, 640px); }
table { border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #ddd; text-align: left;
         vertical-align: top; overflow-wrap: normal; }
td.number { text-align: right; white-space: nowrap; }
.first { font-size: 1.15rem; } .verdict { font-size: 1.15rem; font-weight: 600; }
.warning { border-left: 4px solid #D55E00; padding-left: .8rem; }
@media print { body { max-width: none; padding: 0; font-size: 11pt; } }
"""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(title, parts) -> str:
    """The whole page; a browser may show it, and load or run nothing."""
    title, body = html.escape(title), "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
        f"{body}\n</body>\n</html>\n"
    )


def element(tag, text, kind="") -> str:
    """An element of escaped text; ``kind`` is its class."""
    mark = f' class="{kind}"' if kind else ""
    return f"<{tag}{mark}>{html.escape(str(text))}</{tag}>"


def bullets(texts, kind="") -> str:
    mark = f' class="{kind}"' if kind else ""
    return f"<ul{mark}>{''.join(element('li', text) for text in texts)}</ul>"


def table(frame) -> str:
    """A DataFrame without its index, as words; columns that hold no letters stand to the right.

    >>> import pandas as pd
    >>> print(table(pd.DataFrame({"class": ["<a>"], "n": ["12"]})))
    <div class="wide"><table><tr><th>class</th><th>n</th></tr>
    <tr><td>&lt;a&gt;</td><td class="number">12</td></tr></table></div>
    """
    head = "".join(element("th", name) for name in frame.columns)
    rows = [
        "".join(element("td", cell, "" if any(map(str.isalpha, str(cell))) else "number")
                for cell in row)
        for row in frame.itertuples(index=False, name=None)
    ]  # fmt: skip
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>\n{body}</table></div>'


def picture(fig, caption) -> str:
    """A Matplotlib figure as PNG inside the page."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    data, words = base64.b64encode(buffer.getvalue()).decode(), html.escape(caption)
    return (
        f'<figure class="plot"><img alt="{words}" src="data:image/png;base64,{data}">'
        f"<figcaption>{words}</figcaption></figure>"
    )


def plain(text, width=34) -> str:
    """A name as Matplotlib shall write it: no formula, wrapped.

    >>> plain("a$_$")
    'a\\\\$_\\\\$'
    """
    return textwrap.fill(str(text), width).replace("$", r"\$")
