"""The upper layers of an encoder as parameters: exact, outer alone, kept and found."""

import dataclasses

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from metalog_jax import meta, types
from metalog_jax.batches import episodes, sampling, sequences
from metalog_jax.detectors import logmeta
from metalog_jax.embeddings import gcse, pretrained, texts, vector_cache
from metalog_jax.evaluation import scoring
from metalog_jax.meta import mesh
from metalog_jax.training import fine_tuning
from tests import builders
from tests.detectors import test_conformance
from tests.embeddings import encoder_cases as cases

quick_compilation = test_conformance.quick_compilation
TEXTS = (types.UNKNOWN_TEMPLATE, *cases.TEMPLATES)
FORM = pretrained.Form('bert', 99, 8, 3, 2, 8, 40)


@pytest.fixture(name='config', scope='module')
def fixture_config(tmp_path_factory) -> logmeta.Config:
  """Two layers of a small random BERT are trained, one is not."""
  folder = tmp_path_factory.mktemp('model')
  tensors = cases.flat(cases.weights(FORM))
  embedding = texts.Encoder(str(cases.write(folder / 'bert', FORM, tensors)))
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv(vector_cache.VARIABLE, str(folder / 'cache'))
    yield dataclasses.replace(
      logmeta.Config(),
      embedding=embedding,
      encoder_trainable=2,
      **{'hidden': 3, 'shots': 2, 'queries': 2, 'tasks': 2, 'steps': 4, 'rounds': 1},
      **{'inner_steps': 2, 'inner_lr': 0.1, 'adapt_steps': 2},
    )


def plain(config, known=TEXTS) -> np.ndarray:
  [table] = texts.embed([known], config.embedding)
  return table.vectors


def system(config, seed, known=TEXTS) -> types.Dataset:
  """Sessions of random events; those with the last one are anomalous."""
  rng = np.random.default_rng(seed)
  last = len(known) - 1
  rows = [rng.integers(0, last, rng.integers(2, 6)).tolist() for _ in range(24)]
  rows = [row + [last] * (i % 3 == 0) for i, row in enumerate(rows)]
  labels = [int(last in row) for row in rows]
  table = logmeta.reader(config, known, plain(config, known))
  return types.Dataset(f's{seed}', builders.sessions(rows, labels), table)


@pytest.fixture(name='transfer', scope='module')
def fixture_transfer(config) -> types.Transfer:
  target = system(config, 2)
  labels = target.sessions.labels.copy()
  labels[12:] = -1
  target = target._replace(sessions=target.sessions._replace(labels=labels))
  short = (*TEXTS[:3], 'packet')  # of fewer and shorter templates
  return types.Transfer((system(config, 0), system(config, 1, short)), target)


@pytest.mark.parametrize('change', [{}, {'pooling': 'first'}, {'layer': -2}])
def test_before_training_the_vectors_are_the_encoders(config, change):
  config = dataclasses.replace(
    config, embedding=dataclasses.replace(config.embedding, **change)
  )
  read = logmeta.reader(config, TEXTS, plain(config))
  assert read.shape == (len(TEXTS), 8) and len(read) == len(TEXTS)
  np.testing.assert_array_equal(np.asarray(read), plain(config))
  top = fine_tuning.Top(config.embedding, 2)
  found = top.table({'encoder': top.start()}, read)
  np.testing.assert_allclose(found, plain(config), atol=1e-5)
  other = jax.tree.map(lambda x: x + 0.1, top.start())
  moved = top.table({'encoder': other}, read)
  assert (np.abs(moved - found)[1:].max(1) > 1e-2).all()  # by training, all but
  np.testing.assert_array_equal(moved[0], plain(config)[0])  # the unknown event


def draw(config, transfer, step=0):
  """A task on one device, as the loss reads it."""
  task = episodes.stream(config, transfer, 0).draw(step)
  return jax.tree.map(lambda x: x[0, 0], task)


def test_a_batch_holds_the_templates_that_occur(config, transfer):
  task = episodes.stream(config, transfer, 0).draw(0)
  assert task.support.vectors.ndim == 5
  top = fine_tuning.Top(config.embedding, 2)
  params = {'encoder': top.start()}
  table = plain(config)
  for step in range(3):
    batch = draw(config, transfer, step).support
    used = batch.sessions < len(batch.labels)
    marks = np.unique(np.abs(batch.vectors[..., -1]))
    assert len(marks[marks > 0]) == len(np.unique(batch.events[used]))
    found = top.read(params, batch).vectors[batch.events[used]]
    near = lambda x: np.abs(table - x).max(1).min() < 1e-5
    assert all(map(near, np.asarray(found)))
  assert top.read(params, batch._replace(vectors=table)).vectors is table


def test_too_many_templates_for_a_room(config):
  data = system(config, 0)
  seqs = sequences.sequences(data.sessions, 0, 9)
  every = sequences.drawn(seqs.inverse, data.sessions.labels)
  room = sequences.fit_room([(seqs, every)], 30, 9)
  num = data.vectors.num_rows(np.arange(len(TEXTS)))
  assert sequences.assemble(data.vectors, seqs, every, room) is not None
  assert (
    sequences.assemble(data.vectors, seqs, every, room._replace(table=num - 1)) is None
  )


def loss_of(detector):
  """The detector's loss, on one device."""
  rows = jax.vmap(detector.objective[0], (None, 0), axis_name=mesh.ROWS)
  return lambda p, b: rows(p, jax.tree.map(lambda x: x[None], b))[0]


