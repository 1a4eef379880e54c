"""The paired randomization test of F1, against enumeration and by what it must obey."""

import itertools

import numpy as np
import pytest

from experiments.sweeps import significance


def judged(labels, scores, threshold=0.5) -> significance.Judged:
  ids = np.array([f's{i}' for i in range(len(labels))], object)
  return significance.Judged(
    ids, np.asarray(labels), np.asarray(scores, float), threshold
  )


def f1(labels, says) -> float:
  return 2 * (labels & says).sum() / (labels.sum() + says.sum())


def small(seed: int, num: int = 9):
  """Scores that are all different, so that every session is a cluster."""
  rng = np.random.default_rng(seed)
  labels = np.r_[1, 1, 1, rng.integers(0, 2, num - 3)]
  return labels, rng.random(num), np.clip(rng.random(num) + 0.4 * labels - 0.2, 0, 1)


def enumerated(cases) -> float:
  """p over all exchanges of all seeds' sessions."""
  means = []
  for exchanges in itertools.product(
    *(list(itertools.product((0, 1), repeat=len(case[0]))) for case in cases)
  ):
    each = []
    for (labels, a, b), exchange in zip(cases, exchanges, strict=True):
      labels, swap = labels == 1, np.array(exchange, bool)
      x, y = np.where(swap, b, a) > 0.5, np.where(swap, a, b) > 0.5
      each.append(f1(labels, x) - f1(labels, y))
    means.append(abs(np.mean(each)))
  return float(np.mean(np.array(means) >= means[0] - 1e-12))


@pytest.mark.parametrize('seed', range(6))
def test_p_is_the_share_of_exchanges_as_extreme(seed):
  labels, a, b = small(seed)
  got = significance.compare([(judged(labels, a), judged(labels, b))])
  assert got.each == [
    pytest.approx(f1(labels == 1, a > 0.5) - f1(labels == 1, b > 0.5))
  ]
  assert got.p == pytest.approx(enumerated([(labels, a, b)]), abs=0.03)


def test_seeds_are_exchanged_apart_and_averaged():
  cases = [small(seed, 6) for seed in (1, 2)]
  pairs = [(judged(labels, a), judged(labels, b)) for labels, a, b in cases]
  assert significance.compare(pairs).p == pytest.approx(enumerated(cases), abs=0.03)


def test_repeats_of_a_session_are_no_new_evidence():
  labels, a, b = small(3)
  once = significance.compare([(judged(labels, a), judged(labels, b))])
  many = [np.repeat(x, 40) for x in (labels, a, b)]
  often = significance.compare([(judged(many[0], many[1]), judged(many[0], many[2]))])
  assert often.p == pytest.approx(once.p, abs=0.03) and once.p > 0.05


def test_alike_is_no_difference_and_far_apart_is_one():
  rng = np.random.default_rng(0)
  labels = (rng.random(400) < 0.3).astype(int)
  right = labels + rng.normal(size=400) / 50
  same = significance.compare([(judged(labels, right), judged(labels, right))])
  assert same.p == 1 and same.each == [0]
  wrong = judged(labels, rng.random(400))
  far = significance.compare([(judged(labels, right), wrong)] * 2)
  assert far.p == 1 / (1 + significance.ROUNDS) and min(far.each) > 0.4
  back = significance.compare([(wrong, judged(labels, right))] * 2)
  assert back.p == far.p and back.each == [-d for d in far.each]


def test_only_sessions_of_both_count_whatever_their_order():
  labels, a, b = small(4)
  first, second = judged(labels, a), judged(labels, b)
  turned = significance.Judged(*(x[::-1] for x in second[:3]), 0.5)
  more = (np.r_[turned.ids, ['new']], np.r_[turned.labels, 1], np.r_[turned.scores, 0])
  got = significance.compare([(first, significance.Judged(*more, 0.5))])
  assert got == significance.compare([(first, second)])


def test_nothing_to_compare_is_an_error():
  with pytest.raises(ValueError, match='no seed'):
    significance.compare([])
  normal = judged([0, 0], [0, 1])
  with pytest.raises(ValueError, match='no anomaly'):
    significance.compare([(normal, normal)])


def test_holm_is_monotone_and_at_most_one():
  assert significance.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
  assert significance.holm([0.6, 0.9]) == [1, 1] and significance.holm([]) == []
