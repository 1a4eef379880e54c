"""Records with an id in common: bags of templates, what follows what, and odd ones.

Sessions are scored by `evidence`: beside each other, or beside those of a baseline. The
reason of an odd session is the template that it alone has, that it lacks, or that it
has too often; sessions with one reason are one finding.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from scipy import sparse

from metalog_jax import errors
from metalog_jax.evidence import pvalues
from metalog_jax.evidence.against import against, alarms
from metalog_jax.evidence.unlabelled import unlabelled
from metalog_jax.logs import session_keys
from metalog_jax.scanning import windows

_TEXT = 400  # characters of a session's last record that are kept
_COMPACT = 300_000  # rows that wait before they are joined
_LEAST = 50  # sessions, below which they say nothing about each other
_OFTEN = 100  # records of a template of which an order is known
_BAGS: Any = {'session': pl.Int64, 'code': pl.Int64, 'count': pl.Int64}
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


class Scored(NamedTuple):
  """Sessions with their scores, in order of first appearance."""

  scores: np.ndarray  # [S]
  p_values: np.ndarray  # [S]
  odd: np.ndarray  # [S] bool
  bags: sparse.csr_matrix  # [S, V]


class Sessions:
  """Bags of sessions while blocks come; without a key there are none."""

  def __init__(self, group: str = 'auto'):
    """Groups by a field or kind of id; `auto`: what groups best; `none`: not at all."""
    self.group = group
    self.key: session_keys.SessionKey | None = None
    self._asked = group == 'none'
    self._number: dict[str, int] = {}
    self._past: dict[str, pl.DataFrame] | None = None  # of a baseline, by template
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
      self.key = _find(self.group, codes, block)
    if self.key is None:
      return
    rows, ids = self.key.sessions(block.message, block.fields)
    if not len(rows):
      return
    ids = [x.strip().split(' ', 1)[0] for x in ids]
    if self.key.name.endswith(('_', '-')):  # blk_17 is called so
      name = self.key.name
      ids = [x if x.lower().startswith(name) else name + x for x in ids]
    number = self._number
    session = np.fromiter(
      (number.setdefault(name, len(number)) for name in ids), np.int64, len(ids)
    )
    self._last = np.pad(
      self._last, (0, len(number) - len(self._last)), constant_values=-1
    )
    order = np.lexsort((rows, session))
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
      'text': [block.text[i][:_TEXT] for i in last.tolist()],
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
        text=pl.Series([block.text[i][:_TEXT] for i in at], dtype=pl.String),
      )
    )

  def bags(self, template: np.ndarray, width: int) -> sparse.csr_matrix:
    """[S, width] records of each template in each session, a baseline's first."""
    rows = self._bags.table
    shape = (len(self._number), width)
    where = (rows['session'].to_numpy(), template[rows['code'].to_numpy()])
    bags = sparse.csr_matrix((rows['count'].to_numpy(), where), shape, np.float64)
    if self._past is not None:
      past = self._past['bags']
      where = (past['session'].to_numpy(), past['code'].to_numpy())
      shape = (int(where[0].max()) + 1 if len(past) else 0, width)
      old = sparse.csr_matrix((past['count'].to_numpy(), where), shape, np.float64)
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
    rest = [pl.col(name).first() for name in _ORDER if name not in rows.columns[:3]]
    return rows.group_by('before', 'after').agg(pl.col('count').sum(), *rest)

  def places(self) -> pl.DataFrame:
    """first_* and last_*, records and the last text, a row for each session."""
    return self._places.table.sort('session')

  def to_frames(self, template: np.ndarray, width: int) -> dict[str, pl.DataFrame]:
    """What a baseline keeps of them, by template: no ids, no texts."""
    bags = self.bags(template, width).tocoo()
    table = {'session': bags.row, 'code': bags.col, 'count': bags.data}
    order = self.order(template).with_columns(text=pl.lit(''))
    return {
      'bags': pl.DataFrame(table).cast(_BAGS),
      'order': order.select(list(_ORDER)).cast(_ORDER),
    }

  @classmethod
  def from_frames(
    cls, frames: dict[str, pl.DataFrame], key: session_keys.SessionKey | None
  ) -> 'Sessions':
    """What a baseline keeps, to which more can be added."""
    state = cls('auto' if key else 'none')
    state._asked, state.key, state._past = True, key, frames
    return state


