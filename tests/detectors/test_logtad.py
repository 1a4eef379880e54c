"""LogTAD: its centre, its radius, and who draws them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalog_jax.detectors import logtad
from metalog_jax.nets import logtad as nets
from metalog_jax.training import base
from tests.detectors import systems

CONFIG = systems.small(logtad.Config(), epochs=3, centre_epochs=2)


@pytest.fixture(autouse=True, scope='module')
def quick_compilation():
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)


@pytest.fixture(name='states', scope='module')
def fixture_states():
  """(whether the step set the centre, state after it), for all steps."""
  detector = logtad.make_detector(CONFIG)
  transfer = systems.transfer()
  state, step = (
    detector.init(jax.random.key(0), transfer),
    jax.jit(detector.training.step),
  )
  stream, states = detector.training.batches(transfer, 0), []
  for i in range(stream.num_steps):
    task = stream.draw(i)
    state, _ = step(state, detector.training.put(task))
    states.append((task.query == (), state, task))
  return detector, states


def test_the_centre_is_set_in_the_first_epochs_and_then_stays(states):
  _, states = states
  per_epoch = len(states) // 3
  assert [i for i, (sets, _, _) in enumerate(states) if sets] == [0, per_epoch]
  for (_, before, _), (sets, after, _) in zip(states, states[1:]):
    same = np.array_equal(before.params.centre, after.params.centre)
    assert same != sets
    weights = (
      jax.tree.leaves(after.params.net)[0],
      jax.tree.leaves(before.params.net)[0],
    )
    assert np.array_equal(*weights) == sets, 'either the centre moves or the network'


def test_the_centre_is_the_mean_of_both_sides(states):
  detector, states = states
  start = detector.init(jax.random.key(0), systems.transfer())
  _, state, task = states[0]
  net = nets.Network(CONFIG.hidden, CONFIG.layers)
  total, count = 0.0, 0.0
  for side in jax.tree.map(lambda x: x[0, 0], task.support).batch:
    total += side.weights @ net.apply({'params': start.params.net}, side)[0]
    count += side.weights.sum()
  mean = np.asarray(total / count)
  margin = CONFIG.centre_margin
  expected = np.where(np.abs(mean) < margin, np.where(mean < 0, -margin, margin), mean)
  assert count == CONFIG.batch
  np.testing.assert_allclose(state.params.centre, expected, atol=1e-6)


def test_radius_by_hand():
  target = systems.system(0, 100)._replace(name='t')
  labels = target.sessions.labels
  distances = np.where(labels == 1, 5.0, np.arange(100) / 100)
  transfer = systems.transfer()._replace(target=target)
  scores = lambda data: distances
  nine_tenths = dataclasses.replace(CONFIG, quantile=0.9)
  cut, where = logtad.radius(nine_tenths, transfer, scores)
  assert where == 'target_normals'
  assert np.mean(distances[labels == 0] <= cut) == 0.9
  oracle = dataclasses.replace(CONFIG, radius='oracle')
  cut, where = logtad.radius(oracle, transfer, scores)
  assert where == 'oracle' and distances[labels == 0].max() <= cut < 5
  no_anomalies = base.blind(transfer, logtad.needs(CONFIG))
  with pytest.raises(ValueError, match='oracle'):
    logtad.radius(oracle, no_anomalies, scores)


def test_only_the_oracle_sees_anomalies_of_the_target():
  assert base.TARGET_ANOMALIES not in logtad.needs(CONFIG)
  assert base.TARGET_ANOMALIES in logtad.needs(logtad.PRESETS['oracle'])


def test_the_reversed_gradient():
  f = lambda x: (nets.reversed_gradient(x, 0.1) ** 2).sum()
  x = jnp.array([1.0, -2.0])
  np.testing.assert_allclose(nets.reversed_gradient(x, 0.1), x, rtol=1e-6)
  np.testing.assert_allclose(jax.grad(f)(x), -0.1 * 2 * x, rtol=1e-6)
