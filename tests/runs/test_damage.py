"""Whatever happens to a file of a System, a run or a model: refused with its name.

Each file is cut, flipped, emptied, removed, made a folder, and exchanged for the file
of another run or System.
"""

import collections
import dataclasses
import json
import pathlib
import random
import shutil

import jax
import numpy as np
import polars as pl
import pytest

from experiments.tortures import damage
from metalog_jax import errors
from metalog_jax.detectors import evidence
from metalog_jax.logs import manifests, store
from metalog_jax.runs import detect, folder, model, run
from metalog_jax.training import checkpoints
from tests.runs import test_baseline_runs, test_run

quiet = lambda _: None
fixture_root = test_run.fixture_root


class Middle(random.Random):
  """Draws the middle, so that a test always does the same."""

  def randrange(self, start):
    return start // 2


def break_and_mend(base: pathlib.Path, other: pathlib.Path, names):
  """Yields (file, what) with one file of `base` damaged; it is whole again after."""
  for name in names:
    path = base / name
    content = path.read_bytes()
    for what, do in damage.damages(path, other / name, Middle()):
      do()
      yield name, what
      if path.is_dir():
        path.rmdir()
      path.write_bytes(content)


def test_every_file_of_a_run(root, tmp_path):
  chosen = test_baseline_runs.make_job(root, 'pca')
  run.start(chosen, tmp_path / 'run', say=quiet)
  other = dataclasses.replace(chosen.data, seed=1)
  other = dataclasses.replace(chosen, data=other)
  run.start(other, tmp_path / 'other', say=quiet)
  workdir, tried = tmp_path / 'run', 0
  for name, what in break_and_mend(workdir, tmp_path / 'other', damage.files(workdir)):
    tried += 1
    if (name, what) == (folder.CHECKSUMS, 'longer'):  # the same JSON
      continue
    again = lambda x: run.start(chosen, x, say=quiet)
    unfinished = (name, what) == (folder.RESULT, 'removed')  # it goes on
    for read in (model.load, folder.verify, *([] if unfinished else [again])):
      with pytest.raises(errors.UserError) as error:
        read(workdir)
        pytest.fail(f'{name} {what} was read')
      if name != folder.CHECKSUMS and name != folder.CONFIG:
        assert name in str(error.value), (name, what)
  print(f'{tried} damages of a run')
  assert tried > 100
  assert model.load(workdir).threshold is not None


def test_every_file_of_a_system(root, tmp_path):
  base = shutil.copytree(root / 'system_b', tmp_path / 'system_b')
  tried = 0
  for name, what in break_and_mend(base, root / 'system_a', damage.files(base)):
    tried += 1
    if (name, what) == ('manifest.json', 'longer'):  # the same JSON
      continue
    with pytest.raises(errors.UserError) as error:
      store.load(base)
    assert name in str(error.value), (name, what)
  print(f'{tried} damages of a System')
  store.load(base)


def test_a_checkpoint_that_is_refused_is_closed(tmp_path, monkeypatch):
  """Its threads would be waited for at the end of the process."""
  closed, close = [], checkpoints.Checkpoints.close
  monkeypatch.setattr(
    checkpoints.Checkpoints, 'close', lambda self: closed.append(close(self))
  )
  (tmp_path / folder.CHECKPOINTS / '1').mkdir(parents=True)
  detector = evidence.make_detector(evidence.Config())
  with pytest.raises(errors.UserError, match='no checkpoint that can be read'):
    model.trained_state(tmp_path, detector, np.zeros((1, 1)))
  assert closed


def test_every_file_of_a_checkpoint(tmp_path):
  """A run that goes on has no checksums yet: refused, or the very same is read."""
  tree = {
    'a': np.arange(40.0),
    'b': {'c': np.array(3, np.int32), 'd': np.ones((3, 500))},
  }
  for name, scale in (('run', 1), ('other', 2)):
    saved = checkpoints.Checkpoints(tmp_path / name)
    saved.save(1, jax.tree.map(lambda x, scale=scale: x * scale, tree))
    saved.close()
  saved = checkpoints.Checkpoints(tmp_path / 'run')
  assert saved.restore(tree)['b']['c'] == 3
  saved.close()
  counts = collections.Counter()
  names = damage.files(tmp_path / 'run')
  for file, what in break_and_mend(tmp_path / 'run', tmp_path / 'other', names):
    copy = shutil.copytree(tmp_path / 'run', tmp_path / 'copy')
    try:
      saved = checkpoints.Checkpoints(copy)
      found = saved.restore(tree)
      saved.close()
      same = found is not None and all(
        np.array_equal(x, y)
        for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(tree))
      )
      counts['read alike' if same else f'WRONG: {file} {what}'] += 1
    except errors.UserError as error:
      assert str(copy) in str(error)
      counts['refused'] += 1
    shutil.rmtree(copy)
  print(counts)
  assert set(counts) == {'read alike', 'refused'}


def test_verdicts_do_not_replace_what_is_read(root, tmp_path):
  chosen = test_baseline_runs.make_job(root, 'pca')
  workdir, log = tmp_path / 'run', tmp_path / 'x.log'
  run.start(chosen, workdir, say=quiet)
  shutil.copy(root / 'b' / 'x.log', log)
  (tmp_path / 'link').symlink_to(log)
  before = log.read_bytes()
  for out in (log, tmp_path / 'link', workdir / 'result.json', tmp_path, '/dev/full'):
    for logs in ([str(log)], [str(tmp_path / '*.log')], [str(tmp_path)]):
      with pytest.raises(errors.UserError):
        with detect.writer(out, logs, workdir):
          pytest.fail('it was opened')
  assert log.read_bytes() == before
  with pytest.raises(RuntimeError):  # nothing is left after an error
    with detect.writer(tmp_path / 'out.jsonl', [str(log)], workdir) as write:
      write({'a': 1})
      raise RuntimeError
  with detect.writer(tmp_path / 'out.jsonl', [str(log)], workdir) as first:
    with detect.writer(tmp_path / 'out.jsonl', [str(log)], workdir) as second:
      first({'of': 1})
      second({'of': 2})
  assert (tmp_path / 'out.jsonl').read_text() == '{"of": 1}\n'
  assert sorted(p.name for p in tmp_path.iterdir()) == [
    'link',
    'out.jsonl',
    'run',
    'x.log',
  ]


def test_templates_without_events_are_named(root, tmp_path):
  """Checksums were made anew; the message named no file."""
  job = test_baseline_runs.make_job(root, 'evidence')
  run.start(job, tmp_path, say=quiet)
  path = tmp_path / folder.MODEL / model.EVENTS
  pl.read_parquet(path)[:-2].write_parquet(path)
  sums = json.loads((tmp_path / folder.CHECKSUMS).read_text())
  sums[path.relative_to(tmp_path).as_posix()] = manifests.file_hash(path)
  (tmp_path / folder.CHECKSUMS).write_text(json.dumps(sums))
  with pytest.raises(errors.UserError, match='templates.json.* more templates than'):
    model.load(tmp_path)
