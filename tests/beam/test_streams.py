"""Verdicts on a stream: whatever order lines come in, and however late."""

import json

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip('apache_beam')

import apache_beam as beam
from apache_beam.options import pipeline_options
from apache_beam.testing import test_stream

from metalog_jax.beam import prepare, streams
from metalog_jax.runs import model, tables
from tests.runs import test_run

fixture_root, fixture_workdir = test_run.fixture_root, test_run.fixture_workdir
START = 1226262000  # 081109 202000


def line(block: int, second: int, text: str = 'fetched chunk of') -> str:
  clock = f'20{20 + second // 60:02}{second % 60:02}'
  return f'081109 {clock} 14 INFO dfs.Node: {text} blk_{block}'


def judge(stream, workdir, out, **settings) -> list[tuple]:
  """(session, events, score) of every verdict, in order of their names."""
  options = pipeline_options.PipelineOptions(streaming=True, runner='DirectRunner')
  pipeline = beam.Pipeline(options=options)
  verdicts = pipeline | stream | streams.Judged(workdir, 60, **settings)
  rows = verdicts | beam.FlatMap(lambda table: map(json.dumps, table.to_pylist()))
  rows | beam.Map(
    lambda row, path: open(path, 'a').write(row + '\n') and None, str(out)
  )
  prepare.finish(pipeline)
  found = [json.loads(row) for row in out.read_text().splitlines()]
  return sorted((row['session_id'], row['events'], row['score']) for row in found)


def test_windows_and_late_lines(workdir, tmp_path):
  texts = ('fetched chunk of', 'kept copy of', 'storage error during write of')
  lines = [line(1 + i % 2, 3 * i % 100, texts[i % 3]) for i in range(40)]
  lines += ['no line of this system', line(3, 5, 'nobody has seen this')]
  shuffled = np.random.default_rng(0).permutation(lines).tolist()
  early = (
    test_stream.TestStream()
    .advance_watermark_to(START)
    .add_elements(shuffled[:20])
    .add_elements(shuffled[20:])
    .advance_watermark_to(START + 70)
  )
  late, too_late = line(1, 20, texts[2]), line(2, 21)
  stream = (
    early.add_elements([late]).advance_watermark_to(START + 300)
    .add_elements([too_late]).advance_watermark_to_infinity()
  )  # fmt: skip
  verdicts = judge(stream, workdir, tmp_path / 'a', lateness=100)
  first = [v for v in verdicts if v[0] == f'blk_1#{START}']
  assert len(first) == 2  # the second has the late line too
  shorter, longer = sorted(first, key=lambda v: len(v[1]))
  assert len(longer[1]) == len(shorter[1]) + 1
  names = {f'blk_{i}#{START + 60 * j}' for i in (1, 2) for j in (0, 1)}
  assert {name for name, _, _ in verdicts} == names | {f'blk_3#{START}'}
  assert len(verdicts) == 6
  unknown = next(v for v in verdicts if v[0] == f'blk_3#{START}')
  assert unknown[1] == [0]
  # The scores are those of the same sessions in a table.
  table = pa.table({'events': pa.array([v[1] for v in verdicts], pa.list_(pa.int32()))})
  scores = tables.ScoreBatches(workdir)(table)['score'].to_numpy()
  np.testing.assert_allclose([v[2] for v in verdicts], scores, rtol=0, atol=1e-6)
  # In order of time, as one reads them in a file: no other order of arrival matters.
  again = (
    test_stream.TestStream().advance_watermark_to(START)
    .add_elements([*sorted(lines), late]).advance_watermark_to_infinity()
  )  # fmt: skip
  ordered = judge(again, workdir, tmp_path / 'b')
  assert [v[:2] for v in ordered] == [v[:2] for v in verdicts if v != shorter]
  frozen = model.load(workdir).templates
  assert max(event for v in verdicts for event in v[1]) < len(frozen.texts)
