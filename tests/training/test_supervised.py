"""Plain steps on labelled batches: who is read when, and what a step does."""

import collections

import jax
import numpy as np
import optax
import pytest

from metalog_jax import types
from metalog_jax.detectors import logrobust, logtad, logtransfer
from metalog_jax.training import base, supervised
from tests import builders
from tests.detectors import systems


@pytest.fixture(autouse=True, scope='module')
def quick_compilation():
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)


@pytest.mark.parametrize('counts', [(1,), (3, 2), (1, 4, 2)])
def test_turns_read_every_batch_of_every_system_once_an_epoch(counts):
  turns = supervised.Turns(counts, seed=1)
  for epoch in range(3):
    seen = collections.Counter()
    for place in range(turns.per_epoch):
      which, number = turns.at(epoch * turns.per_epoch + place)
      seen[which, number] += 1
    assert seen == {
      (i, epoch * n + j): 1 for i, n in enumerate(counts) for j in range(n)
    }


def test_an_epoch_reads_every_session_once():
  data = systems.system(0, 60)
  config = systems.small(logrobust.Config(), batch=20, anomaly_share=0.0)
  pools = supervised.wholes((data,), config)
  stream = supervised.labelled_stream(pools, config, 0, 1, 2)
  assert stream.num_steps == 6
  drawn = [stream.draw(i).query.batch for i in range(3)]
  total = sum(float(b.weights.sum()) for b in drawn)
  anomalous = sum(float((b.weights * b.labels).sum()) for b in drawn)
  assert (total, anomalous) == (60, data.sessions.labels.sum())


@pytest.mark.parametrize(('least', 'steps'), [(0, 8), (8, 8), (50, 50)])
def test_few_sessions_get_the_least_number_of_steps(least, steps):
  config = systems.small(logrobust.Config(), batch=20, least_steps=least)
  pools = supervised.wholes((systems.system(0, 80),), config)
  stream = supervised.labelled_stream(pools, config, 0, 1, 2)
  assert stream.num_steps == steps
  assert stream.draw(steps - 1).query.batch.weights.sum() == 20


def test_short_sessions_do_not_wait_for_another_systems_long_ones():
  rows = lambda length: [[1 + i * j % 6 for j in range(length)] for i in range(20)]
  config = systems.small(logrobust.Config(), batch=10)
  both_lengths = (
    systems.system(0)._replace(sessions=builders.sessions(rows(length), [0, 1] * 10))
    for length in (4, 60)
  )
  pools = supervised.wholes(both_lengths, config)
  alone, both = (
    supervised.labelled_stream(some, config, 0, 1, 2) for some in (pools[:1], pools)
  )
  shapes = {both.draw(i).query.batch.events.shape for i in range(both.num_steps)}
  assert alone.draw(0).query.batch.events.shape in shapes and len(shapes) == 2


def test_event_tables_of_different_size_share_one_shape():
  small, large = systems.system(0, 30), systems.system(1, 50)
  more = np.concatenate([large.vectors, np.ones((3, 5), np.float32)])
  config = systems.small(logrobust.Config())
  pools = supervised.wholes((small, large._replace(vectors=more)), config)
  stream = supervised.labelled_stream(pools, config, 0, 1, 2)
  drawn = [stream.draw(i).query.batch for i in range(stream.num_steps)]
  assert {b.vectors.shape for b in drawn} == {(1, 1, 10, 5)}
  assert len({b.vectors.tobytes() for b in drawn}) == 2, 'a batch is of one system'


@pytest.mark.parametrize('module', [logtad, logtransfer])
def test_readers_that_look_forward_share_beginnings(module):
  rows = [[1, 2, 3, 4, 5, i % 7] for i in range(21)]
  sessions = builders.sessions(rows, [i % 2 for i in range(21)])
  data = systems.system(0)._replace(sessions=sessions)
  transfer = systems.transfer()._replace(sources=(data,), target=data)
  stream = module.make_detector(systems.small(module.Config())).training.batches(
    transfer, 0
  )
  drawn = [x.batch for x in stream.draw(1) if x]
  sides = jax.tree.leaves(drawn, is_leaf=lambda x: isinstance(x, types.Batch))
  assert sides and all(side.parents is not None for side in sides)


