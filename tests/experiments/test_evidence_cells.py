"""The programs behind docs/evidence.md: what they refuse, and simulated families."""

import numpy as np
import pytest

from experiments import evidence_ablation, evidence_cells, lowered, scan_figures
from experiments.studies import families
from metalog_jax import errors
from metalog_jax.cli import options


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
