"""Files of a run that are damaged, missing or another run's are refused by name."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metalog_jax import errors
from metalog_jax.report import report
from metalog_jax.runs import record


@pytest.mark.parametrize(
  ('name', 'content', 'message'),
  [
    ('result.json', '{"test":', 'result.json is damaged'),
    ('result.json', '[]', 'result.json is damaged'),
    ('result.json', '{"detector": "x"}', 'result.json is damaged .not all of test'),
    ('result.json', '{"detector": "x", "test": {"rest": {"all": {"f1": "x"}}}}',
     'result.json is damaged .it has no figures of rest, all'),
    ('config.json', 'nope', 'config.json is damaged'),
    ('metrics.jsonl', '{"step": 1}\nbroken\n{"step": 2}', r'metrics.jsonl is .*line 2'),
    ('metrics.jsonl', '{"step": 1}\n[3]\n{"step": 2}', r'metrics.jsonl is .*line 2'),
    ('scores.parquet', 'PAR', 'scores.parquet is damaged'),
    ('explained.json', '{"rest": [{}]}', 'explained.json is damaged'),
    ('explained.json', '{"rest": 3}', 'explained.json is damaged'),
  ],
)  # fmt: skip
@pytest.mark.parametrize('sealed', [True, False])
def test_damaged_files_are_named(old_run, make_run, name, content, message, sealed):
  path = make_run() if sealed else old_run()
  (path / name).write_text(content)
  message = rf'{name} is damaged' if sealed else message
  with pytest.raises(errors.UserError, match=message):
    report.write([path], path)


FILES = ('config.json', 'metrics.jsonl', 'scores.parquet', 'explained.json')


@pytest.mark.parametrize('name', FILES)
def test_missing_files_are_said_to_be_missing(make_run, name):
  path = make_run()
  (path / name).unlink()
  with pytest.raises(errors.UserError, match=rf'{name}( is missing|\)|:)'):
    report.write([path], path)


@pytest.mark.parametrize('name', [*FILES, 'result.json'])
@pytest.mark.parametrize('sealed', [True, False])
def test_files_of_another_run_are_refused(make_run, old_run, name, sealed):
  make = make_run if sealed else old_run
  mine, other = make('mine'), make('other', seed=1)
  assert record.read(mine).result['seed'] == 0
  if name == 'metrics.jsonl':  # that of a longer run
    (other / name).write_text('{"step": 9000, "loss": 1}')
  shutil.copy(other / name, mine / name)
  with pytest.raises(errors.UserError) as raised:
    report.write([mine], mine)
  said = str(raised.value)
  assert name in said or (name == 'result.json' and 'is not of this run' in said)


def test_scores_without_a_column_and_folders_without_a_result(old_run, tmp_path):
  path = old_run()
  pq.write_table(
    pa.table({'system': ['rest'], 'score': [0.1]}), path / 'scores.parquet'
  )
  with pytest.raises(errors.UserError, match='scores.parquet is damaged .*session_id'):
    report.write([path], path)
  with pytest.raises(errors.UserError, match='no finished run'):
    report.write([tmp_path], tmp_path)
  with pytest.raises(errors.UserError, match='--runs'):
    report.write([], tmp_path)
