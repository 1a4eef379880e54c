"""Runs that differ in nothing but their seed are repeats of one experiment."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from metalog_jax.report import results, run_folder

_NOT_A_SETTING = ('seed', 'workdir')
_MOST_DIFFERENCES = 4  # named, of those between groups that look alike


class Group(NamedTuple):
  """Runs that differ in nothing but their seed."""

  runs: list[run_folder.Run]
  differences: str  # settings that tell it from others that would look the same

  @property
  def found(self) -> list[results.Result]:
    return [run.result for run in self.runs]

  @property
  def name(self) -> str:
    more = f'; {self.differences}' if self.differences else ''
    return results.method(self.found[0]) + more

  @property
  def seeds(self) -> str:
    return ','.join(str(result.get('seed')) for result in self.found)


def find(runs: Sequence[run_folder.Run]) -> list[Group]:
  """Runs grouped by all settings but the seed, in the order they were given."""
  by_settings: dict[str, list[run_folder.Run]] = {}
  for run in runs:
    by_settings.setdefault(json.dumps(_settings(run), sort_keys=True), []).append(run)
  looks = [look(of[0].result) for of in by_settings.values()]
  found = []
  for (settings, of), mine in zip(by_settings.items(), looks, strict=True):
    alike = [s for s, other in zip(by_settings, looks, strict=True) if other == mine]
    found.append(Group(of, _differences(settings, alike)))
  return found


def _settings(run: run_folder.Run) -> dict[str, Any]:
  """Everything that was set, as far as it is known."""
  keys = ('detector', 'preset', 'order', 'source', 'target')
  return {'config': _without_seed(run.config)} | {k: run.result.get(k) for k in keys}


def _without_seed(value: Any) -> Any:
  if not isinstance(value, dict):
    return value
  kept = {k: v for k, v in value.items() if k not in _NOT_A_SETTING}
  return {k: _without_seed(v) for k, v in kept.items()}


def look(result: results.Result) -> tuple[str, ...]:
  """The cells that name a group."""
  return (
    results.method(result),
    results.systems(result),
    results.target_labels(result),
  )


def _differences(settings: str, alike: Sequence[str]) -> str:
  """Settings that are not the same among groups that look alike."""
  others = [dict(_leaves(json.loads(other)['config'])) for other in alike]
  mine = _leaves(json.loads(settings)['config'])
  differing = [
    f'{path.rpartition(".")[2]}={value}'
    for path, value in mine
    if any(other.get(path) != value for other in others)
  ]
  more = ['…'] if len(differing) > _MOST_DIFFERENCES else []
  return ', '.join(differing[:_MOST_DIFFERENCES] + more)


def _leaves(value: Any, path: str = '') -> list[tuple[str, str]]:
  if not isinstance(value, dict):
    return [(path, json.dumps(value).strip('"'))]
  pairs = ((f'{path}.{key}' if path else key, v) for key, v in value.items())
  return [leaf for key, v in pairs for leaf in _leaves(v, key)]
