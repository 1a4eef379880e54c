"""Tables of rows, each a set of flags for `train`; from a TOML file.

A file has `title`, `about`, `flags` of every row, `seeds`, and `[rows.KEY]` with
`name`, `flags` and what the paper prints for it (`quoted`). `[settings.KEY]` repeats
the rows under further flags; a row's `grid` (flag -> values) repeats it for every
combination. `{systems}` in a flag stands for the folder of the System folders.
"""

import itertools
import math
import pathlib
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from metalog_jax import errors

FOLDER = pathlib.Path(__file__).parents[1] / 'tables'
QUOTED = (
  *('precision', 'recall', 'f1', 'auroc', 'behind'),
  *('train_minutes', 'test_seconds', 'test_ms'),
)
_SHOWN = ('against', 'x')  # of the report: reference row, axis

METHOD = '--detector=metalog'  # where a row names none: before its own flags


class Row(NamedTuple):
  """One row: settings that are run once a seed."""

  key: str  # unique; names the folders
  name: str
  flags: tuple[str, ...]
  setting: str  # key of the table's settings; '' where it has none
  line: str  # the name without the values of the grid
  x: float | None  # first value of the grid
  quoted: dict[str, float]  # what the paper prints; see QUOTED


class Trial(NamedTuple):
  """One run."""

  row: Row
  seed: int

  @property
  def name(self) -> str:
    """Of its run folder and its log."""
    return f'{self.row.key}-seed{self.seed}'


class Table(NamedTuple):
  """A table or figure of the paper, or of anybody."""

  name: str
  title: str
  about: str
  seeds: tuple[int, ...]
  settings: dict[str, str]  # key -> name
  rows: tuple[Row, ...]
  shown: dict[str, Any]  # _SHOWN


_is_text = lambda value: isinstance(value, str)
_is_number = lambda value: type(value) in (int, float) and math.isfinite(value)
_is_seed = lambda value: type(value) is int and value >= 0
_is_value = lambda value: type(value) in (str, int, float)
_is_table = lambda value: isinstance(value, dict)
_list = lambda fits: lambda value: isinstance(value, list) and all(map(fits, value))
_table = lambda fits: lambda value: _is_table(value) and all(map(fits, value.values()))

# What a key's value must be: in words, and whether it is.
_Kind = tuple[str, Callable[[Any], bool]]
_TEXT, _TEXTS = ('a text', _is_text), ('a list of texts', _list(_is_text))
_NUMBERS = ('a table whose values are numbers', _table(_is_number))
_TABLES = ('a table whose values are tables', _table(_is_table))
_KEYS_OF_TABLE: dict[str, _Kind] = {
  **{'title': _TEXT, 'about': _TEXT, 'flags': _TEXTS},
  'seeds': ('a list of whole numbers from 0 on', _list(_is_seed)),
  **{'settings': _TABLES, 'rows': _TABLES, 'against': _TEXT, 'x': _TEXT},
}
_KEYS_OF_SETTING: dict[str, _Kind] = {
  **{'name': _TEXT, 'flags': _TEXTS},
  'quotes': ('true or false', lambda value: isinstance(value, bool)),
}
_KEYS_OF_ROW: dict[str, _Kind] = {
  **{'name': _TEXT, 'flags': _TEXTS, 'only': _TEXTS, 'quoted': _NUMBERS},
  'grid': (
    'a table whose values are lists of texts and numbers',
    _table(_list(_is_value)),
  ),
  'quoted_at': (
    'a table whose values are tables of numbers',
    _table(_table(_is_number)),
  ),
}


def names() -> list[str]:
  """The tables that come with the library."""
  return sorted(path.stem for path in FOLDER.glob('*.toml'))


def load(name: str, systems: str = 'systems', last_flags: Sequence[str] = ()) -> Table:
  """Reads a table.

  Args:
    name: one of `names()`, or the path of a TOML file.
    systems: what {systems} stands for.
    last_flags: flags behind those of every row.

  Raises:
    UserError: there is no such table, or it is not as it should be.
  """
  path = pathlib.Path(name) if name.endswith('.toml') else FOLDER / f'{name}.toml'
  raw = _read(path, name)
  rows = tuple(_rows(path, raw, systems, tuple(last_flags)))
  keys = [row.key for row in rows]
  if twice := sorted({key for key in keys if keys.count(key) > 1}):
    raise errors.UserError(f'{path}: rows of one name: {", ".join(twice)}')
  return Table(
    path.stem,
    raw['title'],
    raw.get('about', ''),
    tuple(raw.get('seeds', (0,))),
    {key: setting['name'] for key, setting in raw.get('settings', {}).items()},
    rows,
    {key: raw[key] for key in _SHOWN if key in raw},
  )


