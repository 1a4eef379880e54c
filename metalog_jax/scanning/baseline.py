"""A baseline: the counts of good records, in memory or in a folder.

A folder holds `baseline.json` (what it was made of, checksums), `templates.json`,
`cells.parquet`, `sides.parquet` and, of sessions, `bags.parquet` and
`order.parquet`. It has no line of the logs, only templates, names of hosts and counts,
and is read strictly: a file that is changed or missing is refused by name.
"""

import contextlib
import dataclasses
import io
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import polars as pl

from metalog_jax import atomic, clean, errors
from metalog_jax.logs import manifests, messages
from metalog_jax.logs.session_keys import SessionKey
from metalog_jax.scanning import counted, feedback, rhythms, sides, windows
from metalog_jax.scanning.sessions import Sessions
from metalog_jax.scanning.sides import Sides

VERSION = 1
MANIFEST, TEMPLATES, CELLS = 'baseline.json', 'templates.json', 'cells.parquet'
SIDES = 'sides.parquet'
_TABLES = ('bags', 'order')  # of sessions, NAME.parquet
_FILES = (TEMPLATES, CELLS, SIDES, *(f'{name}.parquet' for name in _TABLES))
_SETTLED = 0.01  # probability of an unseen template below which nothing more is learned
_FEW = 20  # windows
_DAMAGE: tuple[Any, ...] = (OSError, LookupError, TypeError, ValueError, OverflowError)
_DAMAGE += (RecursionError, pl.exceptions.PolarsError)
_UNKNOWN = 0.5  # share of records that the baseline does not know


@dataclasses.dataclass
class Baseline:
  """Counts of good records: those that were saved, and those of this process."""

  templates: Any
  windows: windows.Windows  # since it was loaded
  sessions: Sessions
  files: list[str]
  path: str
  past: pl.DataFrame | None = None  # cells of `counted.table` that were saved
  redacted: bool = False  # its records were masked before they were counted
  sides: Sides = dataclasses.field(default_factory=Sides)  # of `windows`
  past_sides: pl.DataFrame | None = None  # of `sides.table`, saved
  hashes: list[str] = dataclasses.field(default_factory=list)  # of its logs
  ticks: rhythms.Ticks = dataclasses.field(default_factory=rhythms.Ticks)  # unsaved
  resting: frozenset[int] = frozenset()  # templates whose rhythm was broken, saved

  def cells(self) -> pl.DataFrame:
    """All cells, by the templates as they are grouped now."""
    cells = counted.table(self.windows, self.templates)
    if self.past is None:
      return cells
    past = counted.without_words(self.past, self.templates.nameless())
    both = pl.concat([past, cells.select(past.columns)])
    return windows.join(both, ('window', 'template', 'value'))

  def beside(self) -> pl.DataFrame:
    """All cells of sides, of sources and of numbers."""
    cells = sides.table(self.windows, self.templates, self.sides)
    if self.past_sides is None:
      return cells
    both = pl.concat([self.past_sides, cells.select(self.past_sides.columns)])
    return windows.join(both, ('window', 'template', 'name'))


def summary(
  good: counted.Counted | None, path: str, files: list[str]
) -> dict[str, Any]:
  """What is said of a baseline, with how much it has learned."""
  if good is None:
    return {'path': path, 'records': 0, 'state': 'empty'}
  once = sum(good.number(i) == 1 for i in good.ids.tolist())
  unseen = (once + 1) / (good.records + 1)
  filled = int((good.totals > 0).sum())
  return {
    'path': path,
    'files': files,
    'records': good.records,
    'windows': filled,
    'window': str(good.width),
    'templates': len(good.ids),
    'state': 'settled' if filled >= _FEW and unseen <= _SETTLED else 'learning',
    'probability_of_an_unseen_template': unseen,
  }


def warnings(
  about: dict[str, Any], counts: counted.Counted, good: counted.Counted | None
) -> list[str]:
  """What limits a comparison with a baseline, in sentences."""
  said = []
  if about['state'] != 'settled':
    said.append(
      f'the baseline is still learning ({clean.counted(about["records"], "record")} in '
      f'{clean.counted(about.get("windows", 0), "window")}): some of what is new is '
      'new to it alone; metalog baseline add gives it more good logs'
    )
  known = set() if good is None else set(good.ids.tolist())
  strange = sum(counts.number(i) for i in counts.ids.tolist() if i not in known)
  if strange > _UNKNOWN * counts.records:
    said.append(
      f'{strange / counts.records:.0%} of the records have templates that the baseline '
      'does not know: is it of the same system and version?'
    )
  return said


def hashes(files: Sequence[str]) -> dict[str, str]:
  """Path -> SHA-256 of those that are ordinary files: a log counts once."""
  ordinary = [path for path in files if os.path.isfile(path)]
  return {path: manifests.file_hash(pathlib.Path(path)) for path in ordinary}


def is_folder(path: str) -> bool:
  """Whether a saved baseline is there."""
  return (pathlib.Path(path) / MANIFEST).is_file()


