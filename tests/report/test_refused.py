"""Files of a run that are damaged, missing or another run's are refused by name."""

import shutil

import pytest

from metalog_jax import errors
from metalog_jax.report import report
from metalog_jax.runs import record

FILES = ('config.json', 'metrics.jsonl', 'scores.parquet', 'explained.json')


@pytest.mark.parametrize('name', [*FILES, 'result.json'])
def test_files_that_are_damaged_missing_or_of_another_run_are_named(make_run, name):
  mine, other = make_run('mine'), make_run('other', seed=1)
  assert record.read(mine).result['seed'] == 0
  if name == 'metrics.jsonl':  # that of a longer run
    (other / name).write_text('{"step": 9000, "loss": 1}')
  for damage in (
    lambda: shutil.copy(other / name, mine / name),
    lambda: (mine / name).write_bytes((mine / name).read_bytes()[:-9]),
    lambda: (mine / name).unlink(),
  ):
    damage()
    with pytest.raises(errors.UserError, match=name):
      report.write([mine], mine)


def test_folders_without_a_result(tmp_path):
  with pytest.raises(errors.UserError, match='no finished run'):
    report.write([tmp_path], tmp_path)
  with pytest.raises(errors.UserError, match='--runs'):
    report.write([], tmp_path)
