"""The detector `evidence`: its state, its verdicts, and what it is shown."""

import jax
import numpy as np
import pytest

from metalog_jax import errors, types
from metalog_jax.detectors import evidence
from metalog_jax.evaluation import metrics, scoring
from metalog_jax.training import base, checkpoints
from tests import builders
from tests.detectors import systems

DEFAULT = evidence.Config()


def fitted(transfer, config=DEFAULT):
  detector = evidence.make_detector(config)
  state = detector.init(jax.random.key(0), base.blind(transfer, evidence.needs(config)))
  return detector, state, scoring.Scorer(detector)


def test_anomalies_score_higher_and_verdicts_add_up():
  _, state, scorer = fitted(systems.transfer())
  test = systems.system(2, 150, 2)
  scores = scorer.scores(state, test)
  assert metrics.measure(test.sessions.labels, scores, 0.5)['auroc'] > 0.9
  for score, verdict in zip(scores, scorer.verdicts(state, test), strict=True):
    assert sum(part['value'] for part in verdict['evidence']) == pytest.approx(score)
    assert 0 < verdict['p_value'] <= 1
  shares = scorer.weights(state, test)
  assert [len(x) for x in shares] == test.sessions.lengths.tolist()
  np.testing.assert_allclose([x.sum() for x in shares], 1)


def test_the_state_survives_a_checkpoint_as_it_was(tmp_path):
  detector, state, scorer = fitted(systems.transfer())
  saved = checkpoints.Checkpoints(tmp_path)
  saved.save(0, checkpoints.first_progress(state))
  found = saved.restore(None).best_state
  saved.close()
  test = systems.system(2, 50, 2)
  expected = scorer.scores(state, test)
  np.testing.assert_array_equal(scorer.scores(found, test), expected)


@pytest.mark.parametrize('hidden', [(0, 1), (1,)])
def test_labels_that_are_missing(hidden):
  """Without normals, or without anomalies, what is left serves."""
  transfer = systems.transfer()
  sessions = transfer.target.sessions
  labels = np.where(np.isin(sessions.labels, hidden), -1, sessions.labels)
  target = transfer.target._replace(sessions=sessions._replace(labels=labels))
  detector, state, scorer = fitted(types.Transfer((), target))
  test = systems.system(2, 150, 2)
  scores = scorer.scores(state, test)
  assert metrics.measure(test.sessions.labels, scores, 0.5)['auroc'] > 0.7
  assert np.isfinite(detector.host.threshold(state, test)[0])


def test_without_a_target_sessions_are_held_against_each_other():
  detector, state, scorer = fitted(systems.transfer(zero_shot=True))
  test = systems.system(7, 60, 1)
  scores = scorer.scores(state, test)
  verdicts = scorer.verdicts(state, test)
  totals = [sum(x['value'] for x in verdict['evidence']) for verdict in verdicts]
  np.testing.assert_allclose(totals, scores)
  assert detector.host.threshold(state, test)[1] == 'likely_gap'


def test_templates_are_known_by_their_text_and_others_are_new():
  transfer = systems.transfer()
  texts = tuple(f'template {i}' for i in range(len(transfer.target.vectors)))
  target = transfer.target._replace(templates=texts)
  _, state, scorer = fitted(types.Transfer((), target))
  test = systems.system(2, 40, 2)
  order = np.random.default_rng(0).permutation(len(texts))
  place = np.argsort(order).astype(np.int32)
  moved = test._replace(
    templates=tuple(texts[i] for i in order),
    sessions=test.sessions._replace(events=place[test.sessions.events]),
  )
  same = scorer.scores(state, test._replace(templates=texts))
  np.testing.assert_allclose(scorer.scores(state, moved), same)
  others = test._replace(templates=tuple(f'other {i}' for i in range(len(texts))))
  assert scorer.scores(state, others).min() > same.min()


@pytest.mark.parametrize('label', [-1, 0])
def test_false_alarms_need_normals(label):
  """Half of them are held out: of one, none would be."""
  target = systems.transfer().target
  sessions = builders.sessions([[1, 2]])
  target = target._replace(
    sessions=sessions._replace(labels=np.array([label], np.int8))
  )
  transfer = types.Transfer((), target)
  _, state, scorer = fitted(transfer, evidence.Config(false_alarms=0.01))
  with pytest.raises(errors.UserError, match='--target_normals'):
    scorer.scores(state, systems.system(2, 5, 2))


def test_a_rate_that_so_few_normals_cannot_promise_is_told():
  test = systems.system(2, 50, 2)
  for rate, told in ((0.0001, True), (0.2, False)):
    detector, state, _ = fitted(systems.transfer(), evidence.Config(false_alarms=rate))
    host, scores = detector.host, detector.host.scores(state, test)
    threshold, _ = host.threshold(state, test)
    for limit in (threshold, threshold + 1):  # the promise is not of another one
      texts = host.warnings(state, host.tally(state, scores, limit), limit)
      said = any('asked for: label more normals' in text for text in texts)
      assert said == (told and limit == threshold)


def test_evidences_that_are_left_can_see():
  counted = 'new_events,new_number,distance,range,absent,gone,deviation,order'
  left = 'ratio,trees,event_trees'
  config = evidence.Config(without=f'{counted},{left}')  # missed, unlike take back
  with pytest.raises(errors.UserError, match='--evidence.without=.*name fewer'):
    evidence.make_detector(config)
  transfer = systems.transfer()
  alone = evidence.Config(without=f'{counted.replace("gone,", "")},{left}')
  with pytest.raises(errors.UserError, match='--evidence.without=.*anomalies=0'):
    fitted(transfer, alone)
  config = evidence.Config(without=counted)
  fitted(transfer, config)
  sessions = transfer.target.sessions
  labels = np.minimum(sessions.labels, 0)
  target = transfer.target._replace(sessions=sessions._replace(labels=labels))
  with pytest.raises(errors.UserError, match='--evidence.without=.*target_anomalies'):
    fitted(types.Transfer((), target), config)


def test_a_model_from_before_an_evidence_keeps_its_scores():
  """Its threshold is of them: what came later is off."""
  target = systems.transfer().target._replace(
    sessions=builders.sessions([[1, 2, 3]] * 20, [0] * 20)
  )
  transfer = types.Transfer((), target)
  test = target._replace(sessions=builders.sessions([[1], [1, 2, 3]]))
  _, state, scorer = fitted(transfer)
  _, without, other = fitted(transfer, evidence.Config(without='order,gone'))
  expected = other.scores(without, test)
  assert (expected < scorer.scores(state, test)).tolist() == [True, False]
  names = [name for name in evidence.evidence.NAMES if name != 'gone']
  named = state | {'evidences': evidence._packed(names)}
  del state['evidences']
  for old in (state, named):
    np.testing.assert_array_equal(scorer.scores(old, test), expected)
