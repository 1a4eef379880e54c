"""Two views of a session: what may change in them, and what they add to the loss."""

import dataclasses

import hypothesis
import jax
import numpy as np
from hypothesis import strategies as st

from metalog_jax import types
from metalog_jax.batches import sequences
from metalog_jax.detectors import logmeta
from metalog_jax.meta import inner
from metalog_jax.nets import logmeta as nets
from metalog_jax.nets import losses
from metalog_jax.training import adaptation, views
from tests import builders, grids
from tests.detectors import test_conformance, test_logmeta

quick_compilation = test_conformance.quick_compilation
EVENTS = st.lists(st.integers(1, 9), max_size=30)
BENIGN = (1, 2, 3, 4, 5, 6)
fixture_transfer = test_logmeta.fixture_transfer


@hypothesis.given(EVENTS, st.floats(0, 1), st.integers(0, 99))
def test_only_benign_events_are_dropped_or_swapped(row, rate, seed):
  events = np.array(row, np.int32)
  is_benign = np.isin(events, BENIGN)
  found = views.view(events, is_benign, rate, np.random.default_rng(seed))
  assert min(len(row), 1) <= len(found.events) <= len(row)
  assert found.dropped == len(row) - len(found.events)
  others = lambda x: x[~np.isin(x, BENIGN)].tolist()
  assert others(found.events) == others(events)
  blocks = lambda x: np.cumsum(~np.isin(x, BENIGN))  # between which nothing moves
  for block in np.unique(blocks(events)):
    had, has = (x[blocks(x) == block].tolist() for x in (events, found.events))
    assert all(has.count(e) <= had.count(e) for e in has)


@hypothesis.given(st.integers(2, 30), st.floats(0, 1), st.integers(0, 99))
def test_events_move_by_one_place_at_most(num, rate, seed):
  events = np.arange(num, dtype=np.int32)
  found = views.view(events, np.ones(num, bool), rate, np.random.default_rng(seed))
  places = np.argsort(np.argsort(found.events))
  assert np.abs(places - np.arange(len(places))).max() <= 1
  assert np.sum(places != np.arange(len(places))) == 2 * found.swapped


def test_the_rates_are_what_was_asked_for():
  num, rng = 20_000, np.random.default_rng(0)
  found = views.view(np.arange(num), np.ones(num, bool), 0.2, rng)
  assert abs(found.dropped / num - 0.2) < 0.01
  # A pair is not swapped if its first event just was: r / (1 + r) of all places.
  assert abs(found.swapped / len(found.events) - 0.2 / 1.2) < 0.01
  same = views.view(np.arange(num), np.ones(num, bool), 0.0, rng)
  np.testing.assert_array_equal(same.events, np.arange(num))


def target() -> types.Dataset:
  """Two normals, an anomaly, and unlabelled sessions, one of them twice."""
  long = [1, 8, 2, 3, 1, 2]
  rows = [[1, 2], [2, 3], [8, 1], long, [3, 3, 3, 9, 1, 2], long, [7, 1, 2, 1]]
  labels = [0, 0, 1, -1, -1, -1, -1]
  vectors = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
  return types.Dataset('t', builders.sessions(rows, labels), vectors)


def unlabelled(data, most=9, seed=0, rate=0.4) -> views.Unlabelled:
  seqs = sequences.sequences(data.sessions, 2, 20)
  return views.Unlabelled(data, seqs, (2, 20), rate, most, seed)


def test_views_are_of_distinct_unlabelled_sessions():
  found = unlabelled(target())
  assert len(found) == 3 and found.benign.tolist() == [1, 2, 3]
  for number in range(20):
    batch, told = found.draw(number)
    rows = [x.tolist() for x in grids.sequences(batch)]
    assert told['sessions'] == 3 and batch.weights.tolist()[:6] == [1] * 6
    pairs = [tuple(rows[i : i + 2]) for i in (0, 2, 4)]
    for pair, fixed in zip(pairs, ([8], [9], [7])):  # what no normal session has
      assert all([e for e in x if e > 3] == fixed for x in pair)
    assert all(x.count(3) <= 2 for x in pairs[1])  # the run is collapsed first
    assert sum(len(x) for x in rows) == 2 * (6 + 5 + 4) - told['dropped']


def test_views_depend_on_seed_and_number_alone():
  one, other = unlabelled(target()), unlabelled(target())
  one.draw(0)
  same = lambda a, b: all(
    jax.tree.leaves(jax.tree.map(np.array_equal, a[0], b[0])) + [a[1] == b[1]]
  )
  assert same(one.draw(3), other.draw(3))
  assert not same(one.draw(3), one.draw(4))
  assert not same(one.draw(3), unlabelled(target(), seed=1).draw(3))
  shapes = {str(jax.tree.map(np.shape, one.draw(i)[0])) for i in range(30)}
  assert len(shapes) == 1
  assert unlabelled(target(), most=2).draw(0)[1]['sessions'] == 2


