"""Tables of rows, each a set of flags for `train`; from a TOML file.

A file has `title`, `about`, `flags` of every row, `seeds`, and `[rows.KEY]` with
`name`, `flags` and what the paper prints for it (`quoted`). `[settings.KEY]` repeats
the rows under further flags; a row's `grid` (flag -> values) repeats it for every
combination. `{systems}` in a flag stands for the folder of the System folders.
"""

import itertools
import pathlib
import re
import tomllib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from metalog_jax import errors

FOLDER = pathlib.Path(__file__).parents[1] / 'tables'
QUOTED = (
  *('precision', 'recall', 'f1', 'auroc', 'behind'),
  *('train_minutes', 'test_seconds', 'test_ms'),
)
_TABLE = {'title', 'about', 'seeds', 'flags', 'settings', 'rows'}
_SHOWN = {'x', 'against', 'roc'}  # of the report: axis, reference row, rows of the ROC
_SETTING = {'name', 'flags', 'quotes'}
_ROW = {'name', 'flags', 'only', 'grid', 'quoted', 'quoted_at'}


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


def names() -> list[str]:
  """The tables that come with the library."""
  return sorted(path.stem for path in FOLDER.glob('*.toml'))


def load(name: str, systems: str = 'systems', more: Sequence[str] = ()) -> Table:
  """Reads a table.

  Args:
    name: one of `names()`, or the path of a TOML file.
    systems: what {systems} stands for.
    more: flags behind those of every row.

  Raises:
    UserError: there is no such table, or it is not as it should be.
  """
  path = pathlib.Path(name) if name.endswith('.toml') else FOLDER / f'{name}.toml'
  if not path.is_file():
    raise errors.UserError(
      f'--table={name} is neither a TOML file nor one of {", ".join(names())}'
    )
  try:
    raw = tomllib.loads(path.read_text(encoding='utf-8'))
  except tomllib.TOMLDecodeError as error:
    raise errors.UserError(f'{path} is not TOML: {error}') from error
  _known(path, raw, _TABLE | _SHOWN, ('title', 'rows'))
  rows = tuple(_rows(path, raw, systems, tuple(more)))
  keys = [row.key for row in rows]
  if twice := sorted({key for key in keys if keys.count(key) > 1}):
    raise errors.UserError(f'{path}: rows of one name: {", ".join(twice)}')
  settings = {key: of['name'] for key, of in raw.get('settings', {}).items()}
  shown = {key: raw[key] for key in sorted(_SHOWN) if key in raw}
  seeds = tuple(raw.get('seeds', (0,)))
  return Table(
    path.stem, raw['title'], raw.get('about', ''), seeds, settings, rows, shown
  )


def select(found: Sequence[Table], keys: Sequence[str]) -> list[Table]:
  """The rows whose key is, or begins with, one of `keys` and a dash; none: all.

  Raises:
    UserError: a key fits no row.
  """
  fits = lambda row, key: f'{row.key}-'.startswith(f'{key}-')
  every = [row for table in found for row in table.rows]
  for key in keys:
    if not any(fits(row, key) for row in every):
      raise errors.UserError(
        f'--rows={key}: not one of {", ".join(r.key for r in every)}'
      )
  chosen = lambda rows: (row for row in rows if any(fits(row, key) for key in keys))
  return [t._replace(rows=tuple(chosen(t.rows))) if keys else t for t in found]


def trials(table: Table, seeds: Sequence[int] = ()) -> list[Trial]:
  """Every row with one seed before any with the next: an early stop leaves a table."""
  return [Trial(row, seed) for seed in seeds or table.seeds for row in table.rows]


def _rows(path, raw, systems: str, more: tuple[str, ...]) -> Iterator[Row]:
  settings = raw.get('settings') or {'': {'name': ''}}
  for setting, of in settings.items():
    _known(path, of, _SETTING, ('name',))
    for key, row in raw['rows'].items():
      _known(path, row, _ROW, ('name',))
      if setting not in row.get('only', [setting]):
        continue
      slug = f'{key}-{setting}' if len(settings) > 1 else key
      flags = (*raw.get('flags', ()), *of.get('flags', ()), *row.get('flags', ()))
      quotes = row if of.get('quotes', True) else {}
      base = Row(slug, row['name'], flags, setting, row['name'], None, {})
      for found in _over_grid(base, row.get('grid', {}), quotes):
        if unknown := set(found.quoted) - set(QUOTED):
          raise errors.UserError(
            f'{path}: {found.key} quotes {", ".join(sorted(unknown))}'
          )
        flags = (flag.replace('{systems}', systems) for flag in found.flags)
        yield found._replace(flags=(*flags, *more))


def _over_grid(row: Row, grid: dict[str, list], quotes: dict) -> Iterator[Row]:
  """The row at every combination of the grid's values; itself where there is none."""
  for values in itertools.product(*grid.values()):
    pairs = list(zip(grid, map(str, values), strict=True))
    told = ', '.join(f'{flag.rpartition(".")[2]} {value}' for flag, value in pairs)
    at = quotes.get('quoted_at', {}).get(pairs[0][1], {}) if pairs else {}
    yield row._replace(
      key='-'.join([row.key, *(_slug(value) for _, value in pairs)]),
      name=f'{row.name}, {told}' if told else row.name,
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


def _known(path, of: dict, keys: set[str], needed: Sequence[str]) -> None:
  if surplus := sorted(set(of) - keys):
    raise errors.UserError(f'{path}: unknown {", ".join(surplus)}')
  if missing := [key for key in needed if key not in of]:
    raise errors.UserError(
      f'{path}: {of.get("name", "a part")} has no {", ".join(missing)}'
    )
