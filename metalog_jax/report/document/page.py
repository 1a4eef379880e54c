"""Blocks as one self-contained HTML page: no script, nothing fetched.

Every text is escaped here and nowhere else. A Content-Security-Policy forbids
scripts and fetching even if something slipped through.
"""

import base64
import html
import math
import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

from metalog_jax.report.document import clean, css, elements, folding

Images = Mapping[str, tuple[bytes, bytes]]  # figure name -> PNG for light, for dark

_PAGE = string.Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>$css</style>
</head>
<body>
<main>
$body
</main>
</body>
</html>
""")


def render(content: Sequence[Any], images: Images) -> str:
  """The page; figures without an image are left out."""
  title = next(block.text for block in content if isinstance(block, elements.Title))
  body = _blocks(content, images)
  return _PAGE.substitute(title=escape(title), css=css.STYLE, body=body)


def escape(text: Any) -> str:
  """Text that HTML shows as it is."""
  return html.escape(clean.text(str(text)))


def _blocks(content: Sequence[Any], images: Images) -> str:
  contents = [
    b.text for b in content if isinstance(b, elements.Heading) and b.level == 2
  ]
  parts = []
  for block in content:
    parts.append(_RENDER[type(block)](block, images))
    if isinstance(block, elements.Title) and len(contents) > 1:
      parts.append(_nav(contents))
  return '\n'.join(parts)


def _nav(headings: Sequence[str]) -> str:
  links = (f'<a href="#{_anchor(text)}">{escape(text)}</a>' for text in headings)
  return f'<nav>{"".join(links)}</nav>'


def _anchor(text: str) -> str:
  return re.sub(r'[^a-z0-9]+', '-', text.lower()).strip('-')


def _title(block: elements.Title, images: Images) -> str:
  warning = f'<p class="warning">{escape(block.warning)}</p>' if block.warning else ''
  return (
    f'<header><h1>{escape(block.text)}</h1><p>{escape(block.subtitle)}</p>{warning}'
    '</header>'
  )


def _heading(block: elements.Heading, images: Images) -> str:
  anchor = f' id="{_anchor(block.text)}"' if block.level == 2 else ''
  return f'<h{block.level}{anchor}>{escape(block.text)}</h{block.level}>'


def _text(block: elements.Text, images: Images) -> str:
  return f'<p>{escape(block.text)}</p>'


def _tiles(block: elements.Tiles, images: Images) -> str:
  tiles = (
    f'<div><dt>{escape(tile.label)}</dt><dd>{escape(tile.value)}'
    f'<small>{escape(tile.note)}</small></dd></div>'
    for tile in block.tiles
  )
  return f'<dl class="tiles">{"".join(tiles)}</dl>'


def _table(block: elements.Table, images: Images) -> str:
  groups = ''.join(
    f'<th colspan="{columns}" scope="colgroup">{escape(text)}</th>'
    for text, columns in block.groups
  )
  head = ''.join(
    f'<th scope="col"{_words(block, i)}>{escape(text)}</th>'
    for i, text in enumerate(block.head)
  )
  rows = ''.join(f'<tr>{_cells(block, row)}</tr>' for row in block.rows)
  groups = f'<tr class="groups">{groups}</tr>' if groups else ''
  head = f'<thead>{groups}<tr>{head}</tr></thead>' if any(block.head) else ''
  caption = f'<p class="caption">{escape(block.caption)}</p>' if block.caption else ''
  kind = ' class="strong"' if block.strong_first else ''
  if block.words == len(block.head):
    kind = ' class="facts"'
  return (
    f'<div class="scroll" tabindex="0"><table{kind}>{head}'
    f'<tbody>{rows}</tbody></table></div>{caption}'
  )


def _cells(block: elements.Table, row: Sequence[str]) -> str:
  cells = [f'<th scope="row" class="words">{_breakable(row[0])}</th>']
  for i, text in enumerate(row[1:], 1):
    if text.endswith(elements.MARK):
      shown = escape(text.removesuffix(elements.MARK).rstrip())
      cells.append(f'<td class="beats">{shown}<sup>{elements.MARK}</sup></td>')
    else:
      cells.append(f'<td{_words(block, i)}>{escape(text)}</td>')
  return ''.join(cells)


def _breakable(text: str) -> str:
  """Names of settings and floors may break behind an underscore or a dot."""
  return re.sub('([_.])', r'\1<wbr>', escape(text))


def _words(block: elements.Table, column: int) -> str:
  return ' class="words"' if column < block.words else ''


def _figures(block: elements.Figures, images: Images) -> str:
  figures = (_figure(f, *images[f.name]) for f in block.figures if f.name in images)
  return f'<div class="figures">{"".join(figures)}</div>'


def _figure(figure: elements.Figure, light: bytes, dark: bytes) -> str:
  caption = escape(figure.caption)
  return (
    '<figure><picture>'
    f'<source media="(prefers-color-scheme: dark)" srcset="{_data(dark)}">'
    f'<img src="{_data(light)}" alt="{caption}"></picture>'
    f'<figcaption>{caption}</figcaption></figure>'
  )


def _data(png: bytes) -> str:
  return f'data:image/png;base64,{base64.b64encode(png).decode()}'


def _session(block: elements.Session, images: Images) -> str:
  shades = folding.shade(block.rows)
  rows = ''.join(_event(row, shade) for row, shade in zip(block.rows, shades))
  is_open = ' open' if block.is_open else ''
  return (
    f'<details{is_open}><summary><code>{escape(block.title)}</code>'
    f'<span>{escape(block.facts)}</span></summary><ol class="events">{rows}</ol>'
    '</details>'
  )


def _event(row: elements.Row | elements.Gap, shade: float) -> str:
  share = '' if math.isnan(row.weight) else f'{100 * row.weight:.1f} %'
  if isinstance(row, elements.Gap):
    what = f'<em>… {row.events:,} more events …</em>'
    return f'<li class="gap"><b>{share}</b>{what}</li>'
  times = f'<i>× {row.repeats:,}</i>' if row.repeats > 1 else ''
  line = f'<small>line {row.line:,}</small>' if row.line else ''
  return (
    f'<li style="--shade:{shade:.3f}"><b>{share}</b>'
    f'<span><code>{escape(row.template)}</code> {times} {line}</span></li>'
  )


def _fold(block: elements.Fold, images: Images) -> str:
  inside = _blocks(block.blocks, images)
  return f'<details><summary>{escape(block.title)}</summary>{inside}</details>'


_RENDER = {
  elements.Title: _title,
  elements.Heading: _heading,
  elements.Text: _text,
  elements.Tiles: _tiles,
  elements.Table: _table,
  elements.Figures: _figures,
  elements.Session: _session,
  elements.Fold: _fold,
}
