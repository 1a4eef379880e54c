"""What the rules are asked with, and how far each is heard."""

import numpy as np
import pytest

from metalog_jax import evidence
from metalog_jax.evidence import committee, forest, rules
from tests.evidence.faults import kinds_of_faults

sample = evidence.Sample.of


def test_votes_are_of_what_is_labelled_here(monkeypatch):
  fitted, rest, _ = kinds_of_faults([0] * 5 + [1])
  given, weights = [], committee.weights
  monkeypatch.setattr(committee, 'weights', lambda *x: given.append(x) or weights(*x))
  for later in (False, True):
    rules.worlds(fitted._replace(later=later), rest)
  share = rules.unseen_share(fitted)
  assert given == [
    (0, 30, False), (6, 30, False, share), (0, 30, True), (6, 30, True, share)
  ]  # fmt: skip


def test_rules_are_tried_on_the_labelled_anomalies(monkeypatch):
  fitted, rest, _ = kinds_of_faults([0] * 4)
  given = {}
  silent = lambda votes, hits, num: given.update(hits) or dict.fromkeys(votes, 0.0)
  monkeypatch.setattr(committee, 'tried', silent)
  assert not rules.worlds(fitted, rest).votes.any()
  assert given['alert'] == given['new'] == 4 and 'crowd' not in given


def test_what_a_rule_flags_of_the_normals_as_well_it_has_not_found(monkeypatch):
  """Half of the normals, and of the others, have an event of their own."""
  bags = np.zeros((80, 41))
  bags[:, 0], bags[np.arange(80) % 2 == 1, 1:] = 1, np.eye(40)
  given, excess = [], committee.excess
  monkeypatch.setattr(committee, 'excess', lambda *x: given.append(x) or excess(*x))
  evidence.fit(*(sample(x) for x in (bags[:40], bags[:0], bags[40:])))
  assert given[0] == (0.5, 20, 40)  # of the rule `new`


def test_a_kind_of_two_labelled_anomalies_is_known_to_each():
  anomalies = sample(np.eye(8)[[2, 3]] + np.eye(8)[0], np.array([2, 1]))
  normals = sample(np.eye(8)[:1], np.array([20]))
  rest = sample(np.eye(8))
  fitted = evidence.fit(normals, anomalies, rest)
  alert = rules._alerts(fitted, fitted.anomalies, rest.counts)
  assert alert.own[-2:].tolist() == [True, False]


def test_the_say_of_learned_scores_is_a_share_of_the_other_rules():
  usual = np.random.default_rng(0).poisson([3, 4, 5], (100, 3))
  bags = np.pad(usual, ((0, 0), (0, 2)))
  bags[97:, 3] = 3
  rest = sample(bags[30:])
  fitted = evidence.fit(sample(bags[:30]), sample(bags[:0]), rest)
  votes, num = rules.worlds(fitted, rest).votes, len(committee.PLACES)
  named = dict(zip(committee.weights(0, 30), votes[:-num]))
  assert named.pop('crowd') > 0
  assert votes[-num:].sum() == pytest.approx(
    committee.BLIND.share * sum(named.values())
  )


def test_learned_scores_without_anomalies_lie_around_theirs():
  scores = np.linspace(0, 4, 401)
  per = committee.calibrated_votes(scores, committee.NO_ANOMALY, committee.BLIND.spread)
  lowest = [scores[column].min() for column in per.T]
  assert 0.4 < lowest[0] < lowest[1] < 2 < lowest[3] < lowest[4] < 3.6
  say = committee.SAY
  assert committee.BLIND.spread <= say.spread and committee.BLIND.share < say.share


def test_what_is_forgiven_makes_no_score_higher():
  normals = sample(np.array([[3.0, 1.0, 0.0]]), np.array([50]))
  later = sample(
    np.array([[3.0, 1.0, 0.0], [5.0, 0.0, 0.0], [0.0, 1.0, 9.0]]),
    np.array([50, 40, 10]),
  )
  none = sample(np.zeros((0, 3)))
  fitted = evidence.fit(normals, none, later, later=True)
  kinder, strict = (
    x.judge(later.counts).scores for x in (fitted, fitted._replace(forgiving=None))
  )
  assert (kinder <= strict).all() and kinder[1] < strict[1]


