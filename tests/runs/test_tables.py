"""Arrow tables in, Arrow tables with scores out, in any process."""

import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metalog_jax import errors
from metalog_jax.logs import systems
from metalog_jax.runs import detect, model, run, tables
from tests.runs import test_baseline_runs, test_run

fixture_root, fixture_workdir = test_run.fixture_root, test_run.fixture_workdir


@pytest.mark.parametrize('detector', ['metalog', 'evidence'])
def test_batches_are_scored_as_by_detect(root, workdir, tmp_path, detector):
  if detector == 'evidence':  # computes on the host, by the templates' texts
    workdir = tmp_path / 'run'
    chosen = test_baseline_runs.make_job(root, 'evidence')
    run.start(chosen, workdir, say=lambda _: None)
  loaded = model.load(workdir)
  options = systems.Options('hdfs', (str(root / 'a' / 'x.log'),))  # with unknown lines
  systems.prepare(options, tmp_path / 'system', loaded.templates)
  table = pq.read_table(tmp_path / 'system' / 'sessions.parquet')
  score_batches = pickle.loads(pickle.dumps(tables.ScoreBatches(workdir)))
  batches = [table.slice(i, 7) for i in range(0, len(table), 7)]
  scored = pa.concat_tables(map(score_batches, batches)).to_pylist()
  verdicts = list(detect.detect(loaded, options.logs))
  for name in ('session_id', 'anomalous', 'unknown_events'):
    assert [row[name] for row in scored] == [v[name] for v in verdicts]
  scores = [[row['score'] for row in each] for each in (scored, verdicts)]
  np.testing.assert_allclose(*scores, rtol=0, atol=1e-6)
  assert any(row['unknown_events'] for row in scored)
  (batch,) = table.slice(0, 0).to_batches() or [table.to_batches()[0].slice(0, 0)]
  assert isinstance(score_batches(batch), pa.RecordBatch)


@pytest.mark.parametrize('columns, says', [
  ({'event': [[1]]}, 'no column events'),
  ({'events': [[1], [99]]}, 'other events'),
  ({'events': [[1], [-1]]}, 'other events'),
  ({'events': [[1], None]}, 'empty cell'),
])  # fmt: skip
def test_other_tables_are_refused(workdir, columns, says):
  with pytest.raises(errors.UserError, match=says):
    tables.ScoreBatches(workdir)(pa.table(columns))
