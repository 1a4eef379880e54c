"""What holds for every detector: its scores, its state, and the labels it may see."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalog_jax import types
from metalog_jax.batches import sequences
from metalog_jax.detectors import registry
from metalog_jax.evaluation import metrics, scoring
from metalog_jax.training import base, checkpoints
from tests import builders, grids
from tests.detectors import systems

HOST = {'evidence'}  # scores data sets, not batches: see test_evidence.py
NAMES = sorted(set(registry.DETECTORS) - {'metalog_released'} - HOST)  # released faults
MORE = {'logtad': {'epochs': 30}}  # what learns slowest


@pytest.fixture(autouse=True, scope='module')
def quick_compilation():
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)


class Fitted(NamedTuple):
  """A detector trained on what it may see of `transfer`."""

  detector: base.Detector
  needs: frozenset[str]
  transfer: types.Transfer
  step: Any  # compiled
  state: Any
  shapes: set

  def refit(self, transfer: types.Transfer, steps: int = 1 << 30) -> Any:
    return fit(self.detector, self.step, base.blind(transfer, self.needs), steps)[0]


def fit(detector, step, transfer, steps=1 << 30, key=0):
  """The state after training, and the shapes of the batches."""
  state, shapes = detector.init(jax.random.key(key), transfer), set()
  if training := detector.training:
    stream = training.batches(transfer, key)
    for i in range(min(stream.num_steps, steps)):
      batch = training.put(stream.draw(i))
      shapes.add(str(jax.tree.map(jnp.shape, batch)))
      state, _ = step(state, batch)
  return state, shapes


@pytest.fixture(name='fitted', scope='module', params=NAMES)
def fixture_fitted(request) -> Fitted:
  module = registry.get(request.param)
  config = systems.small(module.Config(), **MORE.get(request.param, {}))
  detector, needs = module.make_detector(config), module.needs(config)
  transfer = systems.transfer()
  step = jax.jit(detector.training.step) if detector.training else None
  state, shapes = fit(detector, step, base.blind(transfer, needs))
  return Fitted(detector, needs, transfer, step, state, shapes)


def same(a: Any, b: Any) -> bool:
  leaves = lambda tree: [np.asarray(x) for x in jax.tree.leaves(tree)]
  return all(
    x.shape == y.shape and x.tobytes() == y.tobytes()
    for x, y in zip(leaves(a), leaves(b), strict=True)
  )


def test_scores_are_finite_and_higher_for_anomalies(fitted):
  test = systems.system(2, 150, 2)
  scores = scoring.Scorer(fitted.detector).scores(fitted.state, test)
  assert scores.shape == (150,) and np.isfinite(scores).all()
  assert metrics.measure(test.sessions.labels, scores, 0.5)['auroc'] > 0.8


def test_same_key_same_bits_and_no_more_programs_than_shapes(fitted):
  steps = 3
  first, again = (fitted.refit(fitted.transfer, steps) for _ in range(2))
  assert same(first, again)
  if fitted.step:
    assert fitted.step._cache_size() == len(fitted.shapes)
    # an untrained state is another: the comparison above can fail
    assert not same(first, fitted.refit(fitted.transfer, 0))


def test_hidden_labels_are_erased(fitted):
  """Any of the labels that may not be seen, changed, leaves not a bit different."""
  seen = base.blind(fitted.transfer, fitted.needs)
  everything = fitted.transfer
  for number, hidden in enumerate(hidden_kinds(fitted)):
    for changed in changes(fitted.transfer, number, hidden):
      assert same_labels(seen, base.blind(changed, fitted.needs))
    everything = (changes(everything, number, hidden) or [everything])[-1]
  assert same(fitted.refit(fitted.transfer, 8), fitted.refit(everything, 8))


def test_labels_that_may_be_seen_matter(fitted):
  """The comparison above can fail."""
  if not fitted.needs:
    pytest.skip('it sees no label')
  flipped = fitted.transfer
  for number in range(2):
    labels = [*fitted.transfer.sources, fitted.transfer.target][number].sessions.labels
    flipped = replaced(flipped, number, np.where(labels < 0, -1, 1 - labels))
  assert not same(fitted.refit(fitted.transfer, 8), fitted.refit(flipped, 8))


def hidden_kinds(fitted) -> list[set[int]]:
  """For the source and for the target, the labels that are erased."""
  needs = fitted.needs
  source = set() if base.SOURCE_LABELS in needs else {0, 1}
  normal = set() if base.TARGET_NORMALS in needs else {0}
  return [source, normal | (set() if base.TARGET_ANOMALIES in needs else {1})]


def changes(transfer, number, hidden) -> list[types.Transfer]:
  """A transfer for each hidden label of a system with that one made another hidden
  one (the other kind, or none), and one with all of them changed."""
  labels = [*transfer.sources, transfer.target][number].sessions.labels
  after = labels.copy()
  for label in {-1, *hidden} if hidden else ():
    after[labels == label] = max({-1, *hidden} - {label}, key=lambda x: (x >= 0, x))
  out = []
  for index in [*np.flatnonzero(after != labels)[:, None], slice(None)]:
    changed = labels.copy()
    changed[index] = after[index]
    out.append(replaced(transfer, number, changed))
  return out if hidden else []


def replaced(transfer, number, labels) -> types.Transfer:
  data = [*transfer.sources, transfer.target]
  sessions = data[number].sessions._replace(labels=labels.astype(np.int8))
  data[number] = data[number]._replace(sessions=sessions)
  return types.Transfer(tuple(data[:-1]), data[-1])


def same_labels(a: types.Transfer, b: types.Transfer) -> bool:
  pairs = zip((*a.sources, a.target), (*b.sources, b.target), strict=True)
  return all(np.array_equal(x.sessions.labels, y.sessions.labels) for x, y in pairs)


def some_batch(num: int = 24, dtype: Any = np.float32) -> types.Batch:
  """Sessions of different length that no detector was fitted on."""
  data = systems.system(5, num, 2)
  seqs = sequences.sequences(data.sessions, 0, 99)
  rows = np.split(seqs.events, seqs.offsets[1:-1])
  ones = np.ones(len(rows), dtype)
  return grids.lay(rows, data.vectors.astype(dtype), ones, ones)


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_padding_order_and_companions_change_no_score(fitted, dtype):
  tolerance = {np.float32: 1e-5, np.float64: 1e-10}[dtype]
  with jax.enable_x64(dtype is np.float64):
    cast = lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x
    state = jax.tree.map(lambda x: cast(np.asarray(x)), fitted.state)
    score = jax.jit(fitted.detector.score)
    batch = some_batch(dtype=dtype)
    num = len(batch.labels)
    expected = np.asarray(score(state, batch))
    assert expected.dtype == dtype
    order = np.random.default_rng(0).permutation(num)
    moved = np.asarray(score(state, grids.relaid(batch, order, more=3)))
    few = np.asarray(score(state, grids.relaid(batch, order[:5])))
  largest = max(1.0, np.abs(expected).max())
  np.testing.assert_allclose(moved[:num], expected[order], atol=tolerance * largest)
  np.testing.assert_allclose(few, expected[order[:5]], atol=tolerance * largest)


def test_every_session_is_explained(fitted):
  test = systems.system(4, 20, 2)
  shares = scoring.Scorer(fitted.detector).weights(fitted.state, test)
  assert [len(x) for x in shares] == test.sessions.lengths.tolist()
  assert all((x >= 0).all() for x in shares)
  np.testing.assert_allclose([x.sum() for x in shares], 1, rtol=1e-4)


def test_the_state_survives_a_checkpoint(fitted, tmp_path):
  """Also into a process that has the event table alone, as `detect` is."""
  saved = checkpoints.Checkpoints(tmp_path)
  saved.save(0, fitted.state)
  nothing = fitted.transfer.target._replace(sessions=builders.sessions([]))
  empty = types.Transfer((nothing,), nothing)
  like = fitted.detector.init(jax.random.key(1), empty)
  found = saved.restore(like)
  saved.close()
  assert same(fitted.state, found)


def test_zero_shot(fitted):
  """Whoever needs no target label does without a target; others say what is missing."""
  transfer = base.blind(systems.transfer(zero_shot=True), fitted.needs)
  try:  # without a step, which would be compiled anew
    state, _ = fit(fitted.detector, fitted.step, transfer, 0)
    if training := fitted.detector.training:
      training.put(training.batches(transfer, 0).draw(0))
  except ValueError as error:
    assert fitted.needs & {base.TARGET_NORMALS, base.TARGET_ANOMALIES}
    assert '--target' in str(error)
    return
  scores = scoring.Scorer(fitted.detector).scores(state, systems.system(7, 10, 1))
  assert np.isfinite(scores).all()


@pytest.mark.parametrize('name', [*NAMES, *HOST])
def test_a_module_offers_what_the_registry_promises(name):
  module = registry.get(name)
  assert module.PRESETS['default'] == module.Config()
  for preset in module.PRESETS.values():
    assert hash(preset) == hash(preset) and module.needs(preset) <= {
      base.SOURCE_LABELS,
      base.TARGET_NORMALS,
      base.TARGET_ANOMALIES,
    }
