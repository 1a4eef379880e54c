"""Torture finds what it looks for; a short version of it is a slow proof."""

import contextlib
import subprocess
import sys

import pytest

from experiments import torture
from experiments.tortures import damage
from metalog_jax import errors


def test_a_try_that_a_kill_cut_short_is_made_again(tmp_path):
  (tmp_path / 'tries.jsonl').write_text('{"kind": "kills"}\n{"kind": "ki')
  assert torture.read(tmp_path) == [{'kind': 'kills'}]


@pytest.mark.parametrize('rows, fault', [
  ([], 'lost'), (['a', 'b', 'b'], 'doubled'), (['a', 'c'], 'different'),
  (['b', 'a'], 'different'), (['a', 'b'], ''),
])  # fmt: skip
def test_what_a_finished_job_must_have(rows, fault):
  from experiments.tortures import kinds  # imports all that programs need

  faults = kinds.compare({'file': rows}, {'file': ['a', 'b']})
  assert [text.split(':')[0] for text in faults] == [fault] * bool(fault)


def test_what_readers_make_of_damage(tmp_path):
  """One that checks, one that names no file, one that checks nothing, and one that ends
  in a traceback."""
  for name in ('base', 'other'):
    (tmp_path / name).mkdir()
    (tmp_path / name / 'file.txt').write_text(f'content of {name}')

  def careful(folder):
    path = folder / 'file.txt'
    if not path.is_file() or path.read_text('latin-1') != 'content of base':
      raise errors.UserError(f'{path} is damaged')
    return 'content of base'

  def nameless(folder):
    with contextlib.suppress(errors.UserError):
      return careful(folder)
    raise errors.UserError('all of it is damaged')

  readers = {
    'refused': careful,
    'refused unnamed': nameless,
    'alike': lambda folder: 1,
    'WRONG': lambda folder: (folder / 'file.txt').read_text('latin-1'),
  }
  for outcome, read in readers.items():
    folder = damage.Folder(tmp_path / 'base', tmp_path / 'other', read)
    rows = [*damage.outcomes(folder, seed=0, flips=2)]
    assert {row[2].split(':')[0] for row in rows} == {outcome}
    whats = [row[1] for row in rows]
    assert whats == ['flipped', 'flipped', 'cut', 'emptied', 'longer', 'removed',
                     'a folder', 'swapped']  # fmt: skip
    if outcome == 'WRONG':
      assert 'IsADirectoryError' in rows[6][2]
  unit = damage.Folder(tmp_path / 'base', tmp_path / 'other', nameless, unit='all of')
  assert {row[2] for row in damage.outcomes(unit, seed=0, flips=1)} == {'refused'}
  assert '| x | flipped | 2 | 0 | 0 | 0 | 2 |' in damage.table(('x', *r) for r in rows)


@pytest.mark.slow
@pytest.mark.parametrize('arguments', [
  '--kills=40', '--kind=terminates,stops,two --count=1',
  '--kind=quota,clock --count=1 --target=prepare,scan_state,baseline,export',
  '--damaged=system,baseline,state,exported --flips=1',
])  # fmt: skip
def test_a_short_torture(tmp_path_factory, arguments):
  out = tmp_path_factory.getbasetemp() / 'torture'  # its inputs serve all
  command = [sys.executable, '-m', 'experiments.torture', f'--out={out}']
  done = subprocess.run([*command, *arguments.split()], capture_output=True, text=True)
  assert done.returncode == 0, done.stdout + done.stderr