def test_draws_are_a_function_of_seed_and_step():
  config = systems.small(logrobust.Config())
  pools = supervised.wholes((systems.system(0),), config)
  first, again = (supervised.labelled_stream(pools, config, 3, 1, 4) for _ in range(2))
  again.draw(0)
  same = jax.tree.map(np.array_equal, first.draw(5), again.draw(5))
  assert all(jax.tree.leaves(same))
  other = supervised.labelled_stream(pools, config, 4, 1, 4).draw(5)
  assert not np.array_equal(first.draw(5).query.noise, other.query.noise)


def test_who_is_learned_from_and_what_is_seen():
  transfer = systems.transfer()
  names = lambda kind: [data.name for data in supervised.chosen(transfer, kind)]
  assert names('target') == ['s1'] and names('sources') == ['s0']
  assert names('both') == ['s0', 's1']
  assert supervised.needs('sources') == {base.SOURCE_LABELS}
  assert supervised.needs('both') == supervised.needs('target') | {base.SOURCE_LABELS}
  with pytest.raises(ValueError, match='--preset=zero_shot'):
    supervised.chosen(transfer._replace(target=None), 'target')
  with pytest.raises(ValueError, match='--source'):
    supervised.chosen(transfer._replace(sources=()), 'sources')
  unlabelled = base.blind(transfer, frozenset())
  config = systems.small(logrobust.Config())
  with pytest.raises(ValueError, match='raise the budgets'):
    supervised.labelled_stream(
      supervised.wholes((unlabelled.target,), config), config, 0, 1, 1
    )


def test_a_step_is_the_optimizers():
  """Against the same update written down."""
  config = systems.small(logrobust.Config(), dropout=0.0)
  detector = logrobust.make_detector(config)
  transfer = systems.transfer()
  state = detector.init(jax.random.key(0), transfer)
  task = detector.training.batches(transfer, 0).draw(0)
  batch = jax.tree.map(lambda x: x[0, 0], task.query.batch)

  def loss(params):
    p = detector.score(state._replace(params=params), batch)
    each = -jax.numpy.log(jax.numpy.where(batch.labels > 0, p, 1 - p))
    return (batch.weights * each).sum() / batch.weights.sum()

  value, grads = jax.jit(jax.value_and_grad(loss))(state.params)
  adam = optax.adam(config.lr)
  updates, _ = adam.update(grads, adam.init(state.params))
  expected = optax.apply_updates(state.params, updates)
  found, metrics = jax.jit(detector.training.step)(state, detector.training.put(task))
  assert float(metrics['loss']) == pytest.approx(float(value), rel=1e-5)
  for a, b in zip(jax.tree.leaves(found.params), jax.tree.leaves(expected)):
    np.testing.assert_allclose(a, b, atol=2e-3 * config.lr + 1e-6)


def test_logtransfer_keeps_its_dense_layers_on_the_target():
  config = systems.small(logtransfer.Config(), epochs=1, target_epochs=1)
  detector = logtransfer.make_detector(config)
  transfer = systems.transfer()
  stream = detector.training.batches(transfer, 0)
  draws = [stream.draw(i) for i in range(stream.num_steps)]
  phases = [task.query == () for task in draws]
  switch = phases.index(False)
  assert all(phases[:switch]) and not any(phases[switch:])
  assert (switch, len(draws) - switch) == (7, 4)  # 100 and 60 sessions by 16
  step = jax.jit(detector.training.step)
  run = lambda state, part: [
    state := step(state, detector.training.put(t))[0] for t in part
  ][-1]
  start = detector.init(jax.random.key(0), transfer)
  middle = run(start, draws[:switch])
  end = run(middle, draws[switch:])
  moved = lambda a, b, name: any(
    not np.array_equal(x, y)
    for x, y in zip(jax.tree.leaves(a.params[name]), jax.tree.leaves(b.params[name]))
  )
  layers = ('lstm_1', 'lstm_2', 'dense', 'head')
  assert all(moved(start, middle, name) for name in layers)
  assert [moved(middle, end, name) for name in layers] == [True, True, False, False]
  count = lambda state, i: int(
    next(x for x in jax.tree.leaves(state.optimizer[i]) if x.dtype == np.int32)
  )
  assert (count(end, 0), count(end, 1)) == (7, 4), 'each phase has an Adam of its own'
