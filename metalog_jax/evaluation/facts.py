"""Nested settings and counts as a table of two columns."""

import math
from typing import Any

from metalog_jax.evaluation import results
from metalog_jax.evaluation.document import blocks

_LONGEST = 12  # entries shown of one dict or list


def table(rows: list[tuple[str, str]]) -> blocks.Table:
  return blocks.Table(('', ''), rows, words=2)


def readable(value: Any) -> list[tuple[str, str]]:
  """As `flat`, with paths for people who do not know the keys."""
  return [(path.replace('_', ' ').replace('.', ', '), v) for path, v in flat(value)]


def flat(value: Any, path: str = '') -> list[tuple[str, str]]:
  """Nested values as (dotted path, text); long ones say how much is left out."""
  if isinstance(value, dict) and value:
    pairs = [(f'{path}.{key}' if path else str(key), v) for key, v in value.items()]
  elif isinstance(value, list) and any(isinstance(v, dict | list) for v in value):
    pairs = [(f'{path}[{i}]', v) for i, v in enumerate(value)]
  else:
    return [(path, _leaf(value))]
  rows = [row for key, v in pairs[:_LONGEST] for row in flat(v, key)]
  if len(pairs) > _LONGEST:
    rows.append((path, f'… and {len(pairs) - _LONGEST:,} more'))
  return rows


def _leaf(value: Any) -> str:
  if isinstance(value, list):
    more = f', … {len(value):,} in all' if len(value) > _LONGEST else ''
    return ', '.join(map(results.number, value[:_LONGEST])) + more or 'none'
  if isinstance(value, dict):
    return 'none'
  if isinstance(value, float) and not math.isfinite(value):
    return str(value)
  return results.number(value)
