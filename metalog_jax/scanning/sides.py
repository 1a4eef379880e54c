"""What records are of beside their template: who wrote them, and how long it took.

Who writes (a host, a pod, a file) may fall silent while others do not; a duration, a
share or the length of a queue may become larger while the message stays the same. Both
are counted as series of their own: records of one source, and records of one template
whose number is so large or larger.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from metalog_jax.logs import quantities, repeats
from metalog_jax.scanning import windows

_SOURCE = re.compile(
  r'(?i)(?:.*[._-])?(?:host|hostname|host[._-]name|node|nodename|node[._-]name|instance'
  r'|instance[._-]id|pod|pod[._-]?name|container|container[._-]?name|service'
  r'|service[._-]?name|app|application|server|worker|shard|replica)'
)
_MOST = 64  # sources of one kind
_USUAL, _LEAST = 0.8, 5  # share at most, and number, of records above a threshold
_THRESHOLDS = 12  # of one template
_RISING = 0.95  # share of its steps that a counter goes up
_MARK = '#'  # of names of numbers: kind, place on the grid, field
ALL = -1  # the template of a source


class Side(NamedTuple):
  """A series: of a source, or of the numbers of a template from some place on."""

  template: int  # ALL for a source
  name: str  # host=db1, or 500 ms or more
  field: str  # host; '' for numbers
  kind: str  # of the numbers, of `quantities.KINDS`
  place: int  # on the grid, and the usual one
  usual: int


class Sides:
  """Finds sources and numbers in records; remembers which codes have numbers."""

  def __init__(self) -> None:
    self._pattern = np.zeros(0, np.int64)  # of each code; -1 for none
    self._last = np.zeros(0)  # number of each code
    self._steps = np.zeros((2, 0), np.int64)  # of each code, up and down
    self._sources: dict[str, set[str]] = {}

  def of(self, codes: np.ndarray, block: Any) -> Iterator[windows.Beside]:
    """What `windows.Windows.add` takes as sides.

    Args:
      codes: [n] of `messages.Templates`.
      block: a `records.Records`.
    """
    whole = np.full(len(codes), ALL, np.int64)
    for name, column in block.fields.items():
      known = self._sources.setdefault(name, set())
      if not _SOURCE.fullmatch(name) or len(known) > _MOST:
        continue
      known.update(column.unique().drop_nulls().head(_MOST + 1).to_list())
      if len(known) <= _MOST:
        names, index = repeats.encode(column.drop_nulls())
        source = np.full(len(codes), -1)
        source[column.is_not_null().to_numpy()] = index
        yield windows.Beside(whole, source, [f'{name}={x}' for x in names])
    files, file = repeats.numbers(np.asarray(block.file, np.int64))
    yield windows.Beside(whole, file, [f'file={number}' for number in files.tolist()])
    yield from self._numbers(np.asarray(codes, np.int64), block)

  def counters(self, group: np.ndarray) -> list[int]:
    """Templates whose numbers only rise, as a time since the start does.

    Args:
      group: the template of each code.
    """
    up, down = (
      np.bincount(group[: len(steps)], steps, len(group)) for steps in self._steps
    )
    return np.flatnonzero((up > 3) & (up > _RISING * (up + down))).tolist()

  def _numbers(self, codes: np.ndarray, block: Any) -> Iterator[windows.Beside]:
    new = max(0, int(codes.max()) + 1 - len(self._pattern))
    first = len(self._pattern)
    self._pattern = np.pad(self._pattern, (0, new), constant_values=-1)
    self._last = np.pad(self._last, (0, new), constant_values=np.nan)
    self._steps = np.pad(self._steps, ((0, 0), (0, new)))
    if new:
      fresh, rows = np.unique(codes, return_index=True)
      fresh, rows = fresh[fresh >= first], rows[fresh >= first]
      self._pattern[fresh] = quantities.pattern_of(block.message.gather(rows))
    values, kinds = np.full(len(codes), np.nan), np.ones(len(codes), np.int64)
    pattern = self._pattern[codes]
    for number in np.unique(pattern[pattern >= 0]).tolist():
      rows = np.flatnonzero(pattern == number)
      read = quantities.of_messages(block.message.gather(rows), number)
      values[rows], kinds[rows] = read
    field = ''
    if (pattern < 0).any() and (of_fields := quantities.of_fields(block.fields)):
      values = np.where(pattern < 0, of_fields[0], values)
      kinds = np.where(pattern < 0, of_fields[1], kinds)
      field = of_fields[2].replace(':', '-')
    rows = np.flatnonzero(~np.isnan(values))
    if not len(rows):
      return
    self._step(codes[rows], values[rows])
    places = quantities.place(values[rows], kinds[rows])
    keys = (places * 3 + kinds[rows]) * 2 + (pattern[rows] < 0)
    keys, back = repeats.numbers(keys)
    names = [
      f'{_MARK}{quantities.KINDS[key // 2 % 3]}:{key // 6}:{field * (key % 2)}'
      for key in keys.tolist()
    ]
    number = np.full(len(codes), -1)
    number[rows] = back
    yield windows.Beside(codes, number, names)

  def _step(self, codes: np.ndarray, values: np.ndarray) -> None:
    """Counts how often the numbers of a code rise and fall."""
    order = np.argsort(codes, kind='stable')
    codes, values = codes[order], values[order]
    before = np.roll(values, 1)
    begins = np.diff(codes, prepend=-1) != 0
    before[begins] = self._last[codes[begins]]
    self._last[codes[np.append(begins[1:], True)]] = values[np.append(begins[1:], True)]
    for steps, hit in zip(self._steps, (values > before, values < before)):
      steps += np.bincount(codes[hit], minlength=len(steps))


def table(seen: windows.Windows, templates: Any, sides: Sides) -> pl.DataFrame:
  """The sides of a state by window, template and name, as a baseline keeps them."""
  cells, group = seen.sides, templates.group()
  codes = cells['template'].to_numpy()
  template = np.where(
    codes < 0, ALL, group[np.maximum(codes, 0)] if len(group) else ALL
  )
  cells = cells.with_columns(template=pl.Series(template, dtype=pl.Int64))
  cells = cells.filter(~pl.col('template').is_in(sides.counters(group)))
  return windows.join(cells, ('window', 'template', 'name'))


def checked(table: pl.DataFrame, templates: int, cells: pl.DataFrame) -> pl.DataFrame:
  """The sides of a file of so many templates, whose windows are those of the cells.

  Raises ValueError, IndexError or PolarsError where it holds what none does.
  """
  above = table.with_columns(pl.col('template') - ALL)  # ALL is below 0
  limits = {'template': templates - ALL, 'severity': 4}
  table = windows.checked(above, windows.SIDES, limits)
  table = table.with_columns(pl.col('template') + ALL)
  first, last = windows.ends(cells)
  number = rf'^{_MARK}(?:{"|".join(quantities.KINDS)}):[0-9]{{1,4}}:[^:]*$'
  is_source = pl.col('name').str.contains('^[^=]+=') & (pl.col('template') == ALL)
  is_number = pl.col('name').str.contains(number) & (pl.col('template') > ALL)
  fits = (is_source | is_number) & pl.col('window').is_between(first, last)
  if not table.select(fits.all()).item():
    raise ValueError('a side has no such name or window')
  for name in table.filter(is_number)['name'].unique():
    kind, place, _ = name.removeprefix(_MARK).split(':')
    quantities.said(kind, int(place))
  return table


def number(
  begin: int, files: Sequence[str], *tables: pl.DataFrame
) -> tuple[dict[int, Side], list[pl.DataFrame]]:
  """Sides that are counted, and the cells of each table by their numbers.

  Args:
    begin: the first number.
    files: names of the files of the first table.
  """
  sums = [t.group_by('template', 'name').agg(pl.col('count').sum()) for t in tables]
  total = pl.concat(sums).group_by('template', 'name').agg(pl.col('count').sum())
  sides: dict[int, Side] = {}
  keys = []  # template, name, number: which cells make a side
  sources: dict[str, list[str]] = {}
  numbers: dict[tuple[int, str, str], dict[int, np.ndarray]] = {}
  usual = sums[-1].rename({'count': 'usual'})  # of a baseline, where there is one
  total = total.join(usual, on=('template', 'name'), how='left').fill_null(0)
  for template, name, *counts in total.sort('template', 'name').iter_rows():
    if template == ALL:
      sources.setdefault(name.partition('=')[0], []).append(name)
    else:
      kind, place, field = name.removeprefix(_MARK).split(':')
      numbers.setdefault((template, kind, field), {})[int(place)] = np.array(counts)
  for field, names in sources.items():
    if not 2 <= len(names) <= _MOST or (field == 'file' and len(tables) > 1):
      continue
    for name in names:
      side = begin + len(sides)
      shown = f'file={files[int(name[5:])]}' if field == 'file' else name
      sides[side] = Side(ALL, shown, field, '', 0, 0)
      keys.append((ALL, name, side))
  for (template, kind, field), pairs in numbers.items():
    places = np.array(sorted(pairs))
    above, known = np.cumsum([pairs[p] for p in places[::-1]], axis=0)[::-1].T
    low = int(places[np.flatnonzero(known >= _USUAL * known[0])[-1]])
    most = (known <= _USUAL * known[0]) & (above >= _LEAST) & (places > low)
    for place in places[most][-_THRESHOLDS:].tolist():
      side = begin + len(sides)
      text = f'{field} {quantities.said(kind, place)}'.strip()
      sides[side] = Side(template, text, '', kind, place, low)
      keys += [
        (template, f'{_MARK}{kind}:{p}:{field}', side) for p in places if p >= place
      ]
  schema = {'template': pl.Int64, 'name': pl.String, 'number': pl.Int64}
  keyed = pl.DataFrame(keys, schema, orient='row')
  cells = [
    windows.join(t.join(keyed, on=('template', 'name')).with_columns(template='number'))
    for t in tables
  ]
  return sides, cells
