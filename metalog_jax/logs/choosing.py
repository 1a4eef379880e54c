"""Which layout a file has: the one that most lines of a sample fit, or a given one."""

import dataclasses
import re
from collections.abc import Iterator, Mapping

import numpy as np
import polars as pl

from metalog_jax import errors
from metalog_jax.logs import keyed, layouts, learned, levels, multiline, times
from metalog_jax.logs.layouts import Layout

_ENOUGH = 0.3  # of the lines of a sample fit
_PERFECT = 1.28  # all lines fit, have a time and a known level
_HIGHEST = 1.0 + 0.2 + 0.1  # of `_score`


def choose(
  lines: list[str],
  keys: Mapping[str, str] | None = None,
  likely: list[Layout] | None = None,
  format: str = 'auto',
) -> Layout:
  """The layout that most lines of a sample fit; those that continue do not count.

  Among layouts that as many fit, one whose times can be read and whose levels are known
  is preferred, and then the first of the table.

  Args:
    keys: names of keys of structured logs, by role.
    likely: layouts of files beside this one, tried first; the chosen one is added.
    format: as `named` takes it, where it is told.
  """
  if format != 'auto':
    return named(format, keys, lines)
  if header := keyed.table(lines, keys):
    table = Layout('table', parse=header)
    fits = table.columns(pl.Series(lines, dtype=pl.String))['message'].is_not_null()
    if fits.any():
      return table
  text = pl.Series('line', lines, dtype=pl.String)
  if w3c := layouts.fields(lines):
    if w3c.columns(text)['message'].is_not_null().any():
      return w3c
  text = text.filter(~multiline.continues(text))
  likely = [] if likely is None else likely
  for layout in likely:
    if _score(layout, text) > _PERFECT:
      return layout
  best, best_score = layouts.PLAIN, 0.0
  for layout in _candidates(text, keys):
    score = _score(layout, text)
    if score > best_score:
      best, best_score = layout, score
    if score >= _HIGHEST:
      break
  if not best.wraps and _holds_json(best, text):
    best = dataclasses.replace(best, wraps=True)
  if best_score > _PERFECT:
    likely.append(best)
  return best


def _candidates(text: pl.Series, keys: Mapping[str, str] | None) -> Iterator[Layout]:
  yield from (with_keys(layout, keys) for layout in layouts.LAYOUTS)
  if learnt := learned.learn(text.to_list()):
    said = ('said', 'message') if '(?P<said>' in learnt[1] else ()
    yield Layout(*learnt, said=said)
  yield from layouts.LAST


def _holds_json(layout: Layout, text: pl.Series) -> bool:
  if layout.parse or layout is layouts.PLAIN:
    return False
  said = layout.columns(text)['message'].drop_nulls()
  objects = said.filter(said.str.starts_with('{') & said.str.contains(r'\}\s*$'))
  return len(objects) > _ENOUGH * len(text) and all(
    keyed.load_json(line) for line in objects.head(20)
  )


def _score(layout: Layout, text: pl.Series) -> float:
  table = layout.columns(text)
  table = table.filter(table['message'].is_not_null())
  share = len(table) / max(len(text), 1)
  is_learned = layout.name not in layouts.BY_NAME
  if layout.second:
    share = min(1.0, 2 * share)
  if not len(table) or share < (0.1 if is_learned else _ENOUGH):
    return 0.0
  score = share * _likelihood(layout)
  if 'time' in table.columns:
    read = times.Reader(0).read(table['time'])
    score += 0.2 * share * float(np.mean(read != times.NAT))
  known = levels.read(table).is_in(list(levels.KNOWN))
  return score + 0.1 * share * float(np.mean(known.to_numpy()))


def _likelihood(layout: Layout) -> float:
  """Less where something unknown stands before the time: it may be any time."""
  return (
    0.5
    if '(?P<said>' in layout.pattern
    else 0.8
    if '(?P<before>' in layout.pattern
    else 1.0
  )


def with_keys(layout: Layout, keys: Mapping[str, str] | None) -> Layout:
  """The layout, told the names of keys by role."""
  if not keys or not isinstance(layout.parse, keyed.Keyed):
    return layout
  return dataclasses.replace(layout, parse=keyed.Keyed(layout.parse.load, keys))


def without_keys(
  layout: Layout, keys: Mapping[str, str], lines: list[str]
) -> list[str]:
  """What to say of names of keys that none of the lines has."""
  known = set[str]()
  if isinstance(layout.parse, keyed.Keyed | keyed.Table):
    known = layout.parse.keys(lines)
  return [
    f'its first lines have no key {name!r}, which --key={role}={name} names'
    for role, name in keys.items()
    if name.lower() not in known
  ]


def named(
  format: str, keys: Mapping[str, str] | None = None, lines: list[str] | None = None
) -> Layout:
  """The layout that `--format` names, or its regex with a group `message`.

  Args:
    lines: a sample; the first is the header of a `table`.

  Raises:
    UserError: neither a name nor such a regex.
  """
  if format == 'table':
    header = keyed.table(lines or ['time,message'], keys)
    if header is None:
      raise errors.UserError('--format=table: the first line names no message column')
    return Layout('table', parse=header)
  if format in layouts.BY_NAME:
    return with_keys(layouts.BY_NAME[format], keys)
  if '(?P<' not in format:
    raise errors.unknown_choice('--format', format, ['auto', 'table', *layouts.BY_NAME])
  try:
    groups = set(re.compile(format).groupindex)
    pl.Series(['']).str.extract_groups(format)
  except (re.error, pl.exceptions.PolarsError) as error:
    raise errors.UserError(f'--format={format}: {error}') from None
  if not groups & {'message', 'content'}:
    raise errors.UserError(f'--format={format}: name the message, (?P<message>...)')
  return layouts.Custom('custom', format.replace('(?P<content>', '(?P<message>'))
