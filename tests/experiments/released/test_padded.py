"""The released padding: states that see zeros, attention that does not."""

import jax
import numpy as np
import pytest

from experiments.released import padded
from metalog_jax.nets import metalog
from tests import grids
from tests.nets import conftest

float64 = conftest.float64  # proved in it, as the library's networks are
NET = metalog.RELEASED.clone(hidden=4, layers=2)
PADDED = padded.Network(4, bidirectional=True, attention='guide', head='linear')


def run(net, batch, params):
  logits, weights = jax.jit(lambda p, b: net.apply({'params': p}, b, method='attend'))(
    params, batch
  )
  return np.asarray(logits), grids.split(weights, batch)


def test_every_session_has_a_row_of_the_longest():
  batch = grids.batch(seed=1, rows=9)
  wide, read, places = padded.lay(batch)
  lengths = np.array([len(e) for e in grids.sequences(batch)])
  steps = np.arange(batch.sessions.shape[0])[:, None]
  shape = (len(steps), 9)
  number = np.broadcast_to(np.arange(9), shape)
  np.testing.assert_array_equal(read.sessions, np.where(steps < lengths, number, 9))
  longest = np.where(lengths > 0, lengths.max(), 0)
  np.testing.assert_array_equal(wide.sessions, np.where(steps < longest, number, 9))
  assert not np.asarray(wide.vectors)[-1].any()
  for a, b in zip(grids.sequences(batch), grids.sequences(read)):
    np.testing.assert_array_equal(a, b)
  events = np.asarray(wide.events).ravel()
  held = np.asarray(batch.sessions).ravel() < 9
  np.testing.assert_array_equal(
    events[np.asarray(places)[held]], np.asarray(batch.events).ravel()[held]
  )


def test_it_is_the_release():
  """PyTorch's GRU over zeros at the end, its attention over the events."""
  torch = pytest.importorskip('torch', reason='the comparison needs the extra `torch`')
  from tests.parity import torch_network

  batch = grids.batch(seed=2)
  params = grids.params(NET, batch)
  logits, _ = run(PADDED, batch, params)
  tensors = torch_network.tensors(params)
  rows = grids.sequences(batch)
  longest = max(map(len, rows))
  for events, found in zip(rows, logits):
    x = torch.zeros(longest, batch.vectors.shape[1], dtype=torch.float64)
    x[: len(events)] = torch.tensor(batch.vectors[events])
    states = torch_network.recurrent(tensors, x)[: len(events)]
    context = torch_network.context(tensors, states)
    expected = tensors['head.weight'] @ context + tensors['head.bias']
    np.testing.assert_allclose(found, expected.detach(), atol=1e-12)


def test_only_padding_differs():
  batch = grids.batch(seed=3, lengths=(5, 5, 5))
  params = grids.params(NET, batch)
  plain, weights = run(NET, batch, params)
  same, again = run(PADDED, batch, params)
  np.testing.assert_allclose(same, plain, atol=1e-12)
  for a, b in zip(weights, again):
    np.testing.assert_allclose(a, b, atol=1e-12)
  uneven = grids.batch(seed=3, lengths=(7, 5, 2))
  plain, _ = run(NET, uneven, params)
  padded_logits, weights = run(PADDED, uneven, params)
  assert np.allclose(plain[0], padded_logits[0], atol=1e-12)
  assert not np.allclose(plain[2], padded_logits[2], atol=1e-3)
  np.testing.assert_allclose([w.sum() for w in weights], 1, atol=1e-12)