class _Rows:
  """Rows that are added up by a key, in bounded memory."""

  def __init__(self, schema: Any, key: tuple[str, ...]):
    self._schema, self._key = schema, key
    self._waiting = [pl.DataFrame(schema=schema)]
    self._size = 0

  def add(self, rows: pl.DataFrame) -> None:
    self._waiting.append(rows.select(list(self._schema)).cast(self._schema))
    self._size += len(rows)
    if self._size > _COMPACT:
      _ = self.table
      self._size = 0

  @property
  def table(self) -> pl.DataFrame:
    if len(self._waiting) > 1:
      rest = [name for name in self._schema if name not in self._key]
      how = {'count': 'sum', 'records': 'sum', 'text': 'last'}
      of = lambda name: how.get(name, 'last' if name[:4] == 'last' else 'first')
      table = pl.concat(self._waiting).group_by(*self._key, maintain_order=True)
      self._waiting = [table.agg(*(getattr(pl.col(n), of(n))() for n in rest))]
    return self._waiting[0]


def score(
  bags: sparse.csr_matrix,
  good: sparse.csr_matrix | None = None,
  alpha: float = 0.01,
  alarm: np.ndarray | None = None,
) -> Scored | None:
  """How odd each session is; None where there are too few.

  All are held beside each other, those of a baseline among them: what is usual in both
  is usual, and the baseline need not be free of anomalies. Where more of the sessions
  than false alarms explain are unlike the baseline although they are like each other,
  the baseline alone decides.

  Args:
    bags: [S, V].
    good: [N, V] sessions of a baseline.
    alpha: rate of false alarms where the baseline decides.
    alarm: [V] what an event that hardly any session has adds to the score of an odd
      one, by how severe it is.
  """
  crowd = bags if good is None else sparse.vstack([good, bags]).tocsr()
  if crowd.shape[0] < _LEAST or not bags.shape[0]:
    return None
  alarm = np.zeros(bags.shape[1]) if alarm is None else alarm
  first, back, times = _distinct(crowd)
  num_good, counts = crowd.shape[0] - bags.shape[0], crowd[first]
  result = unlabelled(counts, times)
  odd = result.scores > result.threshold
  if num_good >= _LEAST:
    beside = against(counts, back[:num_good], alarm)
    mine, ones = beside.scores[back[num_good:]], np.ones(num_good)
    p_values = pvalues.p_values(mine, beside.calibration, ones)
    unlike, expected = p_values <= alpha, alpha * len(mine)
    beyond = (unlike & ~odd[back[num_good:]]).sum()
    if beyond > expected + 2 * expected**0.5:
      return Scored(mine, p_values, unlike, bags)
  share = counts.sign().T @ times / times.sum()
  scores = result.scores + odd * alarms(counts, share, alarm)
  p_values = pvalues.exceeding(scores, scores, times) / times.sum()
  mine = back[num_good:]
  return Scored(scores[mine], p_values[mine], odd[mine], bags)


def reasons(
  scored: Scored, good: sparse.csr_matrix | None = None
) -> dict[tuple[str, int], np.ndarray]:
  """(kind, template) -> the odd sessions that it is the reason of."""
  rows = np.flatnonzero(scored.odd)
  if not len(rows):
    return {}
  bags = scored.bags if good is None else good
  usual = bags if good is not None else bags[~scored.odd]
  usual = usual if usual.shape[0] else bags
  n = usual.shape[0]
  share = np.asarray(usual.sign().sum(axis=0)).ravel() / n
  present = -np.log((share * n + 0.5) / (n + 1))
  absent = -np.log((n - share * n + 0.5) / (n + 1))
  logs = usual.copy()
  logs.data = np.log1p(logs.data)
  mean = np.asarray(logs.sum(axis=0)).ravel() / n
  squares = np.asarray(logs.multiply(logs).sum(axis=0)).ravel() / n
  spread = np.sqrt(np.maximum(squares - mean**2, 0)) + 0.1
  chosen: dict[tuple[str, int], list[int]] = {}
  for start in range(0, len(rows), 2000):
    part = rows[start : start + 2000]
    dense = scored.bags[part].toarray()
    has = dense > 0
    far = (np.log1p(dense) - mean) / spread
    values = np.stack(
      [np.where(has, present, 0), np.where(has, 0, absent), np.abs(far) / 2]
    )
    values[2] = np.minimum(values[2], 3.0)  # a count says less than what is new
    kind, template = np.unravel_index(
      values.transpose(1, 0, 2).reshape(len(part), -1).argmax(axis=1),
      (3, dense.shape[1]),
    )
    for i, row in enumerate(part.tolist()):
      name = ('rare', 'missing', 'burst' if far[i, template[i]] > 0 else 'drop')
      chosen.setdefault((name[kind[i]], int(template[i])), []).append(row)
  return {reason: np.array(found) for reason, found in chosen.items()}


