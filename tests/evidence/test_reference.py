"""Evidence of labelled sessions: leaving one out, sums, promises and edges."""

import functools

import numpy as np
import pytest
from scipy import sparse

from metalog_jax import evidence
from metalog_jax.evidence import (
  committee,
  evidences,
  labels,
  nearest,
  one_class,
  pvalues,
  rules,
)
from metalog_jax.evidence import normals as normal_lib
from tests.evidence.faults import kinds_of_faults

EXACT = slice(0, 4)  # deviation's surprise is that of all normals


def kinds(seed=0, num=30, events=8):
  """Different bags, and how many sessions have each."""
  rng = np.random.default_rng(seed)
  counts = np.unique(rng.poisson(rng.choice([0.3, 2.0], events), (num, events)), axis=0)
  return counts.astype(float), rng.integers(1, 4, len(counts))


@pytest.mark.parametrize('seed', range(3))
def test_leaving_one_out_is_fitting_without_it(seed):
  counts, times = kinds(seed)
  model = one_class.fit(sparse.csr_matrix(counts), times)
  order = np.argsort(-times, kind='stable')
  for place, row in enumerate(order):
    others = times.copy()
    others[row] -= 1
    kept = others > 0
    without = normal_lib.summarize(counts[kept], others[kept])
    alone = normal_lib.measure(without, sparse.csr_matrix(counts[[row]])).values[0]
    np.testing.assert_allclose(model.values[place, EXACT], alone[EXACT], atol=1e-5)
    assert model.values[place, 5] == alone[5]


def test_blocks_change_nothing(monkeypatch):
  counts, times = kinds()
  whole = one_class.fit(counts, times).values
  monkeypatch.setattr(nearest, 'CELLS', 64)
  monkeypatch.setattr(normal_lib, 'ROWS', 7)
  np.testing.assert_allclose(one_class.fit(counts, times).values, whole, atol=1e-5)


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('num_anomalies', [0, 1, 4])
def test_parts_sum_to_the_score_and_shares_to_one(seed, num_anomalies):
  counts, times = kinds(seed)
  odd = counts[:num_anomalies] + np.eye(8)[0] * 9
  none = evidence.Sample.of(np.zeros((0, 8)))
  anomalies = evidence.Sample.of(odd) if num_anomalies else none
  fitted = evidence.fit(evidence.Sample.of(counts, times), anomalies, none)
  new = sparse.csr_matrix(kinds(seed + 10)[0])
  judged = fitted.judge(new)
  np.testing.assert_allclose(judged.parts.sum(axis=1), judged.scores)
  assert np.isfinite(judged.parts).all()
  total = evidence.event_shares(fitted, new).sum(axis=2)
  assert ((abs(total - 1) < 1e-9) | (total == 0)).all()
  if num_anomalies:
    assert fitted.judge(sparse.csr_matrix(odd)).scores.min() > judged.scores.max()


def test_false_alarms_are_bounded_over_many_draws():
  """Split conformal prediction: the mean rate over draws is at most the stated one."""
  rng, rate, alarms = np.random.default_rng(0), 0.1, []
  none = evidence.Sample.of(np.zeros((0, 3)))
  for _ in range(60):
    draw = rng.poisson([1.0, 3.0, 9.0], (90, 3))
    normals, new = evidence.Sample.of(draw[:60]), sparse.csr_matrix(draw[60:] * 1.0)
    fitted = evidence.fit(normals, none, none, false_alarms=rate)
    alarms.append(np.mean(fitted.judge(new).scores > fitted.threshold))
  assert 0.02 < np.mean(alarms) < rate + 2 * np.std(alarms) / np.sqrt(60)


def test_what_cannot_be_promised_is_said():
  none = evidence.Sample.of(np.zeros((0, 8)))
  normals = evidence.Sample.of(*kinds())
  num = normals.times.sum() // 2
  fitted = evidence.fit(normals, none, none, false_alarms=1e-4)
  assert fitted.threshold_from == f'false_alarms {1 / (num + 1):.3g}'


