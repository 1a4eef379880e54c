"""Networks, losses and meta-gradients against PyTorch, in float64.

Live where torch can be imported, and always against what it gave when
`tests/golden/make.py` was run.
"""

import dataclasses
import functools
import pathlib

import jax
import numpy as np
import pytest

from metalog_jax import meta
from metalog_jax.nets import gru, lstm
from tests import grids
from tests.meta import problems
from tests.parity import cases

GOLDEN = pathlib.Path(__file__).parents[1] / 'golden'


@pytest.fixture(autouse=True)
def float64():
  jax.config.update('jax_disable_most_optimizations', True)
  with jax.enable_x64(True):
    yield
  jax.config.update('jax_disable_most_optimizations', False)


def oracle():
  pytest.importorskip('torch', reason='the live comparison needs the extra `torch`')
  from tests.parity import torch_network

  return torch_network


def compare(ours, theirs, tolerance):
  """Every array, relative to its own largest entry unless that is rounding alone."""
  assert set(ours) == set(theirs)
  for name, expected in theirs.items():
    largest = np.abs(expected).max()
    error = np.abs(ours[name] - expected).max() / (largest if largest > 1e-14 else 1)
    assert error <= tolerance, (name, error)


def our_loss_and_gradient(problem):
  batch = problem.task.query
  loss, grads = jax.jit(jax.value_and_grad(problem.loss_fn))(problem.params, batch)
  return {'loss': loss, **cases.flat(grads)}


def our_logits(form, problem):
  batch = problem.task.query
  apply = jax.jit(cases.FORMS[form].apply)
  return apply({'params': problem.params}, batch)[batch.weights > 0]


def our_meta_gradient(problem, order='second'):
  config = meta.MetaConfig(
    inner_lr=cases.INNER_LR,
    inner_steps=len(problem.task.support.labels),
    support_weight=1.0,
    query_weight=cases.BETA,
    support_per_step=True,
    order=order,
  )
  run = jax.jit(lambda p, t: meta.value_and_meta_grad(problem.loss_fn, p, t, config))
  loss, grads = run(problem.params, problem.task)
  return {'loss': loss, **cases.flat(grads)}


@pytest.mark.parametrize('module', [gru.Gru, lstm.Lstm])
@pytest.mark.parametrize('layers,bidirectional', [(1, True), (2, True), (2, False)])
def test_recurrent_units(module, layers, bidirectional):
  batch = grids.batch(rows=8)
  unit = module.__name__.lower()
  module = module(4, layers, bidirectional)
  params = grids.params(module, batch)
  order = np.concatenate(grids.split(np.arange(batch.sessions.size), batch))
  probe = np.random.default_rng(1).normal(size=(len(order), 4 * (1 + bidirectional)))

  def along(params):
    states = module.apply({'params': params}, batch)[order]
    return (states * probe).sum(), states

  grads, states = jax.jit(jax.grad(along, has_aux=True))(params)
  theirs = oracle().states_and_gradient(
    {unit: params}, batch.vectors, grids.sequences(batch), probe
  )
  compare({'states': states, **cases.flat({unit: grads})}, theirs, 1e-12)


@functools.cache
def our_network(form):
  problem = cases.problem(form)
  return {'logits': our_logits(form, problem), **our_loss_and_gradient(problem)}


@functools.cache
def our_small_meta_gradient(form):
  return our_meta_gradient(cases.problem(form))


@pytest.mark.parametrize('source', ['torch', 'golden'])
@pytest.mark.parametrize('form', cases.FORMS)
def test_network_and_loss(form, source):
  problem = cases.problem(form)
  if source == 'golden':
    theirs = dict(np.load(GOLDEN / f'{form}.npz'))
  else:
    query = cases.plain(problem.task.query)
    theirs = oracle().loss_and_gradient(problem.params, query)
  compare(our_network(form), theirs, 1e-12)


@pytest.mark.parametrize('source', ['torch', 'golden'])
@pytest.mark.parametrize('form', cases.FORMS)
def test_meta_gradient(form, source):
  problem = cases.problem(form)
  if source == 'golden':
    theirs = dict(np.load(GOLDEN / f'{form}_meta.npz'))
  else:
    theirs = oracle().meta_gradient(*arguments(problem))
  compare(our_small_meta_gradient(form), theirs, 1e-12)


@pytest.mark.slow
def test_full_meta_gradient():
  problem = cases.full()
  theirs = oracle().meta_gradient(*arguments(problem))
  compare(our_meta_gradient(problem), theirs, 1e-9)
  with pytest.raises(AssertionError):  # the comparison can tell the orders apart
    compare(our_meta_gradient(problem, order='first'), theirs, 1e-3)


@pytest.mark.slow
def test_maml_over_tasks():
  """LogMeta's network, five inner steps on one support, four tasks side by side."""
  loss_fn, params, tasks = problems.few_shot()
  config = meta.MetaConfig(
    inner_lr=cases.INNER_LR,
    inner_steps=5,
    support_weight=0.0,
    query_weight=1.0,
    support_per_step=False,
  )

  def ours(order):
    chosen = dataclasses.replace(config, order=order)
    each = lambda p, t: meta.meta_loss(loss_fn, p, t, chosen)
    mean = lambda p: jax.vmap(each, (None, 0))(p, tasks).mean()
    loss, grads = jax.jit(jax.value_and_grad(mean))(params)
    return {'loss': loss, **cases.flat(grads)}

  every = []
  for i in range(4):
    one = jax.tree.map(lambda x: np.asarray(x[i]), tasks)  # noqa: B023
    support, query = map(cases.plain, one)
    every.append(
      oracle().meta_gradient(params, [support] * 5, query, cases.INNER_LR, 1.0, 0.0)
    )
  theirs = jax.tree.map(lambda *x: sum(x) / 4, *every)
  compare(ours('second'), theirs, 1e-9)
  with pytest.raises(AssertionError):  # the comparison can tell the orders apart
    compare(ours('first'), theirs, 1e-3)


def arguments(problem):
  support = [cases.plain(batch) for batch in cases.splits(problem.task)]
  query = cases.plain(problem.task.query)
  return problem.params, support, query, cases.INNER_LR, cases.BETA
