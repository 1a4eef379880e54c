"""What groups the records of an unknown system into sessions: a kind of id.

A kind is a field, such as `trace_id`, or what stands before ids in messages: the
`blk_` of `blk_-16089`, the `instance` of `instance: 0b6f2c3e-...`, the `session` of
`session=4f2a91`. It groups records where a large share of them hold one, its values
are many, and most come back in records of another template. The first word of lines
with words before the time, such as `Test_7/round_2`, is a kind too, where it has digits
and each of its values is soon over: a run, and not a host.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

_BEFORE = 'before'  # the field of words before the time, as `learned` names it
_SAMPLE = 50_000  # records that are looked at
_SHARE = 0.3  # least share of the records that hold an id
_VALUES = 20  # fewest ids
_RETURN = 0.6  # least share of the ids that come back in a record of another template
_REACH = 0.5  # share of the sample over which half of the ids may reach at most, where
_LARGEST = 0.2  # one id has more than this share of the records: that is a thread

Texts = Sequence[str | None] | pl.Series  # [n], None where a record has none

_UUID = '[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}'
_NAMES = (
  'trace|request|req|session|sess|correlation|transaction|txn|tx|call|conn|connection'
  '|context|job|task|order|process|flow|message|msg|batch|upload|ticket|run|build'
)
_OPENS = '["\'\\[(]?'
# What stands before a kind, what a kind is, and what follows: the id, a group.
PATTERNS = (
  (r'\b', '[A-Za-z]{2,20}[_-]', rf'({_UUID})\b'),
  (r'\b', '[A-Za-z]{2,20}_', r'(-?[0-9]{4,}(?:_[0-9]+)*)\b'),
  (r'\b', '[A-Za-z]{2,20}', rf'["\']?[:=]? *{_OPENS}({_UUID})\b'),
  (r'\b', f'(?:{_NAMES})[_-]?id', rf'["\']?[:= ] *{_OPENS}([A-Za-z0-9-]{{4,40}})\b'),
  (
    r'\b',
    f'(?:{_NAMES})',
    rf'["\']?[:=#] *{_OPENS}([A-Za-z0-9-]*[0-9][A-Za-z0-9-]*)\b',
  ),
  (r'\b', f'(?:{_NAMES})', r' #?((?:[A-Z]{1,10}-)?[0-9]{3,})\b'),
  ('', r'\[', r'([0-9a-f]{12,32})\]'),
  (r'\b', f'(?:{_NAMES})[_-]', r'([0-9]{3,}|[0-9a-f]{6,40}|[0-9A-Z]{6,40})\b'),
)
_FOLLOWING = (0, 1)  # of these, all that follows the kind is the id
_FIELD = re.compile(
  rf'(?i)(?:.*[._-])?(?:{_NAMES}|span|block|instance|uu|mdc)?[._-]?(?:id|uuid|guid)'
  r'|.*(?:trace|request|session|correlation|transaction)[._-]?(?:id|uuid)?'
)


@dataclasses.dataclass(frozen=True)
class SessionKey:
  """A kind of id that groups records."""

  name: str  # such as 'blk_', 'instance' or 'trace_id'
  field: str = ''  # the field that holds it; '' where messages do
  pattern: int = -1  # of PATTERNS, where messages hold it
  share: float = 0.0  # of the sampled records that hold one

  @classmethod
  def from_json(cls, content: dict[str, Any]) -> 'SessionKey':
    """What `dataclasses.asdict` gave; raises TypeError or ValueError for all else."""
    key = cls(**content)
    is_text = isinstance(key.name, str) and isinstance(key.field, str)
    if not is_text or key.pattern not in range(-1, len(PATTERNS)):
      raise ValueError(f'no kind of id: {content!r}')
    if not key.field and key.pattern < 0:
      raise ValueError('an id that nothing holds')
    return key

  def sessions(
    self, messages: Texts, fields: Mapping[str, Texts]
  ) -> tuple[np.ndarray, pl.Series]:
    """Pairs of record and session, in order of records.

    Args:
      messages: [n].
      fields: name -> [n]; None where a record has none.

    Returns:
      Indices of records [m] and the id each belongs to [m]. A record may belong to
      several sessions or to none.
    """
    if self.field:
      column = pl.Series('id', fields.get(self.field, ()), dtype=pl.String)
      given = _given(column)
      return given.arg_true().to_numpy().astype(np.int64), column.filter(given)
    table = _ids(pl.Series(messages, dtype=pl.String), self.pattern, self.name)
    if len(table) and (table['row'].diff() == 0).any():
      table = table.unique(('row', 'id'), maintain_order=True)
    return table['row'].to_numpy().astype(np.int64), table['id']


def find(
  messages: Texts,
  fields: Mapping[str, Texts],
  templates: Sequence[int] | np.ndarray,
) -> SessionKey | None:
  """The kind of id that groups records best, from a sample in order of time.

  Args:
    messages: [n]; the first 50,000 are looked at.
    fields: name -> [n]; None where a record has none.
    templates: the template of each record [n] int.

  Returns:
    The key; None where no kind is convincing.
  """
  best, best_score = None, 0.0
  for key, table in candidates(messages[:_SAMPLE], fields):
    run = key.field == _BEFORE
    share, score = _rate(table, np.asarray(templates[:_SAMPLE]), run)
    if score > best_score:
      best, best_score = dataclasses.replace(key, share=round(share, 4)), score
  return best


def candidates(
  messages: Texts, fields: Mapping[str, Texts]
) -> Iterator[tuple[SessionKey, pl.DataFrame]]:
  """Kinds, each with a table of records and their ids."""
  count = len(messages)
  for name, column in fields.items():
    if _FIELD.fullmatch(name) or name == _BEFORE:
      ids = pl.Series('id', column[:count], dtype=pl.String)
      rows = np.arange(len(ids))
      frame = pl.DataFrame({'row': rows, 'id': ids}).filter(_given(ids))
      if name == _BEFORE:
        first = pl.col('id').str.extract(r'^(\S*\d\S*)')
        frame = frame.with_columns(id=first).drop_nulls()
      yield SessionKey(name, field=name), frame
  texts = pl.Series(messages, dtype=pl.String)
  for number in range(len(PATTERNS)):
    table = _ids(texts, number)
    for (kind,), part in table.group_by(['kind'], maintain_order=True):
      yield SessionKey(kind, pattern=number), part.select('row', 'id')


def _given(ids: pl.Series) -> pl.Series:
  """Which of the texts [n] are an id; bool."""
  return (~ids.is_in(['', '-', 'null', 'None'])).fill_null(False)


def _ids(texts: pl.Series, number: int, kind: str = '') -> pl.DataFrame:
  """Columns row, kind and id, a row for every id; of one kind, or of all."""
  before, kinds, after = PATTERNS[number]
  pattern = f'{before}((?i:{re.escape(kind) if kind else kinds})){after}'
  found = texts.str.extract_all(pattern)
  table = pl.DataFrame({'row': np.arange(len(texts)), 'text': found})
  table = table.filter(pl.col('text').list.len() > 0).explode('text')
  text = pl.col('text').str
  name = pl.lit(kind) if kind else text.extract(pattern, 1).str.to_lowercase()
  if kind and number in _FOLLOWING:
    return table.select('row', kind=name, id=text.slice(len(kind)))
  return table.select('row', kind=name, id=text.extract(pattern, 2))


def _rate(
  table: pl.DataFrame, templates: np.ndarray, run: bool = False
) -> tuple[float, float]:
  """The share of records that hold an id, and how well ids group; 0 for not at all.

  Args:
    run: ids are runs: each is soon over.
  """
  count = len(templates)
  share = table['row'].n_unique() / max(count, 1)
  if share < _SHARE:
    return share, 0.0
  table = table.with_columns(template=templates[table['row'].to_numpy()])
  sessions = table.group_by('id').agg(
    templates=pl.col('template').n_unique(),
    size=pl.len(),
    reach=pl.col('row').max() - pl.col('row').min(),
  )
  returning = sessions.filter(pl.col('templates') > 1)
  if len(sessions) < _VALUES or len(returning) < _RETURN * len(sessions):
    return share, 0.0
  reach = float(np.median(returning['reach'].to_numpy())) / count
  largest = int(sessions['size'].to_numpy().max())
  if reach > _REACH and (run or largest > _LARGEST * count):
    return share, 0.0
  return share, share * len(returning) / len(sessions) * (1.5 - reach)
