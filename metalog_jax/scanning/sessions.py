"""Records with an id in common: bags of templates, and what follows what.

Memory is bounded: where there are more than `MOST` sessions, half of them are
forgotten, as the hash of their ids has it, and later ones of that half not begun.
"""

import itertools
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from metalog_jax import errors, lazy
from metalog_jax.logs import repeats, session_keys
from metalog_jax.scanning import windows

sparse = lazy.module('scipy.sparse')

MOST = 400_000  # sessions
TEXT = 400  # characters of a session's last record that are kept
_COMPACT = 300_000  # rows that wait before they are joined
_BAGS: Any = {'session': pl.Int32, 'code': pl.Int32, 'count': pl.Int32}
_ORDER: Any = {
  'before': pl.Int64, 'after': pl.Int64, 'count': pl.Int64, 'first_session': pl.Int64,
  'first_file': pl.Int64, 'first_line': pl.Int64, 'first_time': pl.Int64,
  'text': pl.String,
}  # fmt: skip
_ENDS = {
  'first_file': pl.Int64, 'first_line': pl.Int64, 'first_time': pl.Int64,
  'last_file': pl.Int64, 'last_line': pl.Int64, 'last_time': pl.Int64,
}  # fmt: skip
_PLACES: Any = {
  'session': pl.Int64,
  'records': pl.Int64,
  **_ENDS,
  'text': pl.String,
}