@pytest.mark.slow
@pytest.mark.parametrize('rates', ['fixed', 'entry'])
def test_the_meta_gradient_is_exact(config, transfer, rates):
  """Against central differences in float64, along directions of all parameters."""
  config = dataclasses.replace(config, rates=rates)
  detector = logmeta.make(config)
  state = detector.init(jax.random.key(0), transfer)
  wide = lambda x: np.asarray(x, np.float64 if x.dtype == np.float32 else x.dtype)
  with jax.enable_x64(True):
    params = jax.tree.map(wide, jax.device_get(state.params))
    task = jax.tree.map(lambda x: jnp.asarray(wide(x)), draw(config, transfer))
    flat, unravel = jax.flatten_util.ravel_pytree(params)
    names = jax.tree_util.tree_map_with_path(
      lambda path, x: np.full(x.shape, 'encoder' in jax.tree_util.keystr(path)), params
    )
    is_encoder = jax.flatten_util.ravel_pytree(names)[0]
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(4, len(flat))) / 30
    directions[:2] *= is_encoder  # two of the encoder alone

    def slopes(order):
      objective = dataclasses.replace(detector.objective[1], order=order)
      loss = jax.jit(
        lambda x: meta.meta_loss(loss_of(detector), unravel(x), task, objective)
      )
      grads = np.asarray(jax.jit(jax.grad(loss))(flat))
      return loss, directions @ grads

    loss, second = slopes('second')
    step = 1e-4
    exact = [(loss(flat + step * d) - loss(flat - step * d)) / 2 / step
             for d in directions]  # fmt: skip
    exact = np.array(exact)
    first = slopes('first')[1]
  relative = lambda x: np.abs(x - exact) / np.abs(exact)
  assert relative(second).max() < 1e-5
  assert relative(first)[:2].max() > 1e-3  # the test has the power to tell them apart


def test_the_meta_step_moves_the_encoder_at_its_own_rate(config, transfer):
  detector = logmeta.make(config)
  state = detector.init(jax.random.key(0), transfer)
  before = jax.device_get(state.params)
  drawn = detector.put(episodes.stream(config, transfer, 0).draw(0))
  state, found = detector.step(state, drawn)
  after = jax.device_get(state.params)
  assert np.isfinite(found['loss'])
  largest = lambda part: max(
    np.abs(a - b).max()
    for a, b in zip(jax.tree.leaves(after[part]), jax.tree.leaves(before[part]))
  )
  # Adam's first step is as long as its rate.
  assert largest('encoder') == pytest.approx(2e-5, rel=0.05)
  assert largest('lstm') == pytest.approx(1e-3, rel=0.05)
  assert set(after['encoder']) == {'layer_1', 'layer_2'}


def test_inner_steps_leave_the_encoder_where_it_is(config, transfer):
  detector = logmeta.make(config)
  params = detector.init(jax.random.key(0), transfer).params
  support = draw(config, transfer).support
  inner = jax.jit(
    lambda p: meta.adapt(loss_of(detector), p, support, detector.objective[1])
  )
  same = jax.tree.map(np.array_equal, params, inner(params))
  assert all(jax.tree.leaves(same['encoder'])) and not any(same['head'].values())


@pytest.mark.parametrize('change', [{}, {'rates': 'leaf', 'recurrent': False}])
def test_adaptation_leaves_the_encoder_where_it_is(config, transfer, change):
  config = dataclasses.replace(config, **change)
  detector = logmeta.make(config)
  state = detector.init(jax.random.key(0), transfer)
  adapted, report = detector.adapt(state, transfer, 0)
  assert report['steps'] == 2
  assert jax.tree.structure(adapted) == jax.tree.structure(state)
  params = lambda s: s.params.params if config.rates != 'fixed' else s.params
  same = jax.tree.map(np.array_equal, params(state), params(adapted))
  assert all(jax.tree.leaves(same['encoder'])) and not any(same['head'].values())


def test_scores_are_those_of_the_table(config, transfer):
  """As without the option, as long as nothing was trained."""
  detector = logmeta.make(config)
  frozen = logmeta.make(dataclasses.replace(config, encoder_trainable=0))
  state = detector.init(jax.random.key(0), transfer)
  test = system(config, 5)
  found = scoring.Scorer(detector).scores(state, test)
  bare = state._replace(params=fine_tuning.without(state.params))
  table = test._replace(vectors=plain(config))
  expected = scoring.Scorer(frozen).scores(bare, table)
  np.testing.assert_allclose(found, expected, atol=1e-6)
  shares = scoring.Scorer(detector).weights(state, test)
  np.testing.assert_allclose([x.sum() for x in shares], 1, rtol=1e-4)


def test_without_the_option_vectors_are_read(config):
  table = np.zeros((3, 2))
  assert logmeta.reader(logmeta.Config(), ('a', 'b', 'c'), table) is table
  assert logmeta.make(logmeta.Config()).table is None
  assert sampling.pad_rows(table, 3) is table


def test_who_has_no_such_layers(config):
  words = dataclasses.replace(config, embedding=gcse.Embedding())
  with pytest.raises(ValueError, match='encoder_trainable needs an encoder.*--encoder'):
    logmeta.reader(words, TEXTS, np.zeros((len(TEXTS), 8)))
  with pytest.raises(ValueError, match='encoder_trainable needs an encoder.*--encoder'):
    logmeta.make(words)
  with pytest.raises(ValueError, match='4 layers to train, of 3'):
    logmeta.make(dataclasses.replace(config, encoder_trainable=4))
