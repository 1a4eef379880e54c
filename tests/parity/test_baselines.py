"""Every baseline's network and loss against PyTorch, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalog_jax.detectors import logtad
from metalog_jax.nets import deeplog as deeplog_nets
from metalog_jax.nets import logrobust, losses, transformer
from metalog_jax.nets import logtad as logtad_nets
from metalog_jax.nets import logtransfer as logtransfer_nets
from tests import grids

torch = pytest.importorskip('torch', reason='the comparison needs the extra `torch`')

from tests.parity import torch_baselines, torch_network  # noqa: E402

ALPHA = 0.3


@pytest.fixture(autouse=True)
def float64():
  jax.config.update('jax_disable_most_optimizations', True)
  with jax.enable_x64(True):
    yield
  jax.config.update('jax_disable_most_optimizations', False)


NETWORKS = {
  'logrobust': (logrobust.Network(4), torch_baselines.logrobust),
  'logtransfer': (logtransfer_nets.Network(4, 3), torch_baselines.logtransfer),
  'neurallog': (
    transformer.Network(heads=2, size=3, hidden=7, dense=4),
    lambda params, x: torch_baselines.neurallog(params, x, 2),
  ),
}


def sessions_of(batch):
  vectors = torch.tensor(batch.vectors)
  return [vectors[torch.tensor(e, dtype=torch.long)] for e in grids.sequences(batch)]


def compare(ours, value, params):
  """The gradient of a scalar, parameter by parameter."""
  grads = torch_network.gradient(params, value)
  flat = {n: g.detach().numpy() for n, g in torch_network.tensors(ours).items()}
  assert set(flat) == set(grads)
  for name, expected in grads.items():
    largest = np.abs(expected).max()
    scale = largest if largest > 1e-14 else 1  # a bias of keys moves nothing
    np.testing.assert_allclose(flat[name] / scale, expected / scale, atol=1e-8)


@pytest.mark.parametrize('name', NETWORKS)
def test_classifiers(name):
  net, theirs = NETWORKS[name]
  batch = grids.batch(seed=3, dim=6)
  params = grids.params(net, batch)

  def loss(params):
    logits = net.apply({'params': params}, batch)
    return losses.cross_entropy(logits, batch.labels, batch.weights), logits

  (value, logits), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
  tensors = torch_network.tensors(params)
  expected = torch.stack([theirs(tensors, x) for x in sessions_of(batch)])
  np.testing.assert_allclose(logits, expected.detach(), atol=1e-12)
  labels, weights = torch.tensor(batch.labels), torch.tensor(batch.weights)
  total = torch_baselines.weighted_cross_entropy(expected, labels, weights)
  assert float(value) == pytest.approx(total.item(), abs=1e-12)
  compare(grads, total, tensors)


def test_deeplog():
  net = deeplog_nets.Network(4, 2)
  batch = grids.batch(seed=4, templates=6)._replace(vectors=np.eye(6))
  batch = batch._replace(labels=np.arange(len(batch.labels)) % 6.0)
  params = grids.params(net, batch)

  def loss(params):
    logits = net.apply({'params': params}, batch)
    return deeplog_nets.next_event_loss(logits, batch.labels, batch.weights), logits

  (value, logits), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
  tensors = torch_network.tensors(params)
  rows = [torch_baselines.deeplog(tensors, x) for x in sessions_of(batch)]
  expected = torch.stack(rows)
  np.testing.assert_allclose(logits, expected.detach(), atol=1e-12)
  copies = torch.tensor(batch.weights, dtype=torch.long)
  labels = torch.tensor(batch.labels, dtype=torch.long)
  total = torch.nn.functional.cross_entropy(
    expected.repeat_interleave(copies, 0), labels.repeat_interleave(copies)
  )
  assert float(value) == pytest.approx(total.item(), abs=1e-12)
  compare(grads, total, tensors)


def test_deeplog_ranks_every_event_of_every_session():
  """Window by window, against the slow and obvious."""
  net, length = deeplog_nets.Network(4, 2), 3
  batch = grids.batch(seed=5, templates=6)
  windows = deeplog_nets.windows(batch, length)
  params = grids.params(net, batch._replace(vectors=np.eye(6)))
  params['head']['weight'] *= 50  # so that ranks depend on what was read
  logits = net.apply({'params': params}, windows)
  seen = np.array([1, 1, 0, 1, 1, 1], bool)
  ranks = deeplog_nets.ranks(logits, batch.events.ravel(), jnp.asarray(seen))
  tensors = torch_network.tensors(params)
  bias = tensors['head.bias']
  for events, found in zip(grids.sequences(batch), grids.split(ranks, batch)):
    for i, event in enumerate(events):
      before = torch.eye(6, dtype=torch.float64)[events[max(0, i - length) : i]]
      guess = torch_baselines.deeplog(tensors, before) if i else bias
      order = [e for e in guess.argsort(descending=True).tolist() if seen[e]]
      expected = order.index(event) + 1 if seen[event] else 7
      assert found[i] == expected


def test_logtad():
  net = logtad_nets.Network(4, 2, alpha=ALPHA)
  sides = tuple(
    grids.batch(seed=s, lengths=n) for s, n in ((6, (5, 3, 1)), (7, (4, 2)))
  )
  params = grids.params(net, sides[0])
  centre = np.linspace(-0.5, 0.5, 4)

  def loss(params):
    both = logtad.Params(params, centre)
    return logtad.objective(net, both, sides, jax.random.key(0), 2.5)

  value, grads = jax.jit(jax.value_and_grad(loss))(params)
  tensors = torch_network.tensors(params)
  theirs = [(sessions_of(side), side.weights) for side in sides]
  total = torch_baselines.logtad_loss(tensors, theirs, torch.tensor(centre), ALPHA, 2.5)
  assert float(value) == pytest.approx(total.item(), rel=1e-10)
  compare(grads, total, tensors)
  z = net.apply({'params': params}, sides[0])[0]
  rows = [torch_baselines.logtad(tensors, x, ALPHA)[0] for x in theirs[0][0]]
  np.testing.assert_allclose(z, torch.stack(rows).detach(), atol=1e-12)


def test_positions_restart_with_every_session():
  batch = grids.batch(seed=8)
  found = transformer.positions(batch)
  for part in grids.split(found, batch):
    np.testing.assert_array_equal(part, np.arange(len(part)))
