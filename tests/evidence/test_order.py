"""Order as evidence: leaving one out, and faults that counts do not show."""

import numpy as np
import pytest

from metalog_jax import errors, evidence, types
from metalog_jax.detectors import evidence as detector_lib
from metalog_jax.evidence import kinds, order
from metalog_jax.training import base
from tests import builders

OPEN, READ, WRITE, CLOSE, NOTE = 1, 2, 3, 4, 5


def legal(rng) -> list[int]:
  """A session in which files are closed last, and notes stand anywhere between."""
  middle = [READ, WRITE, NOTE] + rng.choice([READ, WRITE], rng.integers(0, 3)).tolist()
  return [OPEN, *rng.permutation(middle).tolist(), CLOSE]


@pytest.mark.parametrize('seed', range(3))
def test_leaving_one_out_is_fitting_without_it(seed):
  rng = np.random.default_rng(seed)
  rows = [rng.integers(0, 5, rng.integers(1, 5)).tolist() for _ in range(9)]
  sessions = builders.sessions(rows + [[], rows[0]])
  _, learned = kinds.fit(sessions, 6)
  for i in range(sessions.num):
    others = sessions.take(np.delete(np.arange(sessions.num), i))
    transitions, _ = kinds.fit(others, 6)
    alone = kinds.against(transitions, sessions.take(np.array([i])))
    assert learned.beside[learned.inverse[i], 0] == alone.beside[0, 0]


def test_new_events_are_not_counted_again():
  transitions = order.fit(np.array([1, 2, 3]), np.array([0, 3]), np.ones(1), 9)
  row, event = order.unseen(transitions, np.array([2, 1, 7, 1]), np.array([0, 2, 4]))
  assert row.tolist() == [0] and event.tolist() == [1]


def faulty_system(num: int, num_faults: int):
  """The first `num` sessions are normal; of the others some have a forbidden order."""
  rng = np.random.default_rng(0)
  rows = [legal(rng) for _ in range(2 * num)]
  faults = [[x[-1], *x[1:-1], x[0]] for x in rows[-num_faults:]]  # closed, then opened
  truth = np.repeat([0, 1], [len(rows), num_faults])
  labels = np.where(np.arange(len(truth)) < num, 0, -1)
  return builders.sessions(rows + faults, labels), truth


def judged(sessions: types.Sessions, without: str = ''):
  detector = detector_lib.make_detector(detector_lib.Config(without=without))
  data = types.Dataset('x', sessions, np.zeros((6, 2), np.float32))
  state = detector.init(None, types.Transfer((), data))
  rest = sessions.take(np.flatnonzero(sessions.labels < 0))
  data = data._replace(sessions=rest)
  return (
    detector.host.scores(state, data) > detector.host.threshold(state, data)[0],
    detector.host.verdicts(state, data),
  )


def test_a_forbidden_order_of_usual_counts_is_found():
  sessions, truth = faulty_system(600, 12)
  rest = truth[sessions.labels < 0]
  alarms, verdicts = judged(sessions)
  assert alarms[rest == 1].all() and alarms[rest == 0].mean() < 0.01
  part = next(x for x in verdicts[-1]['evidence'] if x['name'] == 'order')
  assert part['value'] > 3
  blind, _ = judged(sessions, 'order')
  assert blind[rest == 1].mean() - blind[rest == 0].mean() < 0.5  # counts cannot tell


def test_few_normals_cannot_say_what_order_is_forbidden():
  sessions, _ = faulty_system(100, 5)
  _, verdicts = judged(sessions)
  values = [x['value'] for v in verdicts for x in v['evidence'] if x['name'] == 'order']
  assert not any(values)


def test_what_is_off_unless_asked_for():
  assert detector_lib.Config().without == ','.join(evidence.OFF)


def test_an_evidence_that_is_off_is_nowhere():
  rng = np.random.default_rng(0)
  normals = evidence.Sample.of(rng.poisson([2.0, 1.0, 0.1], (80, 3)))
  odd = evidence.Sample.of(rng.poisson([9.0, 0.1, 3.0], (4, 3)))
  for name in evidence.NAMES:
    fitted = evidence.fit(normals, odd, normals, without=(name,))
    assert not fitted.judge(odd.counts).parts[:, evidence.NAMES.index(name)].any()
  with pytest.raises(errors.UserError, match='distance'):
    detector_lib.make_detector(detector_lib.Config(without='distence'))


def test_blind_needs_nothing_beside():
  """Sessions of one event have no transition."""
  sessions = builders.sessions([[1]] * 3, [0, 0, -1])
  transfer = base.blind(
    types.Transfer((), types.Dataset('x', sessions, np.zeros((2, 2)))),
    detector_lib.needs(detector_lib.Config()),
  )
  state = detector_lib.make_detector(detector_lib.Config()).init(None, transfer)
  assert not state['beside'].any() and len(state['first']) == 1
