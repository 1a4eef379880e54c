"""The programs behind docs/evidence.md: what they refuse, and simulated families."""

import numpy as np
import pytest

from experiments import evidence_ablation, evidence_cells, lowered, scan_figures
from experiments.studies import families
from metalog_jax import errors, types
from metalog_jax.cli import options
from metalog_jax.detectors import evidence


@pytest.mark.parametrize(
  ('program', 'flag'),
  [
    (evidence_cells, '--table=cels'),
    (evidence_cells, '--without=distnce'),
    (evidence_ablation, '--systems=x --turned=tree'),
    (lowered, '--gradients=first'),
    (scan_figures, '--data=hdf'),
    (scan_figures, '--peers=drain'),
  ],
)
def test_choices_that_do_not_exist_are_refused(program, flag):
  name = flag.split()[-1].partition('=')[0]
  with pytest.raises(errors.UserError, match=name):
    options.parse(program, 'name', flag.split())


@pytest.mark.parametrize('family', families.FAMILIES, ids=lambda x: x.__name__)
def test_families_are_decided_by_their_seed(family, monkeypatch):
  monkeypatch.setattr(families, 'NUM', 200)
  one, again, other = (families.system(family, seed) for seed in (0, 0, 1))
  assert np.array_equal(one.sessions.events, again.sessions.events)
  assert not np.array_equal(one.sessions.events[:50], other.sessions.events[:50])
  assert one.sessions.lengths.min() > 0 and one.sessions.events.min() > 0
  assert len(one.templates) == len(one.counts) == one.sessions.events.max() + 1
  for system in (one, other):
    assert 0 < (system.sessions.labels == 1).mean() < 0.4


def test_floors_and_evidence_see_no_label_of_the_test(monkeypatch):
  system = families.system(families.workflows, 0)
  seen = []
  monkeypatch.setattr(
    evidence_cells.floors, 'scores', lambda shown, test: seen.append(test) or {}
  )
  cell = evidence_cells.measured(system, 'random', ('30', 5), 0, ('order',))
  assert (seen[0].sessions.labels == -1).all() and 0 < cell['evidence'][0] <= 1


def test_what_the_scores_alone_find_is_cut_where_they_say():
  """Faults of calls that no single evidence sees: each rule flags next to nothing."""
  cell = evidence_cells.Cell(
    families.system(families.traces, 2), 'random', ('30%', 0), 2
  )
  scores, threshold = cell.judged(without=('order',))
  flagged, faulty = scores > threshold, cell.test.labels == 1
  assert 2 * (flagged & faulty).sum() / (flagged.sum() + faulty.sum()) > 0.7


def test_a_group_without_systems_is_told(tmp_path):
  with pytest.raises(errors.UserError, match='has no hdfs'):
    list(evidence_cells.real(tmp_path, 1))


def test_a_row_of_groups_is_the_mean_over_systems_and_numbers_of_normals(
  monkeypatch, capsys
):
  def measured(system, kind, num, seed, without):
    f1 = (system + num[1] + (num[0] == '100') * 30) / 100
    return {'evidence': [f1], 'a': [0.2, 1, 1], 'b': [0.1 + f1, 1, 1]}

  monkeypatch.setattr(evidence_cells, 'measured', measured)
  evidence_cells.group_rows([('x', [(10, 0), (20, 1)]), ('y', [(15, 0)])], ())
  lines = capsys.readouterr().out.splitlines()
  expected = ' '.join(f'{25 + k:.1f} / {35 + k:.1f} |' for k in (0, 1, 5, 10, 20))
  assert lines[2:] == [f'| {name} | {expected}' for name in ('x', 'y', 'mean')]


def test_without_labels_a_row_has_what_the_detector_says(monkeypatch, capsys):
  monkeypatch.setattr(families, 'NUM', 300)
  system = families.system(families.rounds, 0)
  evidence_cells.unlabelled_rows([('rounds', [(system, 0)])])
  anomalous = system.sessions.labels == 1
  blind = system.sessions._replace(labels=np.full(300, -1, np.int8))
  detector = evidence.make_detector(evidence.Config())
  vectors = np.zeros((len(system.templates), 1), np.float32)
  data = types.Dataset('', blind, vectors, system.templates)
  state = detector.init(None, types.Transfer((), None))
  scores = detector.host.scores(state, data)
  flagged = scores > detector.host.threshold(state, data)[0]
  f1 = 200 * (flagged & anomalous).sum() / (flagged.sum() + anomalous.sum())
  assert capsys.readouterr().out.splitlines()[2].startswith(f'| rounds | {f1:.1f} /')
