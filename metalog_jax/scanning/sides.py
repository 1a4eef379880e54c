"""What records are of beside their template: who wrote them, and how long it took.

Who writes (a host, a pod, a file) may fall silent while others do not; a duration, a
share or the length of a queue may become larger while the message stays the same. Both
are counted as series of their own: records of one source, and records of one template
whose number is so large or larger.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
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
  slot: str = ''  # which of a record's numbers: '' the first, 2 the second, a field


class Sides:
  """Finds sources and numbers in records; remembers which codes have numbers."""

  def __init__(self) -> None:
    self._patterns: dict[str, int] = {}  # of `quantities.slots`, numbered
    self._slots = np.zeros((0, quantities.MOST), np.int64)  # of each code; -1 for none
    self._words: dict[int, list[str]] = {}  # of each code, what its slots are called
    self._fields: dict[str, int] = {}  # numbers of columns below, after the slots
    self._last = np.zeros((0, 2 * quantities.MOST))  # numbers of each code
    self._steps = np.zeros((2, 0, 2 * quantities.MOST), np.int64)  # up and down
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

  def counters(self, group: np.ndarray) -> pl.DataFrame:
    """template, slot: numbers that only rise, as a time since the start does.

    Args:
      group: the template of each code.
    """
    up, down = np.zeros((2, len(group), self._steps.shape[2]), np.int64)
    for total, steps in zip((up, down), self._steps):
      np.add.at(total, group[: len(steps)], steps)
    rising = (up > 3) & (up > _RISING * (up + down))
    template, column = np.nonzero(rising)
    words = [_slot(i) for i in range(quantities.MOST)]
    words += [name.replace(':', '-') for name in self._fields]
    slot = pl.Series([words[i] for i in column.tolist()], dtype=pl.String)
    return pl.DataFrame({'template': template.astype(np.int64), 'slot': slot})

  def words(self, group: np.ndarray, texts: Sequence[str]) -> dict[int, list[str]]:
    """What each number of a template is called, if it has several.

    Args:
      group: the template of each code.
      texts: of templates; a word that varies is not said.
    """
    result: dict[int, list[str]] = {}
    for code, words in self._words.items():
      text = texts[group[code]]
      told = [word if word and word in text else '' for word in words]
      told = [
        word if word and told.count(word) == 1 else f'{word} number {i}'.strip()
        for i, word in enumerate(told, 1)
      ]
      if len(words) > len(result.get(group[code], [''])):
        result[int(group[code])] = told
    return result

  def _numbers(self, codes: np.ndarray, block: Any) -> Iterator[windows.Beside]:
    new = max(0, int(codes.max()) + 1 - len(self._slots))
    first = len(self._slots)
    self._slots = np.pad(self._slots, ((0, new), (0, 0)), constant_values=-1)
    self._last = np.pad(self._last, ((0, new), (0, 0)), constant_values=np.nan)
    self._steps = np.pad(self._steps, ((0, 0), (0, new), (0, 0)))
    if new:
      fresh, rows = np.unique(codes, return_index=True)
      fresh, rows = fresh[fresh >= first], rows[fresh >= first]
      messages = block.message.gather(rows)
      has_any = quantities.has_any(messages)
      for code, text in zip(fresh[has_any].tolist(), messages.filter(has_any)):
        slots = quantities.slots(text)
        self._words[code] = [slot.name for slot in slots]
        for i, slot in enumerate(slots):
          number = self._patterns.setdefault(slot.pattern, len(self._patterns))
          self._slots[code, i] = number
    patterns = [*self._patterns]
    for column, used in enumerate(self._slots[codes].T):
      values, kinds = np.full(len(codes), np.nan), np.ones(len(codes), np.int64)
      for number in np.unique(used[used >= 0]).tolist():
        rows = np.flatnonzero(used == number)
        read = quantities.of_messages(block.message.gather(rows), patterns[number])
        values[rows], kinds[rows] = read
      yield from self._series(codes, values, kinds, column, _slot(column))
    for name, values, kinds in quantities.of_fields(block.fields):
      column = self._fields.setdefault(name, len(self._fields)) + quantities.MOST
      if column < self._last.shape[1]:
        said = name.replace(':', '-')
        yield from self._series(codes, values, kinds, column, said)

  def _series(
    self,
    codes: np.ndarray,
    values: np.ndarray,
    kinds: np.ndarray,
    column: int,
    slot: str,
  ) -> Iterator[windows.Beside]:
    """The numbers of one slot as a side, where there are any."""
    rows = np.flatnonzero(~np.isnan(values))
    if not len(rows):
      return
    self._step(codes[rows], values[rows], column)
    places = quantities.place(values[rows], kinds[rows])
    keys, back = repeats.numbers(places * len(quantities.KINDS) + kinds[rows])
    size = len(quantities.KINDS)
    names = [
      f'{_MARK}{quantities.KINDS[key % size]}:{key // size}:{slot}'
      for key in keys.tolist()
    ]
    number = np.full(len(codes), -1)
    number[rows] = back
    yield windows.Beside(codes, number, names)

  def _step(self, codes: np.ndarray, values: np.ndarray, column: int) -> None:
    """Counts how often the numbers of a code rise and fall."""
    order = np.argsort(codes, kind='stable')
    codes, values = codes[order], values[order]
    before = np.roll(values, 1)
    begins = np.diff(codes, prepend=-1) != 0
    before[begins] = self._last[codes[begins], column]
    ends = np.append(begins[1:], True)
    self._last[codes[ends], column] = values[ends]
    for steps, hit in zip(self._steps, (values > before, values < before)):
      steps[:, column] += np.bincount(codes[hit], minlength=len(steps))


def _slot(column: int) -> str:
  return str(column + 1) if column else ''


def table(seen: windows.Windows, templates: Any, sides: Sides) -> pl.DataFrame:
  """The sides of a state by window, template and name, as a baseline keeps them."""
  cells, group = seen.sides, templates.group()
  codes = cells['template'].to_numpy()
  template = np.where(
    codes < 0, ALL, group[np.maximum(codes, 0)] if len(group) else ALL
  )
  cells = cells.with_columns(template=pl.Series(template, dtype=pl.Int64))
  slot = pl.col('name').str.split(':').list.last()
  cells = cells.with_columns(slot=slot).join(
    sides.counters(group), on=('template', 'slot'), how='anti', maintain_order='left'
  )
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
  begin: int,
  files: Sequence[str],
  words: Mapping[int, Sequence[str]],
  *tables: pl.DataFrame,
) -> tuple[dict[int, Side], list[pl.DataFrame]]:
  """Sides that are counted, and the cells of each table by their numbers.

  Args:
    begin: the first number.
    files: names of the files of the first table.
    words: of `Sides.words`.
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
      kind, place, slot = name.removeprefix(_MARK).split(':')
      numbers.setdefault((template, kind, slot), {})[int(place)] = np.array(counts)
  for field, names in sources.items():
    if not 2 <= len(names) <= _MOST or (field == 'file' and len(tables) > 1):
      continue
    for name in names:
      side = begin + len(sides)
      shown = f'file={files[int(name[5:])]}' if field == 'file' else name
      sides[side] = Side(ALL, shown, field, '', 0, 0)
      keys.append((ALL, name, side))
  for (template, kind, slot), pairs in numbers.items():
    word = slot
    if slot.isdigit() or not slot:
      told, place = words.get(template, ()), int(slot or 1)
      word = told[place - 1] if place <= len(told) else slot and f'number {slot}'
    places = np.array(sorted(pairs))
    above, known = np.cumsum([pairs[p] for p in places[::-1]], axis=0)[::-1].T
    low = int(places[np.flatnonzero(known >= _USUAL * known[0])[-1]])
    most = (known <= _USUAL * known[0]) & (above >= _LEAST) & (places > low)
    for place in places[most][-_THRESHOLDS:].tolist():
      side = begin + len(sides)
      text = f'{word} {quantities.said(kind, place)}'.strip()
      sides[side] = Side(template, text, '', kind, place, low, slot)
      keys += [
        (template, f'{_MARK}{kind}:{p}:{slot}', side) for p in places if p >= place
      ]
  schema = {'template': pl.Int64, 'name': pl.String, 'number': pl.Int64}
  keyed = pl.DataFrame(keys, schema, orient='row')
  cells = [
    windows.join(t.join(keyed, on=('template', 'name')).with_columns(template='number'))
    for t in tables
  ]
  return sides, cells