def save(folder: str, baseline: Baseline, adds: bool = False) -> dict[str, Any]:
  """Writes a baseline, which takes the place of the one there; what is said of it.

  Args:
    adds: the one there is a part of it.

  Raises UserError where `folder` is one that holds something else, nothing was read, or
  another process has added logs meanwhile, which would be lost.
  """
  place = pathlib.Path(folder)
  if place.is_dir() and any(place.iterdir()) and not is_folder(folder):
    raise errors.UserError(
      f'{folder} holds something else: give --save-baseline a new folder'
    )
  width, state = baseline.windows.width, baseline.templates
  cells = baseline.cells().with_columns(text=pl.lit(''))
  if width is None or not len(cells):
    raise errors.UserError(f'no record was read: nothing to save in {folder}')
  group = state.group()
  frames = baseline.sessions.to_frames(group, len(state.texts))
  beside = baseline.beside().with_columns(text=pl.lit(''))
  beside = beside.filter(~pl.col('name').str.starts_with('file='))
  narrow, (cells, width) = width, windows.widened(cells, width)
  beside = beside.with_columns(pl.col('window') // (width.size // narrow.size))
  beside = windows.join(beside, ('window', 'template', 'name'))
  values = counted.number_values(state.texts, cells)
  good = counted.count(cells, values, state.texts, [], width)
  about = summary(good, folder, baseline.files)
  baseline.ticks.put(good, group)
  resting = {i for i in good.ids.tolist() if any(rhythms.missed(good, i))}
  told = place / feedback.FILE
  waiting = atomic.holding(told) if is_folder(folder) else contextlib.nullcontext()
  with waiting, atomic.replacing_folder(place) as partial:
    said = told.read_text('utf-8') if told.is_file() else ''
    if adds and is_folder(folder):
      if not set(_manifest(place / MANIFEST)['logs']) <= set(baseline.hashes):
        raise errors.UserError(
          f'{folder}: others added logs meanwhile; add these again'
        )
    (partial / TEMPLATES).write_text(atomic.to_json(state.to_json()), 'utf-8')
    _write(cells, partial / CELLS)
    _write(beside, partial / SIDES)
    for name, table in frames.items():
      _write(table, partial / f'{name}.parquet')
    if said:
      (partial / feedback.FILE).write_text(said, 'utf-8')
    key = baseline.sessions.key
    manifest = {
      'version': VERSION,
      'summary': about,
      'width': list(width),
      'key': dataclasses.asdict(key) if key else None,
      'records': baseline.windows.records,
      'timed': baseline.windows.timed,
      'redacted': baseline.redacted,
      'resting': sorted(resting | baseline.resting),
      'logs': baseline.hashes,
      'sha256': {name: manifests.file_hash(partial / name) for name in _FILES},
    }
    text = atomic.to_json(manifests.sealed(manifest), indent=1) + '\n'
    (partial / MANIFEST).write_text(text, 'utf-8')
  return about


def _write(table: pl.DataFrame, path: pathlib.Path) -> None:
  """Through Python: polars hides why the system refuses to write."""
  buffer = io.BytesIO()
  table.write_parquet(buffer)
  path.write_bytes(buffer.getvalue())


def load(folder: str) -> Baseline:
  """Reads a saved baseline, to which more can be added.

  Raises UserError where there is none, or a file of it is missing or changed.
  """
  place = pathlib.Path(folder)
  if not is_folder(folder):
    raise errors.UserError(f'{folder} is no baseline: it has no {MANIFEST}')
  manifest = _manifest(place / MANIFEST)
  try:
    for name in _FILES:
      if manifests.file_hash(place / name) != manifest['sha256'][name]:
        raise errors.UserError(
          f'{place / name} is not the file that was saved with {MANIFEST}: save the '
          'baseline again'
        )
    path = place / TEMPLATES
    templates = messages.Templates.from_json(
      json.loads(path.read_text('utf-8')), str(path)
    )
    size, timed = manifest['width']
    seen = windows.Windows(windows.Width(int(size), bool(timed)))
    seen.records, seen.timed = int(manifest['records']), int(manifest['timed'])
    key = SessionKey.from_json(manifest['key']) if manifest['key'] else None
    number = len(templates.texts)
    sessions = Sessions.from_frames(
      {name: pl.read_parquet(place / f'{name}.parquet') for name in _TABLES},
      key,
      number,
    )
    files = [
      str(name) for name in list.copy(dict.get(manifest['summary'], 'files', []))
    ]
    past = pl.read_parquet(place / CELLS)
    past = windows.checked(past, windows.CELLS, {'template': number, 'severity': 4})
    if seen.width is None or not 0 < seen.width.size < 1 << 40 or not len(past):
      raise ValueError('it has no record, or no width of windows')
    redacted = bool(manifest.get('redacted'))
    logs = [str(value) for value in manifest['logs']]
    resting = frozenset(int(i) for i in manifest.get('resting', ()))
    past_sides = sides.checked(pl.read_parquet(place / SIDES), number, past)
  except _DAMAGE as error:
    if isinstance(error, errors.UserError):
      raise
    raise errors.UserError(
      f'{folder} is a damaged baseline: {error}; save it again'
    ) from error
  state = templates, seen, sessions, files, folder, past, redacted
  return Baseline(*state, past_sides=past_sides, hashes=logs, resting=resting)


def _manifest(path: pathlib.Path) -> dict[str, Any]:
  try:
    manifest = json.loads(path.read_text('utf-8'))
    manifests.check_seal(manifest)
    version = manifest['version']
  except _DAMAGE as error:
    raise errors.UserError(
      f'{path} is damaged: {error!r}; save the baseline again'
    ) from error
  if version != VERSION:
    raise errors.UserError(
      f'{path} is of version {version}, this is {VERSION}: save it again'
    )
  return manifest


def show(folder: str) -> dict[str, Any]:
  """What is said of a saved baseline; raises UserError as `load`."""
  load(folder)
  return _manifest(pathlib.Path(folder) / MANIFEST)['summary']
