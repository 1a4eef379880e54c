"""Nested settings and counts as tables of names and values."""

from typing import Any

from metalog_jax.report import pages, results

_MOST = 12  # shown of one list, or of one dict of counts
_MOST_DIGITS = 16  # longer cells are words


def table(rows: list[tuple[str, str]]) -> pages.Table:
  """Names and values, without a head."""
  return pages.table([{'': name, ' ': text} for name, text in rows], words=2)


def readable(value: dict[str, Any]) -> list[pages.Table]:
  """Counts for people who do not know the keys.

  Parts with the same keys (train, test; one system, another) stand side by side; a long
  dict takes one row.
  """
  words = lambda path: path.replace('_', ' ').replace('.', ', ')
  parts = {key: part for key, part in value.items() if isinstance(part, dict) and part}
  keys = next(iter(parts.values()), {}).keys()
  alike = {key: part for key, part in parts.items() if part.keys() == keys}
  if len(alike) < 2:
    alike = {}
  others = {key: part for key, part in value.items() if key not in alike}
  rows = [(words(path), text) for path, text in flat(others, most=_MOST)]
  tables = [table(rows)] if rows else []
  if alike:
    cell = lambda value: ', '.join(
      ' '.join(pair).strip() for pair in flat(value, '', _MOST)
    )
    columns = [
      {'': words(k)} | {words(n): cell(p[k]) for n, p in alike.items()} for k in keys
    ]
    is_long = any(
      len(text) > _MOST_DIGITS for row in columns for text in [*row.values()][1:]
    )
    tables.append(pages.table(columns, words=len(columns[0]) if is_long else 1))
  return tables


def flat(value: Any, path: str = '', most: int | None = None) -> list[tuple[str, str]]:
  """Nested values as (dotted path, text).

  Args:
    value: dicts and lists of anything JSON holds.
    path: of the value itself.
    most: dicts with more entries than this become one row of the first ones.
  """
  inner: dict[str, Any] = {}
  if isinstance(value, dict) and len(value) <= (most or len(value)):
    inner = {f'{path}.{key}' if path else key: item for key, item in value.items()}
  elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
    inner = {f'{path}[{i}]': item for i, item in enumerate(value)}
  if inner or (value == {} and not path):
    return [row for key, item in inner.items() for row in flat(item, key, most)]
  if not isinstance(value, dict | list):
    return [(path, results.number(value))]
  items = value.items() if isinstance(value, dict) else ((None, item) for item in value)
  texts = [f'{k} {results.number(v)}' if k else results.number(v) for k, v in items]
  rest = [f'… {len(texts):,} in all'] if len(texts) > _MOST else []
  return [(path, ', '.join(texts[:_MOST] + rest) or 'none')]
