"""What a follower of a scan knows of the past, and its bounds."""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from metalog_jax import errors
from metalog_jax.logs import clock as clocks
from metalog_jax.logs import general_masks, merge, messages, packed
from metalog_jax.logs import times as times_lib
from metalog_jax.scanning import counted, windows

WINDOWS = 256  # that are remembered
TEMPLATES = 10_000  # above it the rarer half is forgotten, and new if it returns
SAID = '.said'  # the column of times as they stand
_KEY = ('window', 'template', 'value')


@dataclasses.dataclass
class Memory:
  """Counts of windows of the past, templates, and which findings go on."""

  templates: Any
  width: windows.Width | None
  files: list[str]  # names that lines were read under, such as app.log and app.log.1
  cells: pl.DataFrame = dataclasses.field(default_factory=pl.DataFrame)
  number: int | None = None  # of the window that is open
  origin: int | None = None  # of the first window
  clock: clocks.Clock = dataclasses.field(default_factory=clocks.Clock)
  records: int = 0
  lines: int = 0
  windows: int = 0
  learned: bool = False  # the first windows were judged
  strays: int = 0  # times that were not believed
  uncommitted: int = 0  # records since state was saved
  active: dict[str, int] = dataclasses.field(default_factory=dict)
  found: dict[str, int] = dataclasses.field(default_factory=dict)  # by kind
  last_read: float = dataclasses.field(default_factory=time.monotonic)

  @property
  def filled(self) -> int:
    """Windows that are remembered."""
    return self.cells['window'].n_unique() if len(self.cells) else 0

  def file_number(self, name: str) -> int:
    """The place of a name in `files`, at whose end a new one is put."""
    if name not in self.files:
      self.files.append(name)
    return self.files.index(name)

  def rename(self, old: str, new: str) -> None:
    """Gives a file a new name; what comes under the old one has another number."""
    self.files = [new if name == old else name for name in self.files]

  def learn(self, cells: pl.DataFrame) -> None:
    """Remembers a window; the oldest go where there are too many."""
    if not len(self.cells):
      self.cells = cells
      return
    cells = cells.select(self.cells.columns)
    if cells['window'].to_numpy().min() <= self.cells['window'].to_numpy().max():
      self.cells = windows.join(pl.concat([self.cells, cells]), _KEY)
    else:
      self.cells = pl.concat([self.cells, cells], rechunk=True)
    if self.filled > WINDOWS:
      least = self.cells['window'].unique().sort()[-WINDOWS]
      self.cells = self.cells.filter(pl.col('window') >= least)

  def forget_texts(self) -> None:
    """Drops the samples, which only windows that are judged need."""
    self.cells = self.cells.with_columns(text=pl.lit(''))

  def parts(self, frame: pl.DataFrame) -> Iterator[tuple[int, pl.DataFrame]]:
    """(window, records) of the windows that a frame falls into.

    A window goes by the log's clock, so that late lines count where they come.
    """
    assert self.width is not None
    trial = dataclasses.replace(self.clock, ahead=[*self.clock.ahead])
    clock, believed = trial.read(_micro(frame['time']))
    frame = frame.with_columns(
      pl.col('time').alias(SAID),
      pl.when(pl.Series(believed)).then('time').alias('time'),
      pl.Series(merge.KEY, clock),
    )
    if self.width.timed:
      numbers = clock // (self.width.size * 1_000_000)
    else:
      numbers = (self.records + np.arange(len(frame))) // self.width.size
    starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(frame)]):
      yield int(numbers[start]), frame[start:end]

  def go_on(self, part: pl.DataFrame) -> np.ndarray:
    """Moves the clock by records of `parts` that are counted; which are believed."""
    return self.clock.read(_micro(part[SAID]))[1]

  def without_words(self, cells: pl.DataFrame) -> pl.DataFrame:
    """Leaves as values the small numbers alone: of frozen templates others vary."""
    wild = [
      i
      for i, text in enumerate(self.templates.texts)
      if general_masks.VALUE_NAME not in text
    ]
    return windows.join(counted.without_words(cells, wild), _KEY)

  def is_going_on(self, name: str, window: int, quiet: int) -> bool:
    """Whether a finding was there a short while ago; notes that it is there now."""
    before = self.active.get(name)
    self.active[name] = window
    if len(self.active) > TEMPLATES:
      recent = sorted(self.active.items(), key=lambda item: item[1])
      self.active = dict(recent[TEMPLATES // 2 :])
    return before is not None and window - before <= quiet

  def renew(self) -> np.ndarray | None:
    """Takes up its own saved state, so that who resumes goes on as if never ended.

    The new numbers of templates, -1 for none, where some were forgotten.
    """
    place = None
    self.uncommitted = 0
    content = self.templates.to_json()
    rows = content['templates']
    if len(rows) > TEMPLATES:
      counts = np.array([row['count'] for row in rows])
      kept = np.sort(np.argsort(-counts, kind='stable')[: TEMPLATES // 2])
      content['templates'] = [rows[i] for i in kept.tolist()]
      place = np.full(len(rows), -1)
      place[kept] = np.arange(len(kept))
      number = pl.Series(place).gather(self.cells['template'])
      self.cells = self.cells.with_columns(template=number)
      self.cells = self.cells.filter(pl.col('template') >= 0)
    self.templates = messages.Templates.from_json(content, 'templates')
    return place

  def to_json(self) -> dict[str, Any]:
    """All of it; cells as Parquet in base 64."""
    names = ('origin', 'records', 'lines', 'windows', 'strays', 'learned')
    return {
      'width': list(self.width) if self.width else None,
      'clock': [self.clock.now, self.clock.ahead],
      'files': self.files,
      **{name: getattr(self, name) for name in (*names, 'active', 'found')},
      'templates': self.templates.to_json(),
      'cells': packed.to_text(self.cells),
    }

  @classmethod
  def from_json(
    cls, content: dict[str, Any], files: list[str], source: str
  ) -> 'Memory':
    """What `to_json` gave; raises UserError where it is something else.

    Args:
      files: that are followed, which is all that states of old know.
    """
    try:
      content = {'files': files} | content
      cells = packed.from_text(content.pop('cells'))
      templates = messages.Templates.from_json(content.pop('templates'), source)
      width, clock = content.pop('width'), clocks.Clock(*content.pop('clock'))
      wide = windows.Width(*width) if width else None
      return cls(templates, wide, cells=cells, clock=clock, **content)
    except (KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
      if isinstance(error, errors.UserError):
        raise
      raise errors.UserError(f'{source} is damaged: {error!r}') from error


def _micro(column: pl.Series) -> np.ndarray:
  return column.dt.timestamp('us').fill_null(times_lib.NAT).to_numpy()