def select(tables: Sequence[Table], keys: Sequence[str]) -> list[Table]:
  """The rows whose key is, or begins with, one of `keys` and a dash; none: all.

  Raises:
    UserError: a key fits no row.
  """
  if not keys:
    return list(tables)
  fits = lambda row, key: f'{row.key}-'.startswith(f'{key}-')
  every = [row for table in tables for row in table.rows]
  for key in keys:
    if not any(fits(row, key) for row in every):
      raise errors.unknown_choice('--rows', key, [row.key for row in every])
  chosen = lambda rows: (row for row in rows if any(fits(row, key) for key in keys))
  return [table._replace(rows=tuple(chosen(table.rows))) for table in tables]


def trials(table: Table, seeds: Sequence[int] = ()) -> list[Trial]:
  """Every row with one seed before any with the next: an early stop leaves a table."""
  return [Trial(row, seed) for seed in seeds or table.seeds for row in table.rows]


def _read(path: pathlib.Path, name: str) -> dict[str, Any]:
  """The file's tables and values, of which every key and type is checked."""
  if not path.is_file():
    if name.endswith('.toml'):
      raise errors.UserError(f'--table={name}: there is no such file')
    raise errors.unknown_choice('--table', name, [*names(), 'FILE.toml'])
  try:
    raw = tomllib.loads(path.read_text(encoding='utf-8'))
  except ValueError as error:  # not TOML, or not UTF-8
    raise errors.UserError(f'{path} is not TOML: {error}') from error
  _check(path, '', raw, _KEYS_OF_TABLE, ('title', 'rows'))
  for part, keys in (('settings', _KEYS_OF_SETTING), ('rows', _KEYS_OF_ROW)):
    for key, values in raw.get(part, {}).items():
      if not re.fullmatch(r'\w[\w.-]*', key):
        raise errors.UserError(
          f'{path}: {part}.{key!r} names folders: use letters, digits, _ and - alone'
        )
      _check(path, f'{part}.{key}.', values, keys, ('name',))
  return raw


def _check(
  path: pathlib.Path,
  place: str,
  values: dict[str, Any],
  kinds: dict[str, _Kind],
  needed: Sequence[str],
) -> None:
  for key, value in values.items():
    if key not in kinds:
      raise errors.unknown_choice(f'{path}: {place}key', key, kinds)
    words, fits = kinds[key]
    if not fits(value):
      raise errors.UserError(f'{path}: {place}{key} = {value!r}: it must be {words}')
  for key in needed:
    if key not in values:
      raise errors.UserError(f'{path}: {place}{key} is missing')


def _rows(
  path: pathlib.Path, raw: dict[str, Any], systems: str, last_flags: tuple[str, ...]
) -> Iterator[Row]:
  settings = raw.get('settings') or {'': {'name': ''}}
  for (setting, change), (key, row) in itertools.product(
    settings.items(), raw['rows'].items()
  ):
    if setting not in row.get('only', [setting]):
      continue
    slug = f'{key}-{setting}' if len(settings) > 1 else key
    flags = (*raw.get('flags', ()), *change.get('flags', ()), *row.get('flags', ()))
    quotes = row if change.get('quotes', True) else {}
    base = Row(slug, row['name'], flags, setting, row['name'], None, {})
    for point in _over_grid(base, row.get('grid', {}), quotes):
      for quoted in point.quoted:
        if quoted not in QUOTED:
          raise errors.unknown_choice(f'{path}: {point.key} quotes', quoted, QUOTED)
      filled = [flag.replace('{systems}', systems) for flag in point.flags]
      yield point._replace(flags=(*filled, *last_flags))


def _over_grid(
  row: Row, grid: dict[str, list], quotes: dict[str, dict]
) -> Iterator[Row]:
  """The row at every combination of the grid's values; itself where there is none."""
  for values in itertools.product(*grid.values()):
    pairs = list(zip(grid, map(str, values), strict=True))
    title = ', '.join(f'{flag.rpartition(".")[2]} {value}' for flag, value in pairs)
    at = quotes.get('quoted_at', {}).get(pairs[0][1], {}) if pairs else {}
    yield row._replace(
      key='-'.join([row.key, *(_slug(value) for _, value in pairs)]),
      name=f'{row.name}, {title}' if title else row.name,
      flags=row.flags + tuple(f'--{flag}={value}' for flag, value in pairs),
      x=_number(pairs[0][1]) if pairs else None,
      quoted=quotes.get('quoted', {}) | at,
    )


def _slug(value: str) -> str:
  return re.sub(r'[^A-Za-z0-9.]+', '_', value.replace('%', 'pct'))


def _number(value: str) -> float | None:
  try:
    return float(value.removesuffix('%'))
  except ValueError:
    return None