@pytest.mark.parametrize('num_anomalies', [0, 1])
def test_one_normal_session(num_anomalies):
  one = evidence.Sample.of(np.array([[1.0, 2.0, 0.0]]))
  odd = evidence.Sample.of(np.ones((num_anomalies, 3)))
  unlabelled = evidence.Sample.of(np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 7.0]]))
  fitted = evidence.fit(one, odd, unlabelled)
  scores = fitted.judge(unlabelled.counts).scores
  assert np.isfinite([*scores, fitted.threshold]).all() and scores[1] > scores[0]


def test_huge_vocabulary():
  num = 200_000
  rows = sparse.random(50, num, 1e-4, 'csr', random_state=0)
  normals, none = evidence.Sample.of(rows), evidence.Sample.of(rows[:0])
  judged = evidence.fit(normals, none, none).judge(rows)
  assert np.isfinite(judged.scores).all() and (judged.raw[:, 1] == 0).all()


def cut_by(scores, *verdicts, votes=None):
  table = np.stack(verdicts, axis=1).astype(float)
  scored = committee.Scored(np.asarray(scores, float), np.ones(len(scores)))
  return committee.cut(
    scored, table, np.ones(table.shape[1]) if votes is None else votes
  )


def test_equal_scores_are_one_level():
  assert cut_by(np.zeros(4), np.arange(4) > 2) == -0.5  # all or none
  assert cut_by(np.zeros(4), np.zeros(4)) == 0


def test_votes_move_the_cut():
  place = np.arange(10)
  assert cut_by(place, place >= 8) == 7.5
  assert cut_by(place, place >= 5) == 4.5
  for votes, right in (([2, 1], 7.5), ([1, 2], 4.5)):
    assert cut_by(place, place >= 8, place >= 5, votes=np.array(votes)) == right


def test_a_rule_that_no_cut_agrees_with_hardly_moves_it():
  """Its votes are spread over the ranking; as probabilities they would cut at 2.5."""
  place = np.arange(40)
  assert cut_by(place, place >= 36, place % 2 == 0) == 35.5


def test_nothing_is_flagged_where_most_rules_flag_nothing():
  place, none = np.arange(10), np.zeros(10)
  assert cut_by(place, none, none, place >= 8) == 9
  assert cut_by(place, none, place >= 8, place >= 7) < 9


def test_estimate_finds_the_valley():
  rng = np.random.default_rng(0)
  normal = rng.normal(0, 1, 300)
  mixed = np.concatenate([rng.normal(0, 1, 900), rng.normal(8, 1, 100)])
  scored = lambda x: committee.Scored(x, np.ones(len(x)))
  for anomalies in (np.zeros(0), rng.normal(8, 1, 20)):
    cut = committee.estimate(scored(mixed), scored(normal), scored(anomalies))
    assert 2.5 < cut < 6.5


def test_p_values_count_the_normals_at_least_as_odd():
  values, weights = np.array([1.0, 2.0, 3.0]), np.array([5.0, 1.0, 3.0])
  expected = np.array([10, 5, 1]) / 10
  np.testing.assert_allclose(
    pvalues.p_values([0.5, 2.0, 9.0], values, weights), expected
  )
  assert pvalues.quantile(values, weights, 5 / 9) == 1.0
  assert pvalues.quantile(values, weights, 0.6) == 2.0


@pytest.mark.parametrize('usually, own', [(0.0, 1.0), (1.0, 0.0)])
@pytest.mark.parametrize('without', [(), ('deviation',)])
def test_an_event_of_its_own_is_as_odd_as_those_of_the_normals(without, usually, own):
  """Six of 20 have, or lack, one: a normal's deviation does not vouch for itself."""
  counts = np.tile([2.0, 2.0, *[usually] * 7], (21, 1))
  counts[np.arange(14, 21), np.arange(2, 9)] = own
  none = evidence.Sample.of(np.zeros((0, 9)))
  sample = evidence.Sample.of(counts[:20])
  fitted = evidence.fit(sample, none, none, without=without)
  new = fitted.judge(sparse.csr_matrix(counts[20:]))
  assert fitted.p_values(new.scores) == pytest.approx(7 / 21)
  assert np.isfinite(fitted.model.fresh).all()


