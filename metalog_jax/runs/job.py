"""All settings of a run, in memory and in config.json, and what they were used on."""

import dataclasses
import os
import pathlib
from typing import Any, Literal

from metalog_jax import atomic, errors, flags, types
from metalog_jax.detectors import registry
from metalog_jax.runs import folder
from metalog_jax.runs import problem as problems
from metalog_jax.training import loop as training


@dataclasses.dataclass(frozen=True)
class Job:
  """All settings of a run; config.json is this, and the systems' fingerprints."""

  detector: str
  preset: str
  method: Any  # the detector's Config
  data: problems.Options
  loop: training.Options = training.Options()
  alert_rate: float = 0.0  # > 0: the threshold that alerts on this share of sessions
  kind: Literal['run'] = 'run'
  model: str = ''  # a trained run folder to adapt to the target, in place of training

  def __post_init__(self):
    if not 0 <= self.alert_rate <= 1:
      raise errors.UserError(
        f'--alert_rate={self.alert_rate}: give a share from 0 to 1'
      )
    if self.alert_rate and getattr(self.method, 'false_alarms', 0):
      raise errors.UserError(
        '--alert_rate and --false_alarms both set the threshold: give one'
      )

  @property
  def folders(self) -> list[str]:
    """Every System folder that the run reads."""
    data = self.data
    tests = [test for test in data.test if test != types.REST]
    return [*data.source, *([data.target] if data.target else []), *tests]


def restore(workdir: str | os.PathLike) -> Job:
  """The job of a run folder: its config.json.

  Raises:
    UserError: `workdir` is no run folder, or its settings are not known here.
  """
  path = pathlib.Path(workdir) / folder.CONFIG
  if not path.exists():
    raise errors.UserError(
      f'{workdir} is no run folder (it has no {folder.CONFIG}): give one that '
      'metalog train has written'
    )
  config = folder.read_json(path)
  try:
    data = {
      k: tuple(v) if isinstance(v, list) else v for k, v in config['data'].items()
    }
    return Job(
      config['detector'],
      config['preset'],
      flags.restore(registry.get(config['detector']).Config(), config['method']),
      flags.restore(problems.Options(test=()), data),
      flags.restore(training.Options(), config['loop']),
      config.get('alert_rate', 0.0),
      model=config.get('model', ''),
    )
  except (KeyError, TypeError, AttributeError) as error:
    raise folder.damaged(path, f'{type(error).__name__}: {error}') from error


def check_settings(workdir: pathlib.Path, job: Job) -> None:
  """Refuses the folder of a run with other settings.

  Settings that are newer than the run count as their defaults.

  Raises:
    UserError: names the settings that differ.
  """
  if not (workdir / folder.CONFIG).exists():
    return
  before, now = (_flat(dataclasses.asdict(j)) for j in (restore(workdir), job))
  changed = sorted(k for k in {**before, **now} if before.get(k) != now.get(k))
  if changed:
    raise errors.UserError(
      f'{workdir} holds a run with other settings ({", ".join(changed)}): {_ELSE}'
    )


_ELSE = 'give another --workdir, or --overwrite'


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
  flat: dict[str, Any] = {}
  for name, value in settings.items():
    inner = _flat(value) if isinstance(value, dict) else {}
    flat |= {f'{name}.{key}': item for key, item in inner.items()} or {name: value}
  return flat


def check_content(workdir: pathlib.Path, fingerprints: dict[str, str]) -> None:
  """Refuses the folder of a run on other content under the same paths.

  Args:
    fingerprints: of folders that the run reads; those it did not record are ignored.

  Raises:
    UserError: names the folder that has changed.
  """
  recorded = folder.read_json(workdir / folder.CONFIG).get('systems', {})
  for name, value in fingerprints.items():
    if recorded.get(name, value) != value:
      raise errors.UserError(
        f'{name} has other content than when {workdir} was trained on it: {_ELSE}'
      )


def save(workdir: pathlib.Path, job: Job, fingerprints: dict[str, str]) -> None:
  """Writes config.json where there is none yet; else as `check_content`."""
  if (workdir / folder.CONFIG).exists():
    check_content(workdir, fingerprints)
  else:
    config = dataclasses.asdict(job) | {'systems': fingerprints}
    atomic.write_json(workdir / folder.CONFIG, config)
