"""The Python door: what `import metalog_jax as ml` offers.

  ml.prepare('HDFS.log', system='hdfs', labels='anomaly_label.csv', out='systems/hdfs')
  run = ml.train(source='systems/hdfs', target='systems/bgl', workdir='runs/a')
  run.scores                                    # a polars frame, one row a session
  ml.load('runs/a').detect('new.log').to_polars()

Paths are str or Path, one or a list of them.
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import polars as pl

from metalog_jax import errors, flags, machine, types
from metalog_jax.detectors import registry
from metalog_jax.logs import store, systems
from metalog_jax.report import report
from metalog_jax.runs import detect, folder, model, problem
from metalog_jax.runs import run as runs
from metalog_jax.simulation import simulate
from metalog_jax.training import loop

Path = str | os.PathLike
Paths = Path | Iterable[Path]
__all__ = ['Run', 'System', 'adapt', 'load', 'prepare', 'simulate', 'train']


@dataclasses.dataclass(frozen=True)
class System(os.PathLike):
  """A System folder; it can be given wherever a path of one is asked for."""

  folder: pathlib.Path
  manifest: dict[str, Any] = dataclasses.field(repr=False)  # lines, templates, ...

  def __fspath__(self) -> str:
    return str(self.folder)

  def load(self) -> types.System:
    """Its templates and sessions as arrays."""
    return store.load(self.folder)


@dataclasses.dataclass(frozen=True)
class Run(os.PathLike):
  """A finished run folder."""

  folder: pathlib.Path

  def __fspath__(self) -> str:
    return str(self.folder)

  @property
  def result(self) -> dict[str, Any]:
    """What result.json holds: metrics of every test set, floors, seconds."""
    return folder.read_json(self.folder / folder.RESULT)

  @property
  def scores(self) -> pl.DataFrame:
    """system, session_id, label, score of every tested session."""
    return pl.read_parquet(self.folder / folder.SCORES)

  def report(self, out: Path | None = None) -> pathlib.Path:
    """Writes report.html and report.md, by default into the run folder; the path."""
    return report.write([self.folder], out or self.folder)

  @functools.cached_property
  def model(self) -> model.Model:
    """The trained detector, with the templates and vectors it knows."""
    machine.use()
    return model.load(self.folder)

  def detect(
    self, logs: Paths, threshold: float | None = None, workers: int = 1, **changes: Any
  ) -> detect.Verdicts:
    """Judges every session of raw logs, in order of first appearance.

    Args:
      logs: files in order, compressed or not; read as the target's were in training.
      threshold: scores above it are anomalous; None: the run's own.
      workers: processes that parse.
      **changes: of how lines are read: format=REGEX, max_bad_lines='10%', window=...

    Returns:
      An iterable of verdicts (dicts); `to_polars()` makes a frame of them.

    Raises:
      UserError: the run knows no raw lines, or the lines do not fit the format.
    """
    return detect.detect(self.model, _paths(logs), threshold, changes, workers)


def load(workdir: Path) -> Run:
  """A finished run.

  Raises:
    UserError: `workdir` is none, or its files are not those of its run.
  """
  folder.verify(workdir)
  return Run(pathlib.Path(workdir))


def prepare(
  logs: Paths = (), *, system: str, out: Path, workers: int = 1, **options: Any
) -> System:
  """Raw logs, or session files, to a System folder; does nothing if it is up to date.

  Args:
    logs: files in order, patterns or folders, compressed or not.
    system: format of the logs: hdfs, bgl, ..., custom, jsonl.
    out: the System folder to write.
    workers: processes; any number gives the same folder.
    **options: further flags of `metalog prepare`: labels, format, window, ...

  Raises:
    UserError: an input or an option is wrong; the message says what to change.
  """
  chosen = _record(systems.Options, {'system': system, 'logs': logs, **options})
  manifest = systems.up_to_date(chosen, out)
  manifest = manifest or systems.prepare(chosen, out, None, workers)
  return System(pathlib.Path(out), manifest)


def train(*, workdir: Path, devices: int = 0, **settings: Any) -> Run:
  """Trains a detector, or goes on with the run that `workdir` holds.

  Args:
    workdir: the run folder.
    devices: CPU cores to share each batch out to; 0: all, up to 4.
    **settings: see `make_job`.

  Raises:
    UserError: a setting is wrong, or the data are unfit; the message says which.
    KeyboardInterrupt: a signal stopped it; the same call goes on.
  """
  machine.use(devices)
  return _start(make_job(**settings), workdir)


def adapt(trained: Path, *, target: Path, workdir: Path, **settings: Any) -> Run:
  """Adapts a trained model to another system by a few labels, without its sources.

  Args:
    trained: a finished run.
    target: System folder to adapt to.
    workdir: the run folder to write.
    **settings: further flags of `metalog adapt` and of the detector.

  Raises:
    UserError: a setting is wrong, or the data are unfit; the message says which.
  """
  machine.use()
  return _start(adaptation_job(trained, target=target, **settings), workdir)


def make_job(
  *,
  source: Paths = (),
  target: Path = '',
  target_normals: int | str = '30%',
  target_anomalies: int | str = '1%',
  detector: str = 'metalog',
  preset: str = 'default',
  vectors: str | None = None,
  encoder: str | None = None,
  alert_rate: float = 0.0,
  validate_every: int = 10,
  checkpoint_every: int = 50,
  **settings: Any,
) -> runs.Job:
  """All settings of a run, checked.

  Args:
    source: System folders whose labels are all known.
    target: System folder to detect anomalies in; '': zero-shot, and `test` is needed.
    target_normals, target_anomalies: labels to use of either: a count or a share.
    detector, preset: which method, and its settings to start from.
    vectors, encoder, alert_rate, validate_every, checkpoint_every: as in its flags.
    **settings: further flags of `metalog train` (test, split, seed, ...) and of the
      detector (hidden=50, order='first', ...).

  Raises:
    UserError: a name, a choice or a number is wrong.
  """
  base = registry.choose(detector, preset, vectors, encoder)
  settings |= {'source': source, 'target': target}
  settings |= {'target_normals': target_normals, 'target_anomalies': target_anomalies}
  data, method = _shared_out(settings)
  return runs.Job(
    detector,
    preset,
    flags.with_settings(detector, base, method),
    _record(problem.Options, data),
    loop.Options(validate_every, checkpoint_every),
    alert_rate,
  )


def adaptation_job(trained: Path, **settings: Any) -> runs.Job:
  """All settings of an adaptation; those that are not given are the trained model's.

  Raises:
    UserError: `trained` is no run folder, or a setting is wrong.
  """
  base = runs.restore(trained)
  few = {'target_normals': 10, 'target_anomalies': 10, 'split': 'random'}
  data, method = _shared_out({**few, 'fit': base.data.fit, **settings})
  return dataclasses.replace(
    base,
    method=flags.with_settings(base.detector, base.method, method),
    data=_record(problem.Options, {**data, 'validation': 0.0}),
    loop=loop.Options(),
    model=os.fspath(trained),
  )


def _start(job: runs.Job, workdir: Path) -> Run:
  if runs.start(job, workdir, say=bool) is None:
    raise KeyboardInterrupt
  return Run(pathlib.Path(workdir))


def _shared_out(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
  """(what is of the data, what is of the method)."""
  names = {field.name for field in dataclasses.fields(problem.Options)}
  data = {name: value for name, value in settings.items() if name in names}
  return data, {name: value for name, value in settings.items() if name not in names}


def _record(kind: Any, given: dict[str, Any]) -> Any:
  """A dataclass of settings: paths become text, and one path a tuple of one."""
  defaults = {field.name: field.default for field in dataclasses.fields(kind)}
  for name, value in given.items():
    if name not in defaults:
      raise errors.unknown_choice('setting', name, defaults)
    if isinstance(defaults[name], tuple):
      given[name] = _paths(value)
    elif isinstance(defaults[name], str):
      given[name] = os.fspath(value) if isinstance(value, os.PathLike) else str(value)
  return kind(**given)


def _paths(given: Paths) -> tuple[str, ...]:
  """One path or several as a tuple of str; a str is one path."""
  given = [given] if isinstance(given, str | os.PathLike) else given
  return tuple(os.fspath(path) for path in given)
