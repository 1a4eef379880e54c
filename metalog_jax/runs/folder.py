"""A run folder: what it holds, whether it is still what its run wrote, and its end.

result.json is written last: a folder that has it is a finished run. checksums.json,
just before it, has the SHA-256 of every file of the run, so that files of another run,
cut or changed ones are found when they are read (`verify`).
"""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import polars as pl
import pyarrow as pa
from jax.experimental import multihost_utils

from metalog_jax import atomic, errors
from metalog_jax.logs import manifests

CONFIG, RESULT, CHECKSUMS = 'config.json', 'result.json', 'checksums.json'
ENVIRONMENT, EXPLAINED = 'environment.json', 'explained.json'
SCORES, METRICS = 'scores.parquet', 'metrics.jsonl'
CHECKPOINTS, MODEL, ADAPTED = 'checkpoints', 'model', 'adapted'
WRITTEN = (CONFIG, ENVIRONMENT, EXPLAINED, SCORES, METRICS, CHECKPOINTS, MODEL, ADAPTED)
REPORT = ('figures', 'report.html', 'report.md', 'results.csv', 'tensorboard')
_NAMES = '|'.join(map(re.escape, (*WRITTEN, RESULT, CHECKSUMS, *REPORT)))
# .NAME.TOKEN.partial.SUFFIX and NAME.tmp are left by writes that were killed
_OURS = re.compile(rf'({_NAMES})(\.tmp)?|\.({_NAMES})\..*partial.*|process_\d+')


def run_folder(workdir: str | os.PathLike) -> pathlib.Path:
  """The run folder that a flag names.

  Raises:
    UserError: it names none, which would be the current folder.
  """
  if not str(workdir):
    raise errors.UserError('--workdir is empty: give the folder of the run')
  return pathlib.Path(workdir)


def clear(workdir: str | os.PathLike, inputs: Iterable[str | os.PathLike] = ()) -> None:
  """Empties a run folder, so that a run can begin anew there: --overwrite.

  Of several processes the first one empties it, and the others wait. The folder itself
  stays.

  Args:
    inputs: files and folders that the new run reads.

  Raises:
    UserError: it is no run folder, holds what no run has written, holds an input, or
      is in use. Nothing is deleted then.
  """
  try:
    if jax.process_index() == 0 and (folder := run_folder(workdir)).exists():
      _check_disposable(folder, inputs)
      with atomic.locked(folder):
        for path in folder.iterdir():
          if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
          else:
            path.unlink()
  finally:
    if jax.process_count() > 1:
      multihost_utils.sync_global_devices('the run folder is empty')


def _check_disposable(folder: pathlib.Path, inputs) -> None:
  """Refuses to empty anything but a run folder, and one with inputs in it."""

  def refuse(why: str):
    raise errors.UserError(
      f'--overwrite: {folder} {why}; nothing was deleted: give another --workdir'
    )

  if not folder.is_dir():
    refuse('is no folder')
  for item in inputs:
    if item and pathlib.Path(os.path.realpath(item)).is_relative_to(folder.resolve()):
      refuse(f'holds {item}, which is read')
  names = {path.name for path in folder.iterdir()}
  if strange := sorted(name for name in names if not _OURS.fullmatch(name)):
    refuse(f'holds {strange[0]}, which no run has written')
  if names and not _is_run(folder):
    refuse('is no run folder')


def _is_run(folder: pathlib.Path) -> bool:
  """Whether a file that no other program writes tells so; others may be damaged."""
  with contextlib.suppress(errors.UserError):
    if read_json(folder / CONFIG).get('kind') == 'run':
      return True
  with contextlib.suppress(errors.UserError):
    return 'metalog_jax' in read_json(folder / ENVIRONMENT)
  return False


def seal(workdir: pathlib.Path, result: dict[str, Any]) -> dict[str, Any]:
  """Ends a run: writes checksums.json and, last, result.json, which is returned."""
  text = atomic.to_json(result, indent=1) + '\n'
  sums = {name: manifests.file_hash(workdir / name) for name in _files(workdir)}
  sums[RESULT] = hashlib.sha256(text.encode()).hexdigest()
  atomic.write_json(workdir / CHECKSUMS, sums)
  atomic.write_text(workdir / RESULT, text)
  return json.loads(text)


def _files(workdir: pathlib.Path) -> list[str]:
  """Every file of the run, relative to its folder."""
  paths = [workdir / name for name in WRITTEN]
  inside = [path for folder in paths for path in sorted(folder.rglob('*'))]
  return [
    path.relative_to(workdir).as_posix() for path in (*paths, *inside) if path.is_file()
  ]


def verify(workdir: str | os.PathLike) -> None:
  """Checks that a finished run is what its run wrote.

  Raises:
    UserError: it is no finished run; or a file is missing, damaged, or of another run.
  """
  workdir = pathlib.Path(workdir)
  for name in (CONFIG, RESULT, CHECKSUMS):
    if not (workdir / name).exists():
      raise errors.UserError(
        f'{workdir} is no finished run (it has no {name}; version 0.1.0 wrote no '
        f'{CHECKSUMS}): give a folder that metalog train has finished, or train again '
        'with --overwrite'
      )
  for name, expected in read_json(workdir / CHECKSUMS).items():
    path = workdir / name
    if not path.resolve().is_relative_to(workdir.resolve()):
      raise damaged(workdir / CHECKSUMS, f'{name} is no file of the run')
    if not path.is_file():
      raise missing(path)
    if manifests.file_hash(path) != expected:
      raise damaged(path, f'it does not fit {CHECKSUMS}; is it of another run?')


def fingerprint(workdir: str | os.PathLike) -> str:
  """A hash of all that a finished run wrote."""
  return manifests.file_hash(pathlib.Path(workdir) / CHECKSUMS)


_ANEW = 'restore it, or train again with --overwrite'


def missing(path: pathlib.Path) -> errors.UserError:
  """The error for a file of a run that is missing now."""
  return errors.UserError(f'{path} is missing: {_ANEW}')


def damaged(path: pathlib.Path, why: Any) -> errors.UserError:
  """The error for a file that is not what its run wrote."""
  reason = (str(why) or type(why).__name__).splitlines()[0][:200]
  return errors.UserError(f'{path} is damaged ({reason}): {_ANEW}')


@contextlib.contextmanager
def reading(path: pathlib.Path) -> Iterator[None]:
  """Whatever is wrong with the values in a file, or files, of a run is called damage.

  Raises:
    UserError: one was raised inside, or anything that a strange value brings about.
    MemoryError: there is too little.
  """
  try:
    yield
  except (errors.UserError, MemoryError):  # pyarrow's is an ArrowException as well
    raise
  except (
    *(OSError, LookupError, ValueError, TypeError, AttributeError, OverflowError),
    *(RecursionError, pa.ArrowException, pl.exceptions.PolarsError),
  ) as error:
    raise damaged(path, error) from error


def read_json(path: pathlib.Path, kind: type = dict) -> Any:
  """The value in a JSON file of a run, which must be of type `kind`.

  Raises:
    UserError: the file is missing or damaged.
  """
  try:
    value = json.loads(path.read_bytes())
  except FileNotFoundError:
    raise missing(path) from None
  except (ValueError, OSError, RecursionError) as error:
    raise damaged(path, error) from None
  if not isinstance(value, kind):
    raise damaged(path, f'no JSON {kind.__name__}')
  return value
