"""The Python door: what `import metalog_jax as ml` offers.

  ml.scan('app.log', baseline='good.log')        # findings, the most important first
  ml.prepare('HDFS.log', system='hdfs', labels='anomaly_label.csv', out='systems/hdfs')
  run = ml.train(target='systems/bgl', target_anomalies=3, workdir='runs/a')
  run.scores                                    # a polars frame, one row a session
  ml.load('runs/a').detect('new.log').to_polars()

Paths are str or Path, one or a list of them.
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

import polars as pl

from metalog_jax import errors, flags, machine, types
from metalog_jax.detectors import registry
from metalog_jax.logs import budgets, store, systems
from metalog_jax.report import report
from metalog_jax.runs import detect, folder, model, problem
from metalog_jax.runs import run as runs
from metalog_jax.runs import seeds as several
from metalog_jax.scanning import scan as scans
from metalog_jax.simulation import simulate
from metalog_jax.training import loop

Path = str | os.PathLike
Paths = Path | Iterable[Path]
__all__ = [
  'Run',
  'System',
  'adapt',
  'load',
  'prepare',
  'scan',
  'simulate',
  'train',
  'train_seeds',
]


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

  def __str__(self) -> str:
    """The table of its results; of a run that was stopped, its folder."""
    return report.table(self.result) if self.is_finished else f'{self.folder}: stopped'

  @property
  def is_finished(self) -> bool:
    """Whether it has a result; if a signal stopped it, the same call continues."""
    return (self.folder / folder.RESULT).exists()

  @property
  def result(self) -> dict[str, Any]:
    """The content of result.json: metrics of every test set, floors, seconds."""
    return folder.read_json(self.folder / folder.RESULT)

  @property
  def scores(self) -> pl.DataFrame:
    """system, session_id, label, score of every tested session."""
    return pl.read_parquet(self.folder / folder.SCORES, glob=False)

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


def scan(logs: Paths, *, baseline: Paths = (), **options: Any) -> scans.Findings:
  """What stands out in logs: no labels, no training.

  Args:
    logs: files, folders, patterns.
    baseline: logs of a good run, or a folder of `metalog scan --save-baseline`.
    **options: further fields of `scan.Options`: window, format, false_alarms, ...

  Raises:
    UserError: a log or an option is wrong; the message says which.
  """
  settings = {'baseline': baseline, **options}
  chosen = _take(scans.Options, settings)
  if settings:
    known = [field.name for field in dataclasses.fields(chosen)]
    raise errors.unknown_choice('option', next(iter(settings)), known)
  return scans.scan(_paths(logs), chosen)


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
  options |= {'system': system, 'logs': logs}
  chosen = _take(systems.Options, options)
  if options:
    known = [field.name for field in dataclasses.fields(chosen)]
    raise errors.unknown_choice('option', next(iter(options)), known)
  manifest = systems.up_to_date(chosen, out)
  manifest = manifest or systems.prepare(chosen, out, None, workers)
  return System(pathlib.Path(out), manifest)


def train(
  *,
  workdir: Path,
  devices: int = 0,
  overwrite: bool = False,
  say: Callable[[str], Any] = bool,
  **settings: Any,
) -> Run:
  """Trains a detector, or goes on with the run that `workdir` holds.

  Args:
    workdir: the run folder.
    devices: CPU cores to share each batch out to; 0: all, up to 4.
    overwrite: delete the run that `workdir` holds first.
    say: called with messages for the user.
    **settings: see `make_job`.

  Raises:
    UserError: a setting is wrong, or the data are unfit; the message says which.
  """
  machine.use(devices)
  job = make_job(**settings)
  if overwrite:
    inputs = (settings.get('vectors'), settings.get('encoder'))
    folder.clear(workdir, [*job.folders, *filter(None, inputs)])
  runs.start(job, workdir, say)
  return Run(pathlib.Path(workdir))


def train_seeds(
  *,
  seeds: Iterable[int],
  workdir: Path,
  devices: int = 0,
  overwrite: bool = False,
  say: Callable[[str], Any] = bool,
  **settings: Any,
) -> list[Run]:
  """Trains a detector once a seed: in one program, if it takes meta-steps.

  Args:
    seeds: different numbers; the others as in `train`.
    workdir: each run has its own folder in it, `seed-N`; or the folder of a run, with
      {seed} where N is to stand.

  Returns:
    The runs, in the order of the seeds.

  Raises:
    UserError: a setting is wrong, or the data are unfit; the message says which.
  """
  machine.use(devices)
  folders = several.folders(workdir, list(seeds))
  job = make_job(**settings)
  if overwrite:
    inputs = (settings.get('vectors'), settings.get('encoder'))
    for path in folders.values():
      folder.clear(path, [*job.folders, *filter(None, inputs)])
  several.start(job, list(folders), workdir, say)
  return [Run(pathlib.Path(path)) for path in folders.values()]


def explain(*, devices: int = 0, **settings: Any) -> str:
  """The cost of a training step in work, memory and time, and its gradient mode.

  Args:
    devices, settings: as in `train`.
  """
  machine.use(devices)
  return runs.explain(make_job(**settings))


def adapt(
  trained: Path,
  *,
  target: Path,
  workdir: Path,
  say: Callable[[str], Any] = bool,
  **settings: Any,
) -> Run:
  """Adapts a trained model to another system by a few labels, without its sources.

  Args:
    trained: a finished run.
    target: System folder to adapt to.
    workdir: the run folder to write.
    say: called with messages for the user.
    **settings: further flags of `metalog adapt`, and of the detector; those that are
      not given are the trained model's.

  Raises:
    UserError: a setting is wrong, or the data are unfit; the message says which.
  """
  machine.use()
  base = runs.restore(trained)
  few = {'target_normals': 10, 'target_anomalies': 10, 'split': 'random'}
  settings = {**few, 'fit': base.data.fit, **settings}
  settings |= {'target': target, 'validation': 0.0}
  data = _take(problem.Options, settings)
  method = flags.with_settings(base.detector, base.method, settings)
  rate = base.alert_rate
  if rate and getattr(method, 'false_alarms', 0):
    say(
      f'--{base.detector}.false_alarms replaces the --alert_rate={rate:g} of {trained}'
    )
    rate = 0.0
  job = dataclasses.replace(
    base,
    data=data,
    method=method,
    loop=loop.Options(),
    alert_rate=rate,
    model=os.fspath(trained),
  )
  runs.start(job, workdir, say)
  return Run(pathlib.Path(workdir))


def make_job(
  *,
  detector: str = 'evidence',
  preset: str = 'default',
  vectors: str | None = None,
  encoder: str | None = None,
  alert_rate: float | str = 0.0,
  false_alarms: float | str = 0.0,
  **settings: Any,
) -> runs.Job:
  """All settings of a run, checked; for what each means, see `metalog train --help`.

  Args:
    **settings: source, target, target_normals, target_anomalies, test, split, seed, ...
      and settings of the detector, over its preset: hidden=50, order='first', ...

  Raises:
    UserError: a name, a choice or a number is wrong.
  """
  base = registry.choose(detector, preset, vectors, encoder)
  if promised := budgets.rate(false_alarms, 'false_alarms'):
    if not hasattr(base, 'false_alarms'):
      raise errors.UserError(
        f'--false_alarms: {detector} cannot promise a rate; use --detector=evidence, '
        'or --alert_rate'
      )
    settings['false_alarms'] = promised
  data, looping = _take(problem.Options, settings), _take(loop.Options, settings)
  method = flags.with_settings(detector, base, settings)
  rate = budgets.rate(alert_rate, 'alert_rate')
  return runs.Job(detector, preset, method, data, looping, rate)


def _take(kind: Any, settings: dict[str, Any]) -> Any:
  """A `kind` of those settings that are its fields; they are taken out.

  Paths and numbers become text where the field has text, and one path a tuple of one.
  """
  taken = {}
  for field in dataclasses.fields(kind):
    if field.name in settings:
      value = taken[field.name] = settings.pop(field.name)
      if isinstance(field.default, tuple):
        taken[field.name] = _paths(value)
      elif isinstance(field.default, str):
        is_path = isinstance(value, os.PathLike)
        taken[field.name] = os.fspath(value) if is_path else str(value)
  return kind(**taken)


def _paths(given: Paths) -> tuple[str, ...]:
  """One path or several as a tuple of str; a str is one path."""
  given = [given] if isinstance(given, str | os.PathLike) else given
  return tuple(os.fspath(path) for path in given)