def test_later_kinds_are_forgiven_unless_they_are_known_anomalies():
  normals = evidence.Sample.of(np.array([[3.0, 1.0, 0.0]]), np.array([50]))
  later = evidence.Sample.of(
    np.array([[3.0, 1.0, 0.0], [5.0, 0.0, 0.0], [0.0, 1.0, 9.0]]),
    np.array([50, 40, 10]),
  )
  none = evidence.Sample.of(np.zeros((0, 3)))
  fitted = evidence.fit(normals, none, later, later=True)
  assert fitted.forgiven.toarray().tolist() == [[5.0, 0.0, 0.0]]
  assert (fitted.judge(later.counts).scores > fitted.threshold).tolist() == [0, 0, 1]
  known = evidence.Sample.of(later.counts[1:2])
  assert evidence.fit(normals, known, later, later=True).forgiven is None


def test_the_only_anomaly_tells_nothing_of_itself():
  counts, times = kinds()
  model = one_class.fit(counts, times)
  odd = sparse.csr_matrix(counts[:1] + 9)
  assert (labels.fit(model, odd, np.ones(1)).own == 0).all()


def few_labels(num_normals, num_anomalies, seed):
  """Three usual events; 6 % of the normal sessions have one of six rare ones as well,
  the anomalies one alert; what is to be judged, and which of it is anomalous."""
  rng = np.random.default_rng(seed)

  def sessions(num, alert):
    events = np.zeros((num, 7))
    rare = np.flatnonzero(rng.random(num) < 0.06)
    events[rare, rng.integers(1, 7, len(rare))] = 1
    if alert:
      events = np.eye(7)[0] * rng.integers(1, 3, (num, 1))
    return np.concatenate([events, rng.poisson([3, 4, 5], (num, 3))], axis=1)

  normals, anomalies = sessions(num_normals, False), sessions(num_anomalies, True)
  unlabelled = np.concatenate([sessions(300, False), sessions(30, True)])
  return normals, anomalies, unlabelled, np.arange(330) >= 300


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('num_normals', [12, 30])
def test_known_alerts_are_flagged_and_benign_rare_events_are_not(num_normals, seed):
  *samples, faulty = few_labels(num_normals, 8, seed)
  fitted = evidence.fit(*map(evidence.Sample.of, samples))
  flagged = fitted.judge(sparse.csr_matrix(samples[2])).scores > fitted.threshold
  assert flagged[faulty].all() and flagged[~faulty].sum() <= 1


def test_calibrated_score_rises_with_anomalies_and_falls_with_normals():
  at = committee.calibrated
  highest = sum(x.weight for x in evidences.TABLE if x.labelled) + 3
  assert at(1, 30) < at(5, 30) < at(20, 30) < at(10**6, 30) < highest
  assert at(5, 10) > at(5, 100) and at(0, 10) == at(0, 10_000)


def test_the_plain_verdict_is_that_of_the_same_sessions_without_anomalies():
  *samples, faulty = few_labels(30, 3, seed=0)
  normals, anomalies, unlabelled = map(evidence.Sample.of, samples)
  none = evidence.Sample.of(anomalies.counts[:0])
  with_labels = evidence.fit(normals, anomalies, unlabelled)
  judged = with_labels.judge(unlabelled.counts)
  verdicts = rules._rules(with_labels, judged, unlabelled)
  plain = rules._plain(with_labels, judged, verdicts, unlabelled.times)
  off = (*evidences.OFF, *evidences.ALONE)
  without = evidence.fit(normals, none, unlabelled, without=off)
  assert committee.cut(*plain) == without.threshold != with_labels.threshold
  flagged = without.judge(unlabelled.counts).scores > without.threshold
  assert (flagged == (plain[0].scores > without.threshold)).all() and flagged.any()
  column = [*committee.weights(0, 30)].index('estimate')
  assert plain[1][faulty, column].all() and not plain[1][~faulty, column].all()
  learned = plain[2][-len(committee.PLACES) :].sum()
  votes = rules.worlds(with_labels, unlabelled)[2]
  num = 2 * len(committee.PLACES)
  assert learned < sum(committee.ONE_CLASS.values())
  assert votes[-num:].sum() > learned


