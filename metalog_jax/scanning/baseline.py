"""A baseline: the counts of good records, in memory or in a folder.

A folder holds `baseline.json` (what it was made of, checksums), `templates.json`,
`cells.parquet` and, of sessions, `bags.parquet` and `order.parquet`. It has no line of
the logs, only templates and counts, and is read strictly: a file that is changed or
missing is refused by name.
"""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import polars as pl

from metalog_jax import atomic, errors
from metalog_jax.logs import messages
from metalog_jax.logs.session_keys import SessionKey
from metalog_jax.scanning import counted, windows
from metalog_jax.scanning.sessions import Sessions

VERSION = 1
MANIFEST, TEMPLATES, CELLS = 'baseline.json', 'templates.json', 'cells.parquet'
_TABLES = ('bags', 'order')  # of sessions, NAME.parquet
_FILES = (TEMPLATES, CELLS, *(f'{name}.parquet' for name in _TABLES))
_SETTLED = 0.01  # probability of an unseen template below which nothing more is learned
_FEW = 20  # windows
_UNKNOWN = 0.5  # share of records that the baseline does not know


@dataclasses.dataclass
class Baseline:
  """Counts of good records."""

  templates: Any
  windows: windows.Windows
  sessions: Sessions
  files: list[str]
  path: str

  def counted(self) -> counted.Counted | None:
    """The counts by the templates as they are grouped now."""
    return counted.count(self.windows, self.templates, self.files)

  def summary(self) -> dict[str, Any]:
    """What is said of it, with how much it has learned."""
    counts = self.counted()
    if counts is None:
      return {'path': self.path, 'records': 0, 'state': 'empty'}
    once = sum(counts.number(i) == 1 for i in counts.ids.tolist())
    unseen = (once + 1) / (counts.records + 1)
    filled = int((counts.totals > 0).sum())
    state = 'settled' if filled >= _FEW and unseen <= _SETTLED else 'learning'
    return {
      'path': self.path,
      'files': self.files,
      'records': counts.records,
      'windows': filled,
      'window': str(counts.width),
      'templates': len(counts.ids),
      'state': state,
      'probability_of_an_unseen_template': unseen,
    }


def warnings(
  summary: dict[str, Any], counts: counted.Counted, good: counted.Counted | None
) -> list[str]:
  """What limits a comparison with a baseline, in sentences."""
  said = []
  if summary['state'] != 'settled':
    said.append(
      f'the baseline is still learning ({summary["records"]:,} records in '
      f'{summary.get("windows", 0):,} windows): some of what is new is new to it '
      'alone; metalog baseline add gives it more good logs'
    )
  known = set() if good is None else set(good.ids.tolist())
  strange = sum(counts.number(i) for i in counts.ids.tolist() if i not in known)
  if strange > _UNKNOWN * counts.records:
    said.append(
      f'{strange / counts.records:.0%} of the records have templates that the baseline '
      'does not know: is it of the same system and version?'
    )
  return said


def is_folder(path: str) -> bool:
  """Whether a saved baseline is there."""
  return (pathlib.Path(path) / MANIFEST).is_file()


def save(
  folder: str,
  templates: Any,
  seen: windows.Windows,
  sessions: Sessions,
  files: Sequence[str],
) -> dict[str, Any]:
  """Writes a baseline, which takes the place of the one there; what is said of it.

  Raises UserError where `folder` is one that holds something else.
  """
  place = pathlib.Path(folder)
  if place.is_dir() and any(place.iterdir()) and not is_folder(folder):
    raise errors.UserError(
      f'{folder} holds something else: give --save-baseline a new folder'
    )
  baseline = Baseline(templates, seen, sessions, list(files), folder)
  width = seen.width
  with atomic.replacing_folder(place) as partial:
    (partial / TEMPLATES).write_text(atomic.to_json(templates.to_json()), 'utf-8')
    seen.cells.with_columns(text=pl.lit('')).write_parquet(partial / CELLS)
    for name, table in sessions.to_frames().items():
      table.write_parquet(partial / f'{name}.parquet')
    manifest = {
      'version': VERSION,
      'summary': baseline.summary(),
      'width': list(width) if width else None,
      'key': dataclasses.asdict(sessions.key) if sessions.key else None,
      'records': seen.records,
      'timed': seen.timed,
      'sha256': {name: _sha256(partial / name) for name in _FILES},
    }
    text = atomic.to_json(manifest, indent=1) + '\n'
    (partial / MANIFEST).write_text(text, 'utf-8')
  return manifest['summary']


def load(folder: str, joins: bool = False) -> Baseline:
  """Reads a saved baseline.

  Args:
    joins: whether windows may become wider when more is added.

  Raises:
    UserError: there is none, or a file of it is missing or changed.
  """
  place = pathlib.Path(folder)
  if not is_folder(folder):
    raise errors.UserError(f'{folder} is no baseline: it has no {MANIFEST}')
  try:
    manifest = json.loads((place / MANIFEST).read_text('utf-8'))
    version = manifest['version']
    if version != VERSION:
      raise errors.UserError(
        f'{place / MANIFEST} is of version {version}, this is {VERSION}: save it again'
      )
    for name in _FILES:
      if _sha256(place / name) != manifest['sha256'][name]:
        raise errors.UserError(
          f'{place / name} is not the file that was saved: save the baseline again'
        )
    width = windows.Width(*manifest['width']) if manifest['width'] else None
    templates = messages.Templates.from_json(
      json.loads((place / TEMPLATES).read_text('utf-8')), str(place / TEMPLATES)
    )
    cells = pl.read_parquet(place / CELLS)
    seen = windows.Windows.restored(
      cells, width, manifest['records'], manifest['timed'], joins
    )
    key = SessionKey(**manifest['key']) if manifest['key'] else None
    frames = {name: pl.read_parquet(place / f'{name}.parquet') for name in _TABLES}
    sessions = Sessions.from_frames(frames, key)
    files = manifest['summary'].get('files', [])
  except (OSError, KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
    if isinstance(error, errors.UserError):
      raise
    raise errors.UserError(
      f'{folder} is a damaged baseline: {error!r}; save it again'
    ) from error
  return Baseline(templates, seen, sessions, files, folder)


def _sha256(path: pathlib.Path) -> str:
  return hashlib.sha256(path.read_bytes()).hexdigest()
