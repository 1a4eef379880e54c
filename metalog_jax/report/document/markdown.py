"""Blocks as Markdown: figures beside the file, tables that GitHub shows.

Text from data is escaped so that it stays text; templates stand in code blocks
whose fence is longer than any fence inside.
"""

import math
import re
from collections.abc import Collection, Sequence
from typing import Any

from metalog_jax.report.document import clean, elements

_SPECIAL = re.compile(r'([\\`*_\[\]<>|#])')


def render(content: Sequence[Any], images: Collection[str]) -> str:
  """The document; only figures named in `images` are shown."""
  return _blocks(content, images).rstrip() + '\n'


def escape(text: Any) -> str:
  """Text that Markdown shows as it is."""
  return _SPECIAL.sub(r'\\\1', clean.text(str(text))).replace('&', '&amp;')


def _blocks(content: Sequence[Any], images: Collection[str]) -> str:
  return '\n\n'.join(_RENDER[type(block)](block, images) for block in content)


def _title(block: elements.Title, images) -> str:
  warning = f'\n\n**{escape(block.warning)}**' if block.warning else ''
  return f'# {escape(block.text)}\n\n{escape(block.subtitle)}{warning}'


def _heading(block: elements.Heading, images) -> str:
  return f'{"#" * block.level} {escape(block.text)}'


def _text(block: elements.Text, images) -> str:
  return escape(block.text)


def _tiles(block: elements.Tiles, images) -> str:
  return '\n'.join(
    f'- {escape(tile.label)}: **{escape(tile.value)}**'
    + (f' ({escape(tile.note)})' if tile.note else '')
    for tile in block.tiles
  )


def table(block: elements.Table) -> str:
  """A table alone, as for a README; groups become part of the column names."""
  groups = [text for text, columns in block.groups for _ in range(columns)]
  groups = groups or [''] * len(block.head)
  head = [f'{g} {text}'.strip() for g, text in zip(groups, block.head, strict=True)]
  rule = ['---' if i < block.words else '--:' for i in range(len(head))]
  rows = [[escape(cell) for cell in row] for row in (head, *block.rows)]
  rows.insert(1, rule)
  return '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def _table(block: elements.Table, images) -> str:
  return table(block) + (f'\n\n{escape(block.caption)}' if block.caption else '')


def _figures(block: elements.Figures, images) -> str:
  return '\n\n'.join(
    f'![{escape(figure.caption)}](figures/{figure.name}.png)'
    for figure in block.figures
    if figure.name in images
  )


def _session(block: elements.Session, images) -> str:
  lines = [_event(row) for row in block.rows]
  longest = max(
    (len(run) for line in lines for run in re.findall('`+', line)), default=0
  )
  fence = '`' * max(3, longest + 1)
  head = f'**{escape(block.title)}**: {escape(block.facts)}'
  return '\n'.join([head, '', f'{fence}text', *lines, fence])


def _event(row: elements.Row | elements.Gap) -> str:
  share = '' if math.isnan(row.weight) else f'{100 * row.weight:.1f} %'
  if isinstance(row, elements.Gap):
    return f'{share:>7}  … {row.events:,} more events …'
  times = f'  × {row.repeats:,}' if row.repeats > 1 else ''
  line = f'  (line {row.line:,})' if row.line else ''
  return f'{share:>7}  {clean.text(row.template)}{times}{line}'


def _fold(block: elements.Fold, images) -> str:
  return f'### {escape(block.title)}\n\n{_blocks(block.blocks, images)}'


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