def test_anomalies_unlike_each_other_give_votes_to_the_verdict_without_them():
  unseen = committee.unseen_share
  assert unseen(0, 10) < unseen(5, 10) < unseen(10, 10) < 1
  votes = lambda name, *x: committee.weights(*x).get(name, 0)
  plain = functools.partial(votes, 'plain')
  assert plain(5, 100, False, 0.8) > plain(5, 100, False, 0.2) > 0 == plain(0, 100)
  assert plain(5, 1, False, 0.8) < plain(5, 100, False, 0.8)
  crowd = functools.partial(votes, 'crowd')
  assert 0 < crowd(5, 10, False, 0.2) < crowd(5, 10, False, 0.8) < crowd(0, 10)


def test_located_score_follows_where_the_scores_of_a_system_lie():
  at = lambda quiet, doubted: committee.located(5, 30, quiet, doubted)
  assert at(-5, 0) < at(-4, 0) and at(-5, 0) < at(-5, 2)


@pytest.mark.parametrize('num_normals', [6, 12])
def test_few_normals_do_not_make_worse_what_the_crowd_says(num_normals):
  """Half of the usual kinds are in no labelled session, each in many of the others."""
  rng = np.random.default_rng(3)
  usual = np.kron(np.eye(12), [[2.0, 1.0]])
  normals = usual[rng.integers(0, 6, num_normals)]
  faulty = np.concatenate([usual[:6], np.full((6, 2), 5.0)], axis=1)
  widen = lambda rows: np.pad(rows, ((0, 0), (0, 26 - rows.shape[1])))
  counts = np.concatenate([widen(usual), widen(faulty)])
  times = np.repeat([80, 5], [12, 6])
  none = evidence.Sample.of(np.zeros((0, 26)))
  samples = evidence.Sample.of(widen(normals)), none, evidence.Sample.of(counts, times)
  fitted = evidence.fit(*samples)
  flagged = fitted.judge(sparse.csr_matrix(counts)).scores > fitted.threshold
  assert flagged.tolist() == [False] * 12 + [True] * 6


def test_a_crowd_in_which_nothing_is_odd_has_no_vote():
  normals = evidence.Sample.of(np.eye(4)[:1], np.array([20]))
  same = evidence.Sample.of(np.array([[1.0, 0, 0, 0]]), np.array([50]))
  fitted = evidence.fit(normals, evidence.Sample.of(np.zeros((0, 4))), same)
  _, _, votes = rules.worlds(fitted, same)
  assert votes.max() <= 2


def test_anomalies_unlike_all_others_are_counted():
  share = lambda labelled: rules.unseen_share(kinds_of_faults(labelled)[0])
  assert 1 / 8 == share([0] * 6) < share([0] * 5 + [1]) < share([0, 1, 2, 3, 4, 5])


def test_the_located_score_knows_quiet_and_doubted_sessions(monkeypatch):
  fitted, rest, fault = kinds_of_faults([0] * 4)
  given = {}
  monkeypatch.setattr(committee, 'located', lambda *_, **x: given.update(x) or 0.0)
  rules.worlds(fitted, rest)
  judged = fitted.judge(rest.counts)
  columns = [evidence.NAMES.index(name) for name in labels.NAMES]
  by_labels = judged.parts[fault < 0][:, columns].sum(axis=1)
  assert given['doubted'] == pytest.approx(judged.scores[fault > 0].mean())
  assert given['quiet'] == pytest.approx(by_labels.mean(), abs=0.1)


def test_a_crowd_of_many_kinds_or_beside_many_normals_is_not_asked(monkeypatch):
  fitted, rest, _ = kinds_of_faults([0])
  flagged = lambda: rules._crowd(fitted, rest).any()
  assert flagged()
  with monkeypatch.context() as change:
    change.setattr(rules, 'MOST_KINDS', len(rest.times) - 1)
    assert not flagged()
  few = rest._replace(times=rest.times * 30 / rest.times.sum())
  assert rules._crowd(fitted, few).any()
  assert not rules._crowd(fitted, few._replace(times=few.times * 0.99)).any()
  monkeypatch.setattr(committee, 'MOST_NORMALS', 29)
  assert not flagged()
