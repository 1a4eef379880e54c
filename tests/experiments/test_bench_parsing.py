import json

import numpy as np
import pytest

from experiments import bench
from experiments.benches import parsing
from metalog_jax.cli import main as programs
from metalog_jax.simulation import simulate


@pytest.fixture(scope='module')
def lines(tmp_path_factory):
  written = simulate('blockstore', tmp_path_factory.mktemp('simulated'), 100)
  return parsing.read_contents(written.log).to_list()


def test_arrival_answers_as_drain3_does(lines):
  theirs, ours = parsing.drain3(lines), parsing.arrival(lines)
  np.testing.assert_array_equal(theirs[0], ours[0])
  assert theirs[1] == ours[1]


def test_canonical_groups_these_lines_alike(lines):
  theirs, ours = parsing.drain3(lines), parsing.canonical(lines)
  assert len(set(zip(theirs[0], ours[0], strict=True))) == theirs[1] == ours[1]


def test_ratios_compare_samples_of_the_same_turn():
  others = list(parsing.VARIANTS)[1:]
  turns = [
    {'add_log_message': {'seconds': slow}, **{v: {'seconds': 1.0} for v in others}}
    for slow in (2.0, 4.0, 9.0)
  ]
  assert set(parsing.compare(turns).values()) == {4.0}


@pytest.mark.slow
def test_the_program_prints_a_table_and_writes_json(monkeypatch, tmp_path, capsys):
  monkeypatch.delenv('METALOG_DATA', raising=False)
  monkeypatch.setattr(parsing, 'LINES', 3000)
  report = tmp_path / 'bench.json'
  arguments = ['--suite=parsing', '--samples=1', f'--json={report}']
  assert programs.run(bench, 'bench', arguments) == 0
  printed, written = capsys.readouterr(), json.loads(report.read_text())
  assert 'METALOG_DATA is not set' in printed.err
  assert 'canonical, all cores' in printed.out
  assert [r['variant'] for r in written['results']] == list(parsing.VARIANTS)
  assert {r['lines'] for r in written['results']} == {3000}
  assert set(written['ratios']) == {'simulated'}