def test_disagreement_is_the_mean_square_of_both_classes():
  rng = np.random.default_rng(0)
  p, weights = rng.random(8), np.repeat([1.0, 1.0, 1.0, 0.0], 2)
  classes = np.stack([1 - p, p], axis=1).reshape(4, 2, 2)  # [pair, view, class]
  gaps = np.mean((classes[:, 0] - classes[:, 1]) ** 2, axis=1)
  np.testing.assert_allclose(views.disagreement(p, weights), gaps[:3].mean())


def adapted(data, consistency, rule='sgd', rounds=0):
  """(parameters before, after, report, loss) of a small network."""
  net = nets.Network(4)
  example = grids.batch(dim=4, dtype=np.float32)
  params = grids.params(net, example, dtype=np.float32)
  loss = lambda p, b: losses.cross_entropy(
    net.apply({'params': p}, b), b.labels, b.weights
  )
  probability = lambda p, b: jax.nn.softmax(net.apply({'params': p}, b))[:, 1]
  config = inner.MetaConfig(rule=logmeta._rule(logmeta.Config(), rule, 0.1, 4))
  settings = adaptation.Settings(4, 2, 20, 0.5, rounds, consistency=consistency)
  run = adaptation.make(loss, probability, config, settings._replace(view_rate=0.4))
  found, report = run(params, types.Transfer((), data), 0)
  return params, found, report, (loss, probability, settings)


def test_a_step_lowers_the_sum_of_both_losses():
  """Against one step of gradient descent on the sum, written out."""
  data = target()
  params, found, report, (loss, probability, settings) = adapted(data, 2.0)
  seqs = sequences.sequences(data.sessions, 2, 20)
  draw = adaptation._Pseudo(data, seqs, settings, 0).draw()
  batch = adaptation._batch(data.vectors, seqs, *draw)
  seen, _ = unlabelled(data).draw(0)

  def total(p):
    a = probability(p, seen)[:6]
    return loss(p, batch) + 2.0 * ((a[::2] - a[1::2]) ** 2).mean()

  step = jax.jit(
    lambda p: jax.tree.map(lambda p, g: p - 0.1 * g, p, jax.grad(total)(p))
  )
  for _ in range(4):
    params = step(params)
  for a, b in zip(*map(jax.tree.leaves, (params, found))):
    np.testing.assert_allclose(a, b, atol=1e-5)
  told = report['consistency']
  assert told['weight'] == 2.0 and told['sessions'] == 3 and told['benign'] == 3
  a = np.asarray(jax.jit(probability)(found, seen))[:6]
  after = ((a[::2] - a[1::2]) ** 2).mean()
  np.testing.assert_allclose(told['after'], after, rtol=1e-3)
  assert after > 1e-9


def test_without_weight_not_a_bit_changes():
  data = target()
  params, found, report, (loss, _, settings) = adapted(data, 0.0)
  seqs = sequences.sequences(data.sessions, 2, 20)
  draw = adaptation._Pseudo(data, seqs, settings, 0).draw()
  batch = adaptation._batch(data.vectors, seqs, *draw)
  config = inner.MetaConfig(
    inner_steps=4, support_per_step=False, order='first', gradient='reverse',
    rule=logmeta._rule(logmeta.Config(), 'sgd', 0.1, 4),
  )  # fmt: skip
  path = jax.jit(lambda p, b: inner.path(loss, p, b, config))(params, batch)
  same = jax.tree.map(lambda a, b: np.array_equal(a[-1], b), path, found)
  assert all(jax.tree.leaves(same)) and 'consistency' not in report
  weighed = adapted(data, 1.0)[1]
  assert not all(jax.tree.leaves(jax.tree.map(np.array_equal, weighed, found)))


def test_where_all_have_labels_nothing_is_added():
  labels = np.array([0, 0, 1, 1, 0, 1, 0], np.int8)
  data = target()
  data = data._replace(sessions=data.sessions._replace(labels=labels))
  assert 'consistency' not in adapted(data, 5.0)[2]


def test_with_another_inner_rule_and_pseudo_labels():
  _, found, report, _ = adapted(target(), 3.0, 'adam', rounds=2)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))
  assert report['pseudo'] and np.isfinite(report['consistency']['after'])


def test_the_detector_makes_views_be_judged_alike(transfer):
  def told(weight):
    change = {'hidden': 4, 'tasks': 2, 'consistency': weight, 'rounds': 0}
    detector = logmeta.make(dataclasses.replace(test_logmeta.SMALL, **change))
    state = detector.init(jax.random.key(0), transfer)
    return detector.adapt(state, transfer, 0)[1]['consistency']

  hardly, much = told(1e-9), told(100.0)
  assert much['before'] == hardly['before'] and much['dropped'] and much['swapped']
  assert much['after'] < 0.9 * hardly['after']