class Sessions:
  """Bags of sessions while blocks come; without a key there are none."""

  def __init__(self, group: str = 'auto'):
    """Groups by a field or kind of id; `auto`: what groups best; `none`: not at all."""
    self.group = group
    self.key: session_keys.SessionKey | None = None
    self._asked = group == 'none'
    self._number: dict[str, int] = {}
    self._past: dict[str, pl.DataFrame] | None = None  # of a baseline, by template
    self.halved = 0  # times that half of the sessions were forgotten
    self._last = np.zeros(0, np.int64)  # code of each session's last record
    self._bags = _Rows(_BAGS, ('session', 'code'))
    self._order = _Rows(_ORDER, ('before', 'after'))
    self._places = _Rows(_PLACES, ('session',))

  @property
  def names(self) -> list[str]:
    """The ids of the sessions, in order of first appearance."""
    return list(self._number)

  def add(self, codes: np.ndarray, block: Any) -> None:
    """Counts the records of a block; the first one decides what groups."""
    if not self._asked and len(codes):
      self._asked = True
      self.key = find(self.group, codes, block)
    if self.key is None:
      return
    rows, names, index = named(self.key, block)
    if not len(rows):
      return
    number = self._number
    session = np.array(
      [number.setdefault(x, len(number)) if self._is_kept(x) else -1 for x in names],
      np.int64,
    )[index]
    if self.halved:
      rows, session = rows[session >= 0], session[session >= 0]
    if not len(rows):
      return
    self._last = np.pad(
      self._last, (0, len(number) - len(self._last)), constant_values=-1
    )
    order = np.argsort(session, kind='stable')  # rows ascend
    rows, session = rows[order], session[order]
    code = np.asarray(codes, np.int64)[rows]
    begins = np.diff(session, prepend=-1) != 0
    before = np.where(begins, self._last[session], np.roll(code, 1))
    ends = np.append(begins[1:], True)
    self._last[session[ends]] = code[ends]
    bags = pl.DataFrame({'session': session, 'code': code})
    self._bags.add(bags.group_by('session', 'code').len('count'))
    first, last = rows[begins], rows[ends]
    time = np.asarray(block.time, 'datetime64[us]')
    micro = pl.Series(time.astype(np.int64))
    micro = pl.select(pl.when(pl.Series(~np.isnat(time))).then(micro)).to_series()
    places = {
      'session': session[begins],
      'records': np.diff(np.append(np.flatnonzero(begins), len(rows))),
      'text': windows.quoted(block.text, last, TEXT),
    }
    for end, at in (('first', first), ('last', last)):
      places[f'{end}_file'] = np.asarray(block.file)[at]
      places[f'{end}_line'] = np.asarray(block.line)[at]
      places[f'{end}_time'] = micro.gather(at)
    self._places.add(pl.DataFrame(places))
    pairs = pl.DataFrame(
      {'before': before, 'after': code, 'row': rows, 'first_session': session}
    ).filter(pl.col('before') >= 0)
    pairs = pairs.group_by('before', 'after').agg(
      pl.len().alias('count'), pl.col('row', 'first_session').first()
    )
    at = pairs['row'].to_numpy()
    self._order.add(
      pairs.with_columns(
        first_file=pl.Series(np.asarray(block.file)[at], dtype=pl.Int64),
        first_line=pl.Series(np.asarray(block.line)[at], dtype=pl.Int64),
        first_time=micro.gather(at),
        text=windows.quoted(block.text, at, TEXT),
      )
    )
    while len(self._number) > MOST:
      self._halve()

  def _is_kept(self, name: str) -> bool:
    if not self.halved:
      return True
    return not zlib.crc32(name.encode('utf-8', 'replace')) % (1 << self.halved)

  def _halve(self) -> None:
    self.halved += 1
    kept = np.array([self._is_kept(name) for name in self._number])
    numbers = np.where(kept, np.cumsum(kept) - 1, -1)
    self._number = dict(zip(itertools.compress(self._number, kept), range(kept.sum())))
    self._last = self._last[kept]
    self._bags.renumber('session', numbers)
    self._places.renumber('session', numbers)
    self._order.renumber('first_session', numbers, forget=False)

  def bags(self, template: np.ndarray, width: int) -> Any:
    """Sparse [S, width], records of templates in sessions, a baseline's first."""
    session, code, count = (self._bags.table[name].to_numpy() for name in _BAGS)
    shape = (len(self._number), width)
    bags = sparse.csr_matrix((count, (session, template[code])), shape, np.float64)
    if self._past is not None:
      past = self._past['bags']
      session, code, count = (past[name].to_numpy() for name in _BAGS)
      shape = (int(session.max(initial=-1)) + 1, width)
      old = sparse.csr_matrix((count, (session, code)), shape, np.float64)
      bags = sparse.vstack([old, bags]).tocsr()
    bags.sum_duplicates()
    return bags

  def order(self, template: np.ndarray) -> pl.DataFrame:
    """before, after, count: how often one template follows another in a session."""
    rows = self._order.table
    of = lambda name: pl.Series(template[rows[name].to_numpy()], dtype=pl.Int64)
    rows = rows.with_columns(before=of('before'), after=of('after'))
    if self._past is not None:
      rows = pl.concat([self._past['order'], rows])
    return summed_order(rows)

  def places(self) -> pl.DataFrame:
    """first_* and last_*, records and the last text, a row for each session."""
    return self._places.table.sort('session')

  @classmethod
  def of(
    cls,
    key: session_keys.SessionKey | None,
    names: Sequence[str],
    tables: Sequence[dict[str, Any]],
  ) -> 'Sessions':
    """Sessions that were counted elsewhere.

    Args:
      tables: columns of bags, of the order, and of places; a row for each key.
    """
    state = cls('none')
    state.key, state._number = key, {name: i for i, name in enumerate(names)}
    for rows, columns in zip((state._bags, state._order, state._places), tables):
      rows.fill({name: columns[name] for name in rows.schema})
    return state

  @property
  def tables(self) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Bags and the order by code, without those of a baseline."""
    return self._bags.table, self._order.table

  def to_frames(self, template: np.ndarray, width: int) -> dict[str, pl.DataFrame]:
    """What a baseline keeps of them, by template: no ids, no texts."""
    bags = self.bags(template, width).tocoo()
    table = {'session': bags.row, 'code': bags.col, 'count': bags.data}
    order = self.order(template).with_columns(text=pl.lit(''))
    return {
      'bags': pl.DataFrame(table).cast(_BAGS),
      'order': order.select(list(_ORDER)).cast(_ORDER),
    }

  @property
  def kept(self) -> dict[str, pl.DataFrame]:
    """The tables that `from_frames` was given."""
    return dict(self._past or {})

  @classmethod
  def from_frames(
    cls,
    frames: dict[str, pl.DataFrame],
    key: session_keys.SessionKey | None,
    templates: int | None = None,
  ) -> 'Sessions':
    """What a baseline of so many templates keeps, to which more can be added.

    None: the tables are this process's, and need no look.

    Raises ValueError or PolarsError where a table holds what none does.
    """
    if templates is not None:
      bags, order = frames['bags'], frames['order']
      limits = {'session': len(bags), 'code': templates}
      limits |= {'before': templates, 'after': templates, 'first_session': len(bags)}
      frames = {
        'bags': windows.checked(bags, _BAGS, limits),
        'order': windows.checked(order, _ORDER, limits),
      }
    state = cls('auto' if key else 'none')
    state._asked, state.key, state._past = True, key, frames
    return state


def summed_order(rows: pl.DataFrame) -> pl.DataFrame:
  """Rows of `Sessions.order` with one for each pair."""
  rest = [pl.col(name).first() for name in _ORDER if name not in rows.columns[:3]]
  return rows.group_by('before', 'after').agg(pl.col('count').sum(), *rest)


def named(
  key: session_keys.SessionKey, block: Any
) -> tuple[np.ndarray, list[str], np.ndarray]:
  """Records of a block [m], names of sessions [n], and which of them each is of [m]."""
  rows, ids = key.sessions(block.message, block.fields)
  names, index = repeats.encode(ids.str.extract(r'^\s*(\S*)') if key.field else ids)
  if key.name.endswith(('_', '-')):  # blk_17 is called so
    names = [x if x.lower().startswith(key.name) else key.name + x for x in names]
  return rows, names, index


class _Rows:
  """Rows that are added up by a key, in bounded memory."""

  def __init__(self, schema: Any, key: tuple[str, ...]):
    self.schema, self._key = schema, key
    self._waiting = [pl.DataFrame(schema=schema)]
    self._size = 0

  def add(self, rows: pl.DataFrame) -> None:
    self._waiting.append(rows.select(list(self.schema)).cast(self.schema))
    self._size += len(rows)
    if self._size > max(_COMPACT, len(self._waiting[0])):
      _ = self.table
      self._size = 0

  def fill(self, columns: dict[str, Any]) -> None:
    """Begins with these rows, which differ in the key."""
    self._waiting = [pl.DataFrame(columns, self.schema)]

  def renumber(self, column: str, numbers: np.ndarray, forget: bool = True) -> None:
    """Puts new numbers [n] in place of old ones, -1 for none; forgets those rows."""
    new = numbers[self.table[column]]
    table = self.table.with_columns(pl.Series(column, new, self.schema[column]))
    self._waiting = [table.filter(pl.col(column) >= 0) if forget else table]
    self._size = 0

  @property
  def table(self) -> pl.DataFrame:
    if len(self._waiting) > 1 and self.schema is _BAGS:
      self._waiting = [_summed(pl.concat(self._waiting))]
    elif len(self._waiting) > 1:
      rest = [name for name in self.schema if name not in self._key]
      how = {'count': 'sum', 'records': 'sum', 'text': 'last'}
      of = lambda name: how.get(name, 'last' if name[:4] == 'last' else 'first')
      table = pl.concat(self._waiting).group_by(*self._key, maintain_order=True)
      self._waiting = [table.agg(*(getattr(pl.col(n), of(n))() for n in rest))]
    return self._waiting[0]


def _summed(bags: pl.DataFrame) -> pl.DataFrame:
  """One row for each session and code; `group_by` takes 1 GiB for four million."""
  if bags.is_empty():
    return bags
  count, *where = (bags[name].to_numpy() for name in ('count', 'session', 'code'))
  table = sparse.csr_matrix((count, tuple(where))).tocoo()  # it adds up what repeats
  columns = {'session': table.row, 'code': table.col, 'count': table.data}
  return pl.DataFrame(columns, schema_overrides=_BAGS)


def find(group: str, codes: np.ndarray, block: Any) -> session_keys.SessionKey | None:
  """What groups the records of a block; UserError where they have no such id."""
  if group == 'auto':
    return session_keys.find(block.message, block.fields, codes)
  if group in block.fields:
    return session_keys.SessionKey(group, field=group)
  known = []
  for key, _ in session_keys.candidates(block.message, block.fields):
    known.append(key.name)
    if key.name == group.lower():
      return key
  known = [*block.fields, *known]
  raise errors.unknown_choice('--group', group, ['auto', 'none', *dict.fromkeys(known)])
