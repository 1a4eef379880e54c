"""Seeds side by side: every run as it would be alone, and its folder too."""

import dataclasses
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalog_jax import errors, flags
from metalog_jax.detectors import logmeta, pca, registry
from metalog_jax.runs import model, run, seeds
from metalog_jax.training import checkpoints, loop
from tests.runs import test_run

fixture_root = test_run.fixture_root
SEEDS = [3, 0, 7]
QUIET = lambda _: None


def make_job(root, detector='metalog', **changes) -> run.Job:
  """Settings under which seeds draw other shapes and stop at other steps."""
  job = test_run.make_job(root)
  if detector == 'metalog':
    method = flags.replace(job.method, steps=30, patience=2, **changes)
  else:
    method = flags.replace(
      logmeta.Config(job.method.embedding),
      **{'hidden': 4, 'shots': 2, 'queries': 2, 'tasks': 2, 'steps': 4},
      **{'inner_steps': 2, 'adapt_steps': 2, **changes},
    )
  return dataclasses.replace(
    job, detector=detector, method=method, loop=loop.Options(2, 5)
  )


def in_float64(detector):
  """The detector with a state of float64, so that rounding is next to nothing."""
  wide = lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x

  def init(key, transfer):
    state = detector.init(key, transfer)
    return jax.tree.map(lambda x: jax.device_put(wide(x), x.sharding), state)

  return detector._replace(init=init)


@pytest.fixture(name='double')
def fixture_double(monkeypatch):
  """Every detector computes in float64."""
  make = {name: registry.get(name).make_detector for name in ('metalog', 'logmeta')}
  for name, function in make.items():
    wide = lambda config, function=function: in_float64(function(config))
    monkeypatch.setattr(registry.get(name), 'make_detector', wide)
  with jax.enable_x64(True):
    yield


def leaves(workdir: pathlib.Path) -> list[np.ndarray]:
  like = checkpoints.first_progress(model.load(workdir).state)
  saved = checkpoints.Checkpoints(workdir / 'checkpoints')
  progress = saved.restore(like)
  saved.close()
  return [np.asarray(x) for x in jax.tree.leaves(progress)]


def files(workdir: pathlib.Path) -> set[str]:
  return {
    path.relative_to(workdir).as_posix()
    for path in workdir.rglob('*')
    if path.is_file() and '/d/' not in path.as_posix()  # data, named by chance
  }


def assert_alike(one: pathlib.Path, other: pathlib.Path) -> None:
  """Two run folders hold the same run."""
  for a, b in zip(leaves(one), leaves(other), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
  assert files(one) == files(other)
  read = lambda path, name: json.loads((path / name).read_text())
  assert read(one, 'config.json') == read(other, 'config.json')
  results = [read(path, 'result.json') for path in (one, other)]
  for result in results:
    del result['seconds'], result['test_ms_per_session']
    del (result['adaptation'] or {'seconds': 0})['seconds']
  assert_close(*results)
  lines = lambda path: (path / 'metrics.jsonl').read_text().splitlines()
  assert_close(*([json.loads(x) for x in lines(path)] for path in (one, other)))


def assert_close(one, other) -> None:
  """JSON that differs by rounding alone."""
  if isinstance(one, float):
    assert one == pytest.approx(other, rel=1e-9, abs=1e-12)
  elif isinstance(one, dict):
    assert one.keys() == other.keys()
    assert_close([*one.values()], [*other.values()])
  elif isinstance(one, list):
    for a, b in zip(one, other, strict=True):
      assert_close(a, b)
  else:
    assert one == other


@pytest.mark.slow
@pytest.mark.parametrize('detector', ['metalog', 'logmeta'])
def test_each_run_is_as_if_alone(root, tmp_path, double, detector):
  job = make_job(root, detector)
  seeds.start(job, SEEDS, tmp_path / 'all', QUIET)
  stopped = set()
  for seed in SEEDS:
    one = dataclasses.replace(job, data=dataclasses.replace(job.data, seed=seed))
    result = run.start(one, tmp_path / str(seed), QUIET)
    stopped.add(result['steps'])
    assert_alike(tmp_path / 'all' / f'seed-{seed}', tmp_path / str(seed))
    model.load(tmp_path / 'all' / f'seed-{seed}')
    for path, beside in ((f'all/seed-{seed}', list(SEEDS)), (str(seed), None)):
      environment = json.loads((tmp_path / path / 'environment.json').read_text())
      assert environment['seeds_side_by_side'] == beside
  assert detector == 'logmeta' or len(stopped) > 1, 'no seed stopped before another'


def test_detectors_without_meta_steps_run_one_after_another(root, tmp_path):
  base = make_job(root)
  method = pca.Config(base.method.embedding)
  job = dataclasses.replace(base, detector='pca', method=method)
  said = []
  seeds.start(job, [0, 4], tmp_path / 'n{seed}', said.append)
  assert 'pca takes no meta-steps: its seeds are run one after another' in said
  for seed in (0, 4):
    result = json.loads((tmp_path / f'n{seed}' / 'result.json').read_text())
    assert result['seed'] == seed
  said.clear()
  seeds.start(job, [0, 4], tmp_path / 'n{seed}', said.append)
  assert sum('is finished already' in text for text in said) == 2


def test_where_runs_go():
  assert seeds.folders('runs/a', [0, 12]) == {0: 'runs/a/seed-0', 12: 'runs/a/seed-12'}
  assert seeds.folders('a{seed}/b', [7]) == {7: 'a7/b'}
  with pytest.raises(errors.UserError, match='--workdir'):
    seeds.folders('', [1])