def test_scores_that_differ_by_less_than_a_tie_are_equal():
  fitted, *_ = kinds_of_faults([0])
  highest = (fitted.normal.scores + fitted.fresh).max()
  assert fitted.p_values(highest + 0.01) > 1 / 31 == fitted.p_values(highest + 0.1)


def test_drift_is_of_the_sessions_called_normal():
  fitted, *_ = kinds_of_faults([0])
  odd, usual = np.full(200, 50.0), np.repeat(fitted.normal.scores, 10)
  said = lambda scores, limit: fitted.warnings(*fitted.quiet(scores, limit))
  assert 'drift: 100%' in said(odd, 100.0)[0]
  assert [fitted.quiet(odd, x)[0] for x in (49.9, 50.0)] == [0, 200]
  assert said(usual, 100.0) == said(np.append(usual, odd), 40.0) == []


def test_p_values_of_a_promise_are_by_the_normals_held_out():
  normals = sample(np.random.default_rng(0).poisson([1.0, 3.0, 9.0], (60, 3)))
  none = sample(np.zeros((0, 3)))
  fitted = evidence.fit(normals, none, none, false_alarms=0.1)
  held = evidence.samples.halves(normals, 0)[1]
  scores = fitted.judge(held.counts).scores
  np.testing.assert_array_equal(fitted.normal.scores, scores)
  expected = [held.times[scores >= x - 0.02].sum() + 1 for x in scores]
  np.testing.assert_allclose(fitted.p_values(scores), np.array(expected) / 31)


def test_sessions_count_in_trees_as_often_as_they_are():
  grown = forest.grow(np.zeros((2, 1)), np.array([0, 1]), np.array([3.0, 1.0]))
  np.testing.assert_allclose(forest.probabilities(grown, np.zeros((1, 1))), 0.25)


def test_trees_look_at_more_than_the_most_telling_input():
  label = np.arange(100) % 2
  near = np.where(np.arange(100) < 4, 1 - label, label)
  table = np.column_stack([label, near, *np.zeros((8, 100))])
  shares = forest.grow(table, label, np.ones(100)).importances
  assert shares[1] > 0.2


def test_estimates_are_by_half_and_by_all_of_the_labelled_anomalies(monkeypatch):
  fitted, rest, _ = kinds_of_faults([0] * 4)
  given, estimate = [], committee.estimate
  spy = lambda *x: given.append(x[3:]) or estimate(*x)
  monkeypatch.setattr(committee, 'estimate', spy)
  rules.worlds(fitted, rest)
  assert given == [(), (0.5,), (1.0,)]


def test_learned_scores_do_not_reckon_with_unlikeness(monkeypatch):
  fitted, rest, _ = kinds_of_faults([0] * 4)
  fitted = fitted._replace(later=True, missed=None)
  given, votes = [], committee.calibrated_votes
  monkeypatch.setattr(
    committee, 'calibrated_votes', lambda *x: given.append(x[0]) or votes(*x)
  )
  rules.worlds(fitted, rest)
  judged = fitted.judge(rest.counts)
  unlike = judged.parts[:, evidence.NAMES.index('unlike')]
  assert unlike.any()
  np.testing.assert_allclose(given[-1], judged.scores - unlike)


def test_the_plain_verdict_is_tried_without_what_labels_say(monkeypatch):
  """Anomalies that look like normal sessions; the labels alone tell of them."""
  rng = np.random.default_rng(0)
  usual = lambda num: rng.poisson([3, 4, 5, 4], (num, 4))
  normals, rest, odd = usual(60), usual(300), np.tile([[3, 4, 5, 4]], (6, 1))
  given, tried = {}, committee.tried
  spy = lambda votes, hits, num: given.update(hits) or tried(votes, hits, num)
  monkeypatch.setattr(committee, 'tried', spy)
  evidence.fit(*(sample(x) for x in (normals, odd, rest)))
  assert given['plain'] == 0 < given['trees']


def test_few_normals_beside_the_anomalies_have_fewer_votes():
  assert committee.weights(5, 5)['new'] < committee.weights(5, 500)['new']


