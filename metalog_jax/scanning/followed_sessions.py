"""Sessions of a log that is followed: which ended, and which of them are odd.

The id that groups records is found from the first ones, and sessions end as
`logs.open_sessions` says. Those that ended within a window are judged when it closes,
as `scan` judges sessions, beside the last `PAST` before them or a baseline's.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from metalog_jax import errors
from metalog_jax.logs import open_sessions, packed, session_keys
from metalog_jax.logs import sessions as sessions_lib
from metalog_jax.scanning import session_findings, session_scores, sessions
from metalog_jax.scanning.counted import Counted
from metalog_jax.scanning.findings import Finding

TIMEOUT = '10m'
OPEN = 20_000  # sessions that are open at once
SAMPLE = 5_000  # records from which the id that groups them is found
PAST = 2_000  # sessions that others are held against
LEARNED = 5_000  # sessions that are judged together, at most
_WAITING = 1_000  # sessions that ended and are judged whatever the clock says
_EVENTS = 5_000  # of a session, that are looked at
_PAIRS = 100_000  # of templates, one after the other, that are remembered
_FORGOTTEN = -(1 << 30)  # an event whose template was forgotten


class FollowedSessions:
  """Sessions that are open, that wait to be judged, and that are held against.

  Their events are codes of messages, or -1 - template since codes began anew.
  """

  def __init__(self, group: str, timeout: str, good: sessions.Sessions | None = None):
    """Groups as `sessions.Sessions` does; `good`: those of a baseline."""
    self._group, self.key = group, good.key if good else None
    self._asked = group == 'none' or self.key is not None
    self._waiting: list[tuple[np.ndarray, Any, str, int]] = []
    cut = sessions_lib.Cut(max_events=_EVENTS)
    self.open = open_sessions.OpenSessions(cut, timeout or TIMEOUT, OPEN)
    self._ended: list[open_sessions.Session] = []
    self._learns, self._past = not good, good if self.key else None
    self.number = 0  # sessions that were judged
    self.dropped = 0  # those that were too many while there was nothing to judge by

  def add(self, codes: np.ndarray, block: Any, file: str, lines: int) -> None:
    """Takes a block of records of one file; `lines` came before them."""
    if self._asked:
      return self._take(codes, block, file, lines)
    self._waiting.append((codes, block, file, lines))
    if sum(len(block) for _, block, _, _ in self._waiting) >= SAMPLE:
      self._find()

  def _find(self) -> None:
    """Finds what groups the first records, and takes them."""
    self._asked = True
    blocks = [block for _, block, _, _ in self._waiting]
    names = dict.fromkeys(name for block in blocks for name in block.fields)
    absent = lambda block: pl.Series([None] * len(block), dtype=pl.String)
    joined = lambda columns: pl.concat([*columns]).head(SAMPLE)
    columns = {
      name: joined(block.fields.get(name, absent(block)) for block in blocks)
      for name in names
    }
    said = joined(block.message for block in blocks)
    codes = np.concatenate([codes for codes, *_ in self._waiting])[:SAMPLE]
    first = dataclasses.replace(blocks[0], message=said, fields=columns)
    self.key = sessions.find(self._group, codes, first)
    for item in self._waiting:
      self._take(*item)
    self._waiting.clear()

  def _take(self, codes: np.ndarray, block: Any, file: str, lines: int) -> None:
    if self.key is None:
      return
    rows, names, index = sessions.named(self.key, block)
    line = np.asarray(block.line, np.int64)
    shift = int(line[0]) - lines - 1
    time = np.asarray(block.time, 'datetime64[us]')
    seconds = np.where(np.isnat(time), np.nan, time.astype(np.int64) / 1e6)
    frame = pl.DataFrame(
      {
        'entity': pl.Series(names, dtype=pl.String).gather(index),
        'number': line[rows] - shift,
        'code': np.asarray(codes, np.int64)[rows],
        'time': pl.Series(seconds[rows]).fill_nan(None),
      }
    )
    text = lambda n: block.text[int(np.searchsorted(line, n + shift))][: sessions.TEXT]
    self._ended += self.open.add(frame, file, shift, text)
    if self._past is None and len(self._ended) > 2 * LEARNED:
      self.dropped += len(self._ended) - LEARNED
      del self._ended[:-LEARNED]

  def rename(self, old: str, new: str) -> None:
    """Gives a file a new name in sessions that are not judged yet."""
    self.open.rename(old, new)
    open_sessions.rename(self._ended, old, new)
    self._waiting = [
      (codes, block, new if file == old else file, lines)
      for codes, block, file, lines in self._waiting
    ]

  @property
  def waits(self) -> bool:
    """Whether sessions ended that were not judged."""
    return bool(self._ended)

  def is_due(self, seconds: float) -> bool:
    """Whether sessions that wait would do so for too long until another window ends.

    Half the timeout that they waited for already is not: few sessions are as much work
    as many. By the log's clock alone, so that who resumes judges the same together.

    Args:
      seconds: of a window; inf where it has no length in time.
    """
    if not self._ended or len(self._ended) >= _WAITING:
      return bool(self._ended)
    waited = self.open.clock - self._ended[0].clock  # nan where there are no times
    patience = self.open.patience
    return patience == np.inf or not waited + seconds <= 1.5 * patience

  def end_all(self) -> None:
    """Ends what is open."""
    if self._waiting:
      self._find()
    self._ended += self.open.end_all()

  def judge(self, counted: Counted, group: np.ndarray, alpha: float) -> list[Finding]:
    """Findings about the sessions that ended since, which are learned then.

    There are none until enough have ended to be held against each other.

    Args:
      group: the template of each code.
    """
    ended, good = self._ended, self._past
    if not ended or (good is None and len(ended) < session_scores.LEAST):
      return []
    self._ended = []
    self.number += len(ended)
    width = len(counted.texts)
    same = np.arange(width)
    state = self._counted(ended, group, list(counted.files))
    whole = np.ones(len(ended), bool)
    judged = session_findings.judge(counted, state, good, same, alpha, whole)
    items = session_findings.build(counted, state, judged, alpha) if judged else []
    named = dict(zip(state.names, ended))
    for item in items:
      _quote(item, [named[name] for name in item.windows], group)
    if self._learns:
      self._learn(state)
    return items

  def _counted(
    self, ended: list, group: np.ndarray, files: list[str]
  ) -> sessions.Sessions:
    """Sessions that ended as those that `scan` counts, by template."""
    names: dict[str, None] = {}
    for session in ended:
      name = session.name
      while name in names:  # one that went on after it had ended
        name += '+'
      names[name] = None
    ends = [_ends(session, files) for session in ended]
    places = {
      'session': np.arange(len(ended)),
      'records': [session.size for session in ended],
      'text': [session.texts.get(session.events[-1], '') for session in ended],
      **{end: [row[end] for row in ends] for end in ends[0]},
    }
    number = np.repeat(np.arange(len(ended)), [len(s.events) for s in ended])
    codes = np.concatenate([session.events for session in ended])
    events = templates_of(codes, group)
    known = events >= 0
    pair, count = np.unique(
      np.stack([number[known], events[known]]), axis=1, return_counts=True
    )
    bags = {'session': pair[0], 'code': pair[1], 'count': count}
    after = 1 + np.flatnonzero(known[1:] & known[:-1] & (np.diff(number) == 0))
    pair, first, count = np.unique(
      np.stack([events[after - 1], events[after]]),
      axis=1, return_index=True, return_counts=True,
    )  # fmt: skip
    first = after[first]
    begins = np.searchsorted(number, number[first])
    rows = [(ended[i], ends[i], i) for i in number[first].tolist()]
    at_pairs = [
      session.place_of(session.lines[at])
      for (session, *_), at in zip(rows, (first - begins).tolist())
    ]
    order = {
      'before': pair[0], 'after': pair[1], 'count': count,
      'first_session': [i for *_, i in rows],
      'first_file': [files.index(place['file']) for place in at_pairs],
      'first_line': [place['line'] for place in at_pairs],
      'first_time': [end['last_time'] for _, end, _ in rows],
      'text': [
        session.texts.get(code, '')
        for (session, *_), code in zip(rows, codes[first].tolist())
      ],
    }  # fmt: skip
    return sessions.Sessions.of(self.key, list(names), (bags, order, places))

  def _learn(self, state: sessions.Sessions) -> None:
    """Puts sessions behind those that others are held against; the last ones stay."""
    (bags, order), past = state.tables, self._past.kept if self._past else None
    if past:
      before = past['bags']['session'].to_numpy()
      shift = int(before.max(initial=-1)) + 1
      number = np.append(before, bags['session'].to_numpy() + np.int32(shift))
      number -= np.int32(max(int(number.max(initial=0)) + 1 - PAST, 0))
      bags = pl.concat([past['bags'], bags], rechunk=True)
      bags = bags.with_columns(session=pl.Series(number))
      bags = bags.filter(pl.Series(number >= 0))
      order = pl.concat([past['order'], order])
    order = sessions.summed_order(order).with_columns(text=pl.lit(''))
    if len(order) > _PAIRS:
      order = order.top_k(_PAIRS // 2, by='count')
    self._past = sessions.Sessions.from_frames({'bags': bags, 'order': order}, self.key)

  def renew(self, group: np.ndarray, place: np.ndarray | None) -> None:
    """Makes templates of codes, which are about to begin anew.

    Args:
      group: the template of each code.
      place: the new number of each template, -1 for none; None: the same.
    """
    if self._waiting:
      self._find()
    new = lambda x: x if place is None else np.where(x < 0, -1, place[x])
    for session in (*self.open.peek(), *self._ended):
      templates = new(templates_of(session.events, group))
      events = np.where(templates < 0, _FORGOTTEN, -1 - templates).tolist()
      texts: dict[int, str] = {}
      for old, event in zip(session.events, events):
        texts.setdefault(event, session.texts.get(old, ''))
      session.events, session.texts = events, texts
    if place is not None and self._past is not None:
      frames = self._past.kept
      for name, columns in (('bags', ['code']), ('order', ['before', 'after'])):
        table = frames[name]
        for column in columns:
          numbers = pl.Series(new(table[column].to_numpy()), dtype=pl.Int64)
          table = table.with_columns(numbers.alias(column))
        frames[name] = table.filter(pl.all_horizontal(pl.col(columns) >= 0))
      self._past = sessions.Sessions.from_frames(frames, self.key, len(place))

  def to_json(self) -> dict[str, Any]:
    """All of it, after `renew`."""
    past = self._past.kept if self._past and self._learns else {}
    return {
      'key': dataclasses.asdict(self.key) if self.key else None,
      'asked': self._asked,
      'number': self.number,
      'dropped': self.dropped,
      'open': self.open.to_json(),
      'ended': open_sessions.to_text(self._ended),
      'past': {name: packed.to_text(table) for name, table in past.items()},
    }

  def restore(self, saved: dict[str, Any], templates: int, source: str) -> None:
    """Takes up what `to_json` gave, beside a state of so many templates.

    Raises UserError where it is something else.
    """
    try:
      content = saved['sessions']
      key = content['key']
      self.key = session_keys.SessionKey.from_json(key) if key else None
      self._asked, self.number = bool(content['asked']), int(content['number'])
      self.dropped = int(content['dropped'])
      self.open.restore(content['open'])
      self._ended = open_sessions.from_text(content['ended'])
      for session in (*self.open.peek(), *self._ended):
        codes = np.array(session.events)
        known = (codes < 0) & ((codes >= -templates) | (codes == _FORGOTTEN))
        if not known.all():
          raise ValueError(f'session {session.name} has an event that is none')
      if content['past']:
        past = {name: packed.from_text(text) for name, text in content['past'].items()}
        self._past = sessions.Sessions.from_frames(past, self.key, templates)
    except (KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
      raise errors.UserError(f'{source} is damaged: {error!r}') from error


def _ends(session: open_sessions.Session, files: list[str]) -> dict[str, Any]:
  out: dict[str, Any] = {}
  for end, place in (('first', session.first), ('last', session.last)):
    seconds = session.time if end == 'first' else session.last_time
    out[f'{end}_file'] = files.index(place['file'])
    out[f'{end}_line'] = place['line']
    out[f'{end}_time'] = None if seconds != seconds else round(seconds * 1e6)
  return out


def templates_of(events: Sequence[int] | np.ndarray, group: np.ndarray) -> np.ndarray:
  """The template of each event, -1 where it was forgotten."""
  codes = np.array(events, np.int64)
  before = np.where(codes == _FORGOTTEN, -1, -1 - codes)
  if not len(group):
    return before
  return np.where(codes < 0, before, group[np.maximum(codes, 0)])


def _quote(item: Finding, odd: list, group: np.ndarray) -> None:
  """Samples of the template that an odd session has, from the sessions themselves."""
  if item.kind not in ('rare', 'burst', 'drop'):
    return
  samples = []
  for session in odd[:5]:
    events = templates_of(session.events, group)
    at = np.flatnonzero(events == item.template_id)
    if len(at):
      text = session.texts.get(session.events[at[0]], '')
      place = session.place_of(session.lines[at[0]])
      samples.append(place | {'time': None, 'text': text})
  item.samples = samples or item.samples