def uncut(state: Sessions) -> np.ndarray:
  """[S] bool: sessions that the ends of the log cannot have cut.

  They neither begin nor end within a usual session's length of them.
  """
  table = state.places()
  timed = not (table['first_time'].has_nulls() or table['last_time'].has_nulls())
  unit = 'time' if timed else 'line'
  first, last = (table[f'{end}_{unit}'].to_numpy() for end in ('first', 'last'))
  length = np.quantile(last - first, 0.99)
  return (first - first.min() > length) & (last.max() - last > length)


def incomplete(
  whole: np.ndarray, bags: sparse.csr_matrix, alpha: float
) -> dict[tuple[str, int], np.ndarray]:
  """(kind, template) -> sessions that lack what nearly all others have, or repeat it.

  However odd they are: a share of at most `alpha` of those that are `whole` [S] bool.
  """
  number = int(whole.sum())
  if number < _LEAST:
    return {}
  held = np.asarray(bags[whole].sign().sum(axis=0)).ravel()
  chosen: dict[tuple[str, int], np.ndarray] = {}
  for template in np.flatnonzero(held >= (1 - alpha) * number).tolist():
    counts = bags[:, template].toarray().ravel()
    for kind, hit in (('missing', whole & (counts == 0)), ('burst', counts > 1)):
      rows = np.flatnonzero(hit)
      known = any(np.isin(rows, other).all() for other in chosen.values())
      if 0 < len(rows) <= alpha * number and not known:
        chosen[kind, template] = rows
  return chosen


def unusual_orders(
  table: pl.DataFrame, alpha: float, good: pl.DataFrame | None = None
) -> pl.DataFrame:
  """Rows of `Sessions.order` that are not as expected, with their `surprise`.

  The chance that a record is followed by something that never followed it is estimated
  by the share of those that did so once (Good 1953).
  """
  usual = table if good is None else good
  stats = usual.group_by('before').agg(
    pl.col('count').sum().alias('total'), (pl.col('count') == 1).sum().alias('once')
  )
  stats = stats.filter(pl.col('total') >= _OFTEN)
  common = usual.group_by('after').agg(pl.col('count').sum().alias('seen'))
  if good is None:
    odd = table.filter(pl.col('count') == 1)
  else:
    odd = table.join(good.select('before', 'after'), on=('before', 'after'), how='anti')
  odd = odd.join(stats, on='before').join(common, on='after')
  p = (pl.col('once') + int(good is not None)) * len(stats) / pl.col('total')
  odd = odd.filter(pl.col('seen') >= _OFTEN).with_columns(surprise=-p.log(10))
  return odd.filter(pl.col('surprise') >= -np.log10(alpha)).sort('before', 'after')


def place(row: dict[str, Any], end: str, files: Sequence[str]) -> windows.Place:
  """The first or last place of a row of `Sessions.places` or of cells."""
  file, line, time = (row[f'{end}_{name}'] for name in ('file', 'line', 'time'))
  return windows.Place(files[file], line, windows.iso(time))


def _distinct(bags: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """First row of each different bag, which one each row has, and how often it is."""
  mix = np.uint64(0x9E3779B97F4A7C15)
  with np.errstate(over='ignore'):
    cell = (bags.indices.astype(np.uint64) + np.uint64(1)) * mix
    cell ^= bags.data.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
    cell = (cell ^ (cell >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    cell ^= cell >> np.uint64(32)
    total = np.concatenate([[np.uint64(0)], np.cumsum(cell, dtype=np.uint64)])
    hashes = total[bags.indptr[1:]] - total[bags.indptr[:-1]]
  _, first, back, times = np.unique(
    hashes, return_index=True, return_inverse=True, return_counts=True
  )
  return first, back, times.astype(np.float64)


def _find(group: str, codes: np.ndarray, block: Any) -> session_keys.SessionKey | None:
  if group == 'auto':
    return session_keys.find(block.message, block.fields, codes)
  if group in block.fields:
    return session_keys.SessionKey(group, field=group)
  known = []
  for key, _ in session_keys.candidates(block.message, block.fields):
    known.append(key.name)
    if key.name == group.lower():
      return dataclasses.replace(key)
  known = [*block.fields, *known]
  raise errors.unknown_choice('--group', group, ['auto', 'none', *dict.fromkeys(known)])
