"""The networks: their forms and sizes, and nothing of them depends on padding."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalog_jax.nets import logmeta, logtad, logtransfer, losses, metalog
from tests import grids

small = functools.partial(metalog.Network, hidden=3)
FORMS = {
  'logmeta': logmeta.Network(hidden=3),
  'logmeta_without_lstm': logmeta.Network(hidden=3, recurrent=False),
  'logmeta_without_attention': logmeta.Network(hidden=3, attention=False),
  'paper': small(),
  'released': small(bidirectional=True, attention='guide', head='linear'),
  'mean': small(layers=1, attention='mean'),
  'default': small(layers=1, pooling='mean', scale=True, peaks=True, head='linear'),
}
forms = pytest.mark.parametrize('network', FORMS.values(), ids=FORMS)


def scores_and_gradient(network, params, batch):
  """Logits [B, 2], and the gradient of the loss."""

  @jax.jit
  def run(params, batch):
    def loss(params):
      *_, logits = jax.tree.leaves(network.apply({'params': params}, batch))
      return losses.cross_entropy(logits, batch.labels, batch.weights), logits

    grads, logits = jax.grad(loss, has_aux=True)(params)
    return logits, grads

  return run(params, batch)


def sizes(network, dim):
  batch = grids.batch(dim=dim)
  shapes = jax.eval_shape(network.init, jax.random.key(0), batch)['params']
  count = lambda tree: sum(np.prod(x.shape, dtype=int) for x in jax.tree.leaves(tree))
  return {name: count(part) for name, part in shapes.items()}


def test_released_form_has_the_released_number_of_parameters():
  parts = sizes(metalog.RELEASED, dim=300)
  assert parts['gru'] == 422_400
  assert sum(parts.values()) == 423_403


def test_paper_form_is_one_directional_without_biases_in_the_head():
  h, d = 100, 300
  gru = 3 * h * (d + h + 2) + 3 * h * (h + h + 2)
  assert sizes(metalog.Network(), dim=d) == {
    'gru': gru,
    'attention': 2 * h * h,
    'head': 2 * h,
  }


def test_logmeta_has_the_sizes_of_its_authors_models():
  h, d = 256, 768
  assert sizes(logmeta.Network(), dim=d) == {
    'lstm': 2 * 4 * h * (d + h + 2),
    'attention': 2 * h + 1,
    'head': 2 * (2 * h + 1),
  }


def test_logmeta_starts_as_in_pytorch():
  network = logmeta.Network(hidden=50)
  params = network.init(jax.random.key(0), grids.batch())['params']
  for name, fan in (('lstm', 50), ('attention', 100), ('head', 100)):
    values = np.abs([x for leaf in params[name].values() for x in np.ravel(leaf)])
    assert 0.9 < values.max() * np.sqrt(fan) <= 1
    assert all(np.abs(leaf).max() > 0 for leaf in params[name].values())


@forms
def test_nothing_depends_on_padding_layout_or_order(network):
  batch = grids.batch(rows=8)
  params = grids.params(network, batch)
  logits, grads = scores_and_gradient(network, params, batch)
  order = np.random.default_rng(3).permutation(len(batch.labels))
  shuffled = grids.relaid(batch, order, more=2)
  other, other_grads = scores_and_gradient(network, params, shuffled)
  other = other[: len(order)]
  assert np.abs(other - logits[order]).max() < 1e-12
  assert grids.difference(other_grads, grads) < 1e-12


@forms
def test_every_parameter_learns(network):
  batch = grids.batch(rows=8)
  params = grids.params(network, batch)
  _, grads = scores_and_gradient(network, params, batch)
  if isinstance(network, logmeta.Network) and network.attention:
    # It moves all scores of a softmax alike.
    assert abs(grads['attention'].pop('bias')) < 1e-15
  for path, leaf in jax.tree_util.tree_leaves_with_path(grads):
    assert np.isfinite(leaf).all(), path
    assert np.abs(leaf).max() > 1e-9, path


def test_heads():
  batch = grids.batch()
  key = jax.random.key(0)
  linear = jax.jit(small(layers=1, head='linear').init)(key, batch)
  weight = linear['params']['head']['weight']
  np.testing.assert_allclose(weight @ weight.T, np.eye(2), atol=1e-6)
  bounded = small(layers=1)
  params = jax.tree.map(lambda x: 50 * x, grids.params(bounded, batch))
  logits = jax.jit(bounded.apply)({'params': params}, batch)
  assert np.abs(logits).max() <= 1


def test_peaks_are_maxima():
  batch = grids.batch(rows=8)
  states = np.random.default_rng(1).uniform(-1, 1, (batch.sessions.size, 2))
  expected = [part.max(0, initial=-1) for part in grids.split(states, batch)]
  np.testing.assert_array_equal(metalog.peaks(states, batch), expected)


FORWARD = {
  'paper': FORMS['paper'],
  'default': FORMS['default'],
  'logtad': logtad.Network(hidden=4),
  'logtransfer': logtransfer.Network(hidden=3, dense=4),
}


@pytest.mark.parametrize('network', FORWARD.values(), ids=FORWARD)
def test_shared_beginnings_change_nothing(network):
  apart = grids.batch(lengths=(7, 7, 6, 4, 4, 2), templates=3)
  shared = grids.relaid(apart, share=True)
  assert shared.events.size < apart.events.size
  params = grids.params(network, apart)
  ours, expected = (
    scores_and_gradient(network, params, batch) for batch in (shared, apart)
  )
  assert grids.difference(ours, expected) < 1e-12


@pytest.mark.parametrize('name', ['released', 'logmeta'])
def test_only_a_forward_reader_can_share(name):
  batch = grids.batch(share=True)
  with pytest.raises(ValueError, match='forward'):
    FORMS[name].init(jax.random.key(0), batch)


@pytest.mark.parametrize('make', [functools.partial(small, layers=1)])
def test_bfloat16_computes_close_by_and_answers_in_float32(make):
  batch = grids.batch(dtype=np.float32)
  params = grids.params(make(), batch, dtype=np.float32)
  exact, rough = (
    jax.jit(make(dtype=dtype).apply)({'params': params}, batch)
    for dtype in (None, jnp.bfloat16)
  )
  assert rough.dtype == exact.dtype == jnp.float32
  assert 0 < np.abs(rough - exact).max() < 0.1


def test_without_attention_the_context_is_the_last_state_of_each_direction():
  batch = grids.batch(rows=9)
  states = np.random.default_rng(0).normal(size=(batch.sessions.size, 6))
  context, weights = logmeta.ends(states, batch)
  for i, own in enumerate(grids.split(states, batch)):
    if len(own):
      np.testing.assert_allclose(context[i], [*own[-1, :3], *own[0, 3:]], rtol=1e-5)
      assert grids.split(weights, batch)[i].sum() == pytest.approx(1)
