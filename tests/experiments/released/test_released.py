"""MetaLog as released has the faults of the release, and each can be mended."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.released import detector as released
from experiments.released import faults
from metalog_jax import flags, types
from metalog_jax.detectors import metalog, registry
from metalog_jax.meta import objective
from metalog_jax.training import base
from tests import builders
from tests.detectors import systems

REFERENCE = systems.small(released.PRESETS['reference'], parts=1, inner_steps=1)


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
  found = faults.wrong_rows(given).sources[0].vectors
  assert found.shape == given.sources[0].vectors.shape
  assert {k: int(found[k, 0]) for k in expected} == expected
  assert faults.wrong_rows(given._replace(target=None)).sources == given.sources


@pytest.mark.slow
def test_a_step_is_the_release_s():
  """g = grad L_S(θ) + grad L_T(θ', attention of the copy), the copy's never trained."""
  config = dataclasses.replace(REFERENCE, unmasked_padding=False)
  detector = released.make_detector(config)
  transfer = base.blind(systems.transfer(), released.needs(config))
  state = detector.init(jax.random.key(0), transfer)
  task = detector.training.batches(transfer, 0).draw(0)
  plain = released.make_detector(flags.replace(config, random_attention=False))
  loss, meta = plain.training.objective
  support = jax.tree.map(lambda x: x[0, 0, 0], task.support)
  query = jax.tree.map(lambda x: x[0, 0], task.query.batch)
  net = {k: v for k, v in state.params.items() if k != 'copy'}
  own = lambda f: jax.jit(in_mesh(f))
  g_s = own(lambda p: jax.grad(loss)(p, support))(net)
  moved = jax.tree.map(lambda p, g: p - config.meta.inner_lr * g, net, g_s)
  g_t = own(lambda p: jax.grad(loss)(p, query))(
    moved | {'attention': state.params['copy']}
  )
  expected = jax.tree.map(lambda a, b: a + config.meta.target_weight * b, g_s, g_t)
  expected['attention'] = g_s['attention']
  full, _ = detector.training.objective
  one = types.Task(
    jax.tree.map(lambda x: x[0, 0], task.support),
    jax.tree.map(lambda x: x[0, 0], task.query),
  )
  found = own(lambda p: objective.meta_grad(full, p, one, meta))(state.params)
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
  return jax.shard_map(function, mesh=mesh.make_mesh(), in_specs=spec, out_specs=spec)


def test_the_preset_trains_and_its_copy_stays():
  detector = released.make_detector(REFERENCE)
  assert not detector.keeps_best
  assert released.needs(REFERENCE) == {base.SOURCE_LABELS, base.TARGET_NORMALS}
  transfer = base.blind(systems.transfer(), released.needs(REFERENCE))
  start = detector.init(jax.random.key(0), transfer)
  stream, step, state = (
    detector.training.batches(transfer, 0),
    jax.jit(detector.training.step),
    start,
  )
  for i in range(3):
    state, metrics = step(state, detector.training.put(stream.draw(i)))
  assert np.isfinite(float(metrics['loss']))
  kept = jax.tree.map(np.array_equal, start.params['copy'], state.params['copy'])
  moved = jax.tree.map(np.array_equal, start.params['gru'], state.params['gru'])
  assert all(jax.tree.leaves(kept)) and not any(jax.tree.leaves(moved))
  labels = stream.draw(0).query.batch.labels
  assert np.any((labels > 0) & (labels < 1)), 'estimated labels are soft'


def test_mended_it_is_reference_fixed():
  mended = dataclasses.replace(
    released.PRESETS['reference'],
    estimated_labels=False,
    wrong_rows=False,
    unmasked_padding=False,
    random_attention=False,
  )
  fixed = metalog.PRESETS['reference_fixed']
  assert all(
    getattr(mended, f.name) == getattr(fixed, f.name) for f in dataclasses.fields(fixed)
  )


def test_programs_of_experiments_know_it():
  assert registry.get('metalog_released') is released
  with pytest.raises(ValueError, match='a mean has nothing that is random'):
    flags.replace(REFERENCE, attention='mean')


def test_released_runs_of_0_1_0_say_how_to_make_them_again():
  with pytest.raises(ValueError, match='wrong_rows=True.*make the run again'):
    flags.restore(metalog.Config(), {'wrong_rows': True})


@pytest.mark.slow
def test_the_first_version_takes_turns():
  """Against the two Adams written down."""
  config = flags.replace(
    systems.small(released.PRESETS['reference_v0']), epochs=2, target_weight=3.0
  )
  assert (config.alternate, config.sampling.parts) == (True, 4)
  config = flags.replace(config, parts=1, unmasked_padding=False)
  detector = released.make_detector(config)
  transfer = base.blind(systems.transfer(), released.needs(config))
  stream = detector.training.batches(transfer, 0)
  kinds = [stream.draw(i).query == () for i in range(stream.num_steps)]
  epoch = [True] * 7 + [False] * 7  # 100 sessions of each system by 16
  assert kinds == epoch * 2
  state, step = (
    detector.init(jax.random.key(0), transfer),
    jax.jit(detector.training.step),
  )
  params, moments = state.params, []
  for _ in range(2):
    how = config.training
    adam = optax.adam(how.outer_lr, b2=how.adam_b2, eps=how.adam_eps)
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
    state, _ = step(state, detector.training.put(task))
  for a, b in zip(jax.tree.leaves(state.params), jax.tree.leaves(params), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-3 * config.training.outer_lr + 1e-5)


def test_the_stream_is_the_copy_s_in_other_rooms_too():
  """As seeds side by side are laid out."""
  detector = released.make_detector(REFERENCE)
  transfer = base.blind(systems.transfer(), released.needs(REFERENCE))
  stream = detector.training.batches(transfer, 0)
  shapes = lambda stream: jax.tree.map(np.shape, stream.draw(0))
  assert shapes(stream.within(stream.rooms)) == shapes(stream)
