"""Nested settings and counts as a table of two columns."""

from typing import Any

from metalog_jax.report import results
from metalog_jax.report.document import elements

_LONGEST = 12  # entries shown of one list, or of one dict of counts

_LONGEST_NUMBER = 16  # characters; longer cells are words

Rows = list[tuple[str, str]]


def table(rows: Rows) -> elements.Table:
  """Names and values, without a head."""
  return elements.Table(('', ''), rows, words=2)


def readable(value: dict[str, Any]) -> list[elements.Table]:
  """Counts for people who do not know the keys.

  Parts with the same keys (train, test; one system, another) stand side by side;
  a long dict takes one row.
  """
  parts = {key: part for key, part in value.items() if isinstance(part, dict) and part}
  alike = {
    key: part
    for key, part in parts.items()
    if set(part) == set(next(iter(parts.values())))
  }
  if len(alike) < 2:
    alike = {}
  rest = flat({k: v for k, v in value.items() if k not in alike}, longest=_LONGEST)
  tables = [table([(_words(path), text) for path, text in rest])] if rest else []
  return tables + ([_side_by_side(alike)] if alike else [])


def _side_by_side(parts: dict[str, dict[str, Any]]) -> elements.Table:
  rows = [
    [_words(key), *(_cell(part[key]) for part in parts.values())]
    for key in next(iter(parts.values()))
  ]
  is_long = any(len(cell) > _LONGEST_NUMBER for row in rows for cell in row[1:])
  return elements.Table(
    ['', *map(_words, parts)], rows, words=len(parts) + 1 if is_long else 1
  )


def _cell(value: Any) -> str:
  return ', '.join(f'{path} {text}'.strip() for path, text in flat(value, '', _LONGEST))


def _words(path: str) -> str:
  return path.replace('_', ' ').replace('.', ', ')


def flat(value: Any, path: str = '', longest: int | None = None) -> Rows:
  """Nested values as (dotted path, text).

  Args:
    value: dicts and lists of anything JSON holds.
    path: of the value itself.
    longest: dicts with more entries than this become one row of the first ones.
  """
  if isinstance(value, dict) and not value and not path:
    return []
  if isinstance(value, dict) and value:
    pairs = list(value.items())
    if longest and len(pairs) > longest:
      return [(path, _listed([f'{key} {results.number(v)}' for key, v in pairs]))]
    return [
      row for k, v in pairs for row in flat(v, f'{path}.{k}' if path else k, longest)
    ]
  if isinstance(value, list) and any(isinstance(v, dict | list) for v in value):
    return [
      row for i, v in enumerate(value) for row in flat(v, f'{path}[{i}]', longest)
    ]
  if isinstance(value, dict | list):
    return [(path, _listed([results.number(v) for v in value]) or 'none')]
  return [(path, results.number(value))]


def _listed(texts: list[str]) -> str:
  more = [f'… {len(texts):,} in all'] if len(texts) > _LONGEST else []
  return ', '.join(texts[:_LONGEST] + more)
