"""The `reference` preset has the faults of the release, and each can be mended."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metalog_jax import types
from metalog_jax.batches import released
from metalog_jax.detectors import metalog
from metalog_jax.meta import outer
from metalog_jax.training import base
from tests import builders
from tests.detectors import systems

REFERENCE = systems.small(metalog.PRESETS['reference'], parts=1, inner_steps=1)


@pytest.fixture(autouse=True, scope='module')
def quick_compilation():
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)


def table(num: int, sign: int) -> types.Dataset:
  vectors = sign * np.arange(num, dtype=np.float32)[:, None]
  return types.Dataset('x', builders.sessions([]), vectors)


@pytest.mark.parametrize(
  'source, target, expected',
  [
    (46, 432, {7: -7, 46: -46}),  # HDFS to BGL: all rows are the target's
    (432, 46, {7: -7, 46: -46, 60: 14, 432: 386}),  # BGL to HDFS
  ],
)
def test_source_events_read_the_rows_of_the_release(source, target, expected):
  given = types.Transfer((table(source + 1, 1),), table(target + 1, -1))
  found = released.wrong_rows(given).sources[0].vectors
  assert found.shape == given.sources[0].vectors.shape
  assert {k: int(found[k, 0]) for k in expected} == expected
  assert released.wrong_rows(given._replace(target=None)).sources == given.sources


@pytest.mark.slow
def test_a_step_is_the_release_s():
  """g = grad L_S(θ) + grad L_T(θ', attention of the copy), the copy's never trained."""
  config = dataclasses.replace(REFERENCE, unmasked_padding=False)
  detector = metalog.make(config)
  transfer = base.blind(systems.transfer(), metalog.needs(config))
  state = detector.init(jax.random.key(0), transfer)
  task = detector.batches(transfer, 0).draw(0)
  plain = metalog.make(dataclasses.replace(config, random_attention=False))
  loss, meta = plain.objective
  support = jax.tree.map(lambda x: x[0, 0, 0], task.support)
  query = jax.tree.map(lambda x: x[0, 0], task.query.batch)
  net = {k: v for k, v in state.params.items() if k != 'copy'}
  own = lambda f: jax.jit(in_mesh(f))
  g_s = own(lambda p: jax.grad(loss)(p, support))(net)
  moved = jax.tree.map(lambda p, g: p - config.inner_lr * g, net, g_s)
  g_t = own(lambda p: jax.grad(loss)(p, query))(
    moved | {'attention': state.params['copy']}
  )
  expected = jax.tree.map(lambda a, b: a + config.target_weight * b, g_s, g_t)
  expected['attention'] = g_s['attention']
  full, _ = detector.objective
  one = types.Task(
    jax.tree.map(lambda x: x[0, 0], task.support),
    jax.tree.map(lambda x: x[0, 0], task.query),
  )
  found = own(lambda p: outer.meta_grad(full, p, one, meta))(state.params)
  assert not any(np.any(x) for x in jax.tree.leaves(found.pop('copy')))
  for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5)
  assert any(np.any(x) for x in jax.tree.leaves(g_t['attention'])), (
    'it would be trained'
  )


def in_mesh(function):
  """Runs where the loss can add up over the rows of devices."""
  from metalog_jax.meta import mesh

  spec = jax.sharding.PartitionSpec()
  return jax.shard_map(function, mesh=mesh.make(), in_specs=spec, out_specs=spec)


def test_the_preset_trains_and_its_copy_stays():
  detector = metalog.make(REFERENCE)
  assert not detector.selects
  assert metalog.needs(REFERENCE) == {base.SOURCE_LABELS, base.TARGET_NORMALS}
  transfer = base.blind(systems.transfer(), metalog.needs(REFERENCE))
  start = detector.init(jax.random.key(0), transfer)
  stream, step, state = detector.batches(transfer, 0), jax.jit(detector.step), start
  for i in range(3):
    state, metrics = step(state, detector.put(stream.draw(i)))
  assert np.isfinite(float(metrics['loss']))
  kept = jax.tree.map(np.array_equal, start.params['copy'], state.params['copy'])
  moved = jax.tree.map(np.array_equal, start.params['gru'], state.params['gru'])
  assert all(jax.tree.leaves(kept)) and not any(jax.tree.leaves(moved))
  labels = stream.draw(0).query.batch.labels
  assert np.any((labels > 0) & (labels < 1)), 'estimated labels are soft'


def test_mended_it_is_reference_fixed():
  mended = dataclasses.replace(
    metalog.PRESETS['reference'],
    estimated_labels=False,
    wrong_rows=False,
    unmasked_padding=False,
    random_attention=False,
  )
  assert mended == metalog.PRESETS['reference_fixed']


@pytest.mark.slow
def test_the_first_version_takes_turns():
  """Against the two Adams written down."""
  config = dataclasses.replace(
    systems.small(metalog.PRESETS['reference_v0']), epochs=2, target_weight=3.0
  )
  assert (config.alternate, config.parts) == (True, 4)
  config = dataclasses.replace(config, parts=1, unmasked_padding=False)
  detector = metalog.make(config)
  transfer = base.blind(systems.transfer(), metalog.needs(config))
  stream = detector.batches(transfer, 0)
  kinds = [stream.draw(i).query == () for i in range(stream.num_steps)]
  epoch = [True] * 7 + [False] * 7  # 100 sessions of each system by 16
  assert kinds == epoch * 2
  state, step = detector.init(jax.random.key(0), transfer), jax.jit(detector.step)
  params, moments = state.params, []
  for _ in range(2):
    adam = optax.adam(config.outer_lr, b2=config.adam_b2, eps=config.adam_eps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), adam)
    moments.append((optimizer, optimizer.init(params)))

  def loss(params, batch, weight):
    p = detector.score(state._replace(params=params), batch)
    each = batch.labels * jnp.log(p) + (1 - batch.labels) * jnp.log(1 - p)
    return -weight * (batch.weights @ each) / batch.weights.sum()

  grad = jax.jit(jax.grad(loss))
  for i in (0, 1, 7, 8):
    task, side = stream.draw(i), int(i >= 7)
    drawn = task.query if side else task.support
    batch = jax.tree.map(lambda x: x[0, 0], drawn.batch)
    optimizer, moment = moments[side]
    weight = 3.0 if side else 1.0
    updates, moment = optimizer.update(grad(params, batch, weight), moment)
    moments[side] = optimizer, moment
    params = jax.tree.map(lambda p, u, w=weight: p + w * u, params, updates)
    state, _ = step(state, detector.put(task))
  for a, b in zip(jax.tree.leaves(state.params), jax.tree.leaves(params), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-3 * config.outer_lr + 1e-5)