def test_shares_are_of_sessions_and_not_of_kinds(monkeypatch):
  given, excess = [], committee.excess
  monkeypatch.setattr(committee, 'excess', lambda *x: given.append(x) or excess(*x))
  normals, rest = np.eye(2)[:1], sample(np.eye(2), np.array([30, 10]))
  evidence.fit(sample(normals, np.array([9])), sample(normals[:0]), rest)
  assert given[0] == (0.25, 0, 9)


def test_evidences_that_are_off_neither_vote_nor_count_as_unseen():
  usual = np.random.default_rng(0).poisson([3, 4, 5], (100, 3))
  bags = np.pad(usual, ((0, 0), (0, 2)))
  bags[94:, 3] = 3
  samples = [sample(x) for x in (bags[:30], bags[94:], bags[30:94])]
  fitted = evidence.fit(*samples, without=('order', 'trees', 'event_trees'))
  assert rules.unseen_share(fitted) == 1 / 8
  assert fitted.judge(samples[1].counts).votes.any(axis=0).tolist() == [
    True,
    False,
    False,
  ]


def test_an_order_that_is_rare_among_the_normals_is_as_good_as_new():
  fitted, rest, _ = kinds_of_faults([0])
  judged = fitted.judge(rest.counts)
  judged.parts[:5, evidence.NAMES.index('order')] = 1
  normal = fitted.model.values, fitted.model.weights
  assert rules._verdicts(judged, *normal)['new'].tolist()[:6] == [True] * 5 + [False]


def test_every_frequent_later_kind_is_forgiven():
  normals = sample(np.array([[3.0, 1.0, 0.0]]), np.array([50]))
  later = sample(np.array([[5.0, 0, 0], [0, 7, 0], [9, 9, 0]]), np.full(3, 30))
  none = sample(np.zeros((0, 3)))
  assert evidence.fit(normals, none, later, later=True).forgiven.shape[0] == 3


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('later', [False, True])
@pytest.mark.parametrize('num', [20, 60])
def test_few_sessions_to_judge_do_not_make_those_after_them_odd(num, later, seed):
  """Windows of twenty lines, hardly two of them alike, with no fault in any."""
  rng = np.random.default_rng([seed, 3])
  windows = rng.multinomial(20, [0.45, 0.2, 0.13, 0.12, 0.08, 0.02], 375)
  known, rest, new = (sample(x) for x in np.split(windows, [num, num + 15]))
  fitted = evidence.fit(known, sample(windows[:0]), rest, later)
  assert fitted.forgiven is None
  for others in (rest, new):
    odd = fitted.judge(others.counts).scores > fitted.threshold
    assert odd @ others.times <= 0.2 * others.times.sum()


@pytest.mark.parametrize('flagged,usual,cut', [
  (2, np.nan, 3.0), (2, 2.5, 2.5), (2, 1.5, 3.0), (2, 4.5, 3.0), (2, 4.0, 3.0),
  (0, np.nan, 5.0), (0, 4.5, 5.0), (0, 7.0, 7.0), (5, -1.0, -0.5), (5, -0.75, -0.75),
])  # fmt: skip
def test_a_cut_lies_at_the_usual_score_where_the_verdicts_are_the_same(
  flagged, usual, cut
):
  scored = committee.Scored(np.array([5.0, 4.0, 2.0, 1.0, 0.0]), np.ones(5))
  verdicts = (np.arange(5) < flagged)[:, None]
  assert committee.cut(scored, verdicts, np.ones(1), usual) == cut


def test_the_threshold_is_at_the_usual_score_where_that_parts_the_same_sessions():
  """One window in a wide gap above all others would move its middle."""
  normals = sample(np.repeat([[3, 2, 0, 0], [2, 3, 0, 0], [4, 2, 0, 0]], 20, axis=0))
  rest = sample(np.repeat([[3, 2, 0, 0], [2, 3, 0, 0], [0, 0, 9, 9]], [9, 9, 1], 0))
  fitted = evidence.fit(normals, sample(np.zeros((0, 4))), rest)
  assert fitted.judge(rest.counts).scores.max() > 4
  assert fitted.threshold == committee.NO_ANOMALY
