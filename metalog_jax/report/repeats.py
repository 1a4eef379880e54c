"""Runs that differ in nothing but their seed are repeats of one experiment."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from metalog_jax.report import key_values, results
from metalog_jax.runs import record

_NOT_SETTINGS = ('seed', 'workdir')
_MOST_DIFFERENCES = 4  # named, of those between groups that look alike


class Group(NamedTuple):
  """Runs that differ in nothing but their seed."""

  runs: list[record.Run]
  differences: str  # settings that tell it from others that would look the same

  @property
  def results(self) -> list[results.Result]:
    return [run.result for run in self.runs]

  @property
  def name(self) -> str:
    return '; '.join(filter(None, [results.method(self.results[0]), self.differences]))

  @property
  def systems(self) -> str:
    return results.systems(self.results[0])

  @property
  def seeds(self) -> str:
    return ','.join(str(result.get('seed')) for result in self.results)


def group(runs: Sequence[record.Run]) -> list[Group]:
  """Runs grouped by all settings but the seed, in the order they were given."""
  groups: dict[str, list[record.Run]] = {}
  for run in runs:
    settings = [_without_seed(run.config), look(run.result)[:2]]
    groups.setdefault(json.dumps(settings, sort_keys=True), []).append(run)
  looks = {key: look(repeats[0].result) for key, repeats in groups.items()}
  leaves = {key: dict(key_values.flat(json.loads(key)[0])) for key in groups}
  alike = lambda key: [leaves[k] for k in groups if looks[k] == looks[key]]
  return [
    Group(repeats, _differences(leaves[key], alike(key)))
    for key, repeats in groups.items()
  ]


def look(result: results.Result) -> tuple[str, str, str]:
  """The cells that name a group: method, systems, labels of the target."""
  seen = (result.get('labels_seen') or {}).get('target') or {}
  counts = [results.number(seen.get(label, 0)) for label in ('normal', 'anomalous')]
  return results.method(result), results.systems(result), ' + '.join(counts)


def _without_seed(value: Any) -> Any:
  if not isinstance(value, dict):
    return value
  return {k: _without_seed(v) for k, v in value.items() if k not in _NOT_SETTINGS}


def _differences(settings: dict[str, str], alike: Sequence[dict[str, str]]) -> str:
  """Settings that are not the same among groups that look alike."""
  differing = [
    f'{path.rpartition(".")[2]}={text}'
    for path, text in settings.items()
    if any(other.get(path) != text for other in alike)
  ]
  rest = ['…'] if len(differing) > _MOST_DIFFERENCES else []
  return ', '.join(differing[:_MOST_DIFFERENCES] + rest)
