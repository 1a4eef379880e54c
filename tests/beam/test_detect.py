"""Verdicts on Beam are those of `detect`."""

import json

import numpy as np
import pytest

pytest.importorskip('apache_beam')

import apache_beam as beam

from metalog_jax.beam import detect as beam_detect
from metalog_jax.beam import prepare
from metalog_jax.runs import detect, model
from tests.runs import test_run

fixture_root, fixture_workdir = test_run.fixture_root, test_run.fixture_workdir


@pytest.mark.parametrize('partitions, chunk_bytes', [(1, 0), (5, 700)])
def test_verdicts_are_those_of_detect(root, workdir, tmp_path, partitions, chunk_bytes):
  logs = [str(root / 'b' / 'x.log'), str(root / 'a' / 'x.log')]
  pipeline = beam.Pipeline(runner='DirectRunner')
  judged, _ = pipeline | beam_detect.Judged(
    workdir, logs, partitions=partitions, chunk_bytes=chunk_bytes
  )
  lines = judged | beam.FlatMap(beam_detect.to_json)
  lines | beam.io.WriteToText(str(tmp_path / 'verdicts'))
  prepare.finish(pipeline)
  files = tmp_path.glob('verdicts*')
  rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
  rows.sort(key=lambda row: row['first_line'])
  verdicts = list(detect.detect(model.load(workdir), logs))
  for name in set(beam_detect.SHOWN) - {'score'}:
    assert [row[name] for row in rows] == [v[name] for v in verdicts], name
  scores = [[row['score'] for row in each] for each in (rows, verdicts)]
  np.testing.assert_allclose(*scores, rtol=0, atol=1e-6)
  assert any(row['unknown_events'] for row in rows)
