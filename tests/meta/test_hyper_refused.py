"""Meta-parameters that do not fit the loss, the data or the optimizer are named."""

import jax
import numpy as np
import optax
import pytest

from metalog_jax import errors, meta
from metalog_jax.meta import rules
from tests.meta import test_hyper as hyper

PARAMS = hyper.NETWORK.params
SCHEDULED = optax.inject_hyperparams(optax.sgd)(optax.constant_schedule(0.1))


def grad_of(case=hyper.CASES['decay'], **change):
  options = {'hyper': case.hyper, 'wrt': 'hyper'} | change
  return meta.meta_grad(case.loss_fn, PARAMS, hyper.TASK, case.config, **options)


def with_aux(aux):
  step = meta.make_meta_step(
    lambda p, batch: (hyper.errors_of_rows(p, *batch[:2]).mean(), aux),
    optax.sgd(0.1),
    hyper.CONFIG,
    has_aux=True,
  )
  state = meta.init_state(PARAMS, optax.sgd(0.1))
  return step(state, jax.tree.map(lambda x: x[None], hyper.TASK))


@pytest.mark.parametrize(
  'call, says',
  [
    (lambda: grad_of(wrt='hypr'), "did you mean 'hyper'"),
    (lambda: grad_of(hyper=None), 'give hyper='),
    (lambda: grad_of(hyper={'decay': np.arange(3)}), 'no real number'),
    (
      lambda: grad_of(hyper.CASES['momentum'], hyper=None, wrt='params'),
      'give them, hyper=',
    ),
    (lambda: grad_of(injected(hyper.SGD, 'momentun')), "did you mean 'momentum'"),
    (lambda: grad_of(injected(SCHEDULED, 'learning_rate')), 'is not one of'),
    (lambda: grad_of(injected(optax.sgd(0.1), 'momentum')), 'inject_hyperparams'),
    (lambda: grad_of(unsafe_adam()), 'eps_root'),
    (lambda: jax.jit(lambda h: grad_of(unsafe_adam(), hyper=h))(0.1), 'eps_root'),
    (lambda: with_aux(np.arange(2)), 'needs real numbers'),
    (
      lambda: meta.meta_loss(plain_pair, PARAMS, hyper.TASK, hyper.CONFIG),
      'has_aux=True',
    ),
    (
      lambda: meta.meta_loss(
        lambda p, b: p['b'].sum(),
        PARAMS,
        hyper.TASK,
        hyper.CONFIG,
        has_aux=True,
      ),
      r'give \(loss, aux\)',
    ),
  ],
)
def test_what_does_not_fit_is_named(call, says):
  with pytest.raises(errors.UserError, match=says):
    call()


def plain_pair(params, batch):
  return hyper.errors_of_rows(params, *batch[:2]).mean(), 0


def injected(transform, name):
  return hyper.Case(
    hyper.plain, {name: 0.1}, hyper.with_rule(rules.injected(transform))
  )


def unsafe_adam():
  return hyper.Case(hyper.plain, 0.1, hyper.with_rule(lambda rate: optax.adam(rate)))
