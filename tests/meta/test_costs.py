"""What a step costs: counted work against formulas, and a step really measured."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metalog_jax import meta
from metalog_jax.meta import costs
from tests.meta import problems


def test_products_count_as_often_as_the_loop_runs():
  a = jax.ShapeDtypeStruct((4, 4), np.float64)

  def power(a, steps):
    return jax.lax.scan(lambda x, _: (x @ a, None), a, length=steps)[0]

  for steps in (1, 7):
    assert costs.work(lambda a: power(a, steps), a) == (steps * 2 * 4**3, 0)  # noqa: B023
  nested = lambda a: jax.lax.fori_loop(0, 3, lambda _, x: power(x, 5), a)
  assert costs.work(jax.jit(nested), a).flops >= 15 * 2 * 4**3


def test_a_loop_of_unknown_length_is_said_to_be_one():
  f = lambda x: jax.lax.while_loop(lambda x: x[0] < 9, lambda x: x + 1, x)
  assert costs.work(f, np.zeros(5)) == (5, 1)


def test_without_loops_it_is_the_compilers_count_of_products():
  f = lambda a, b, v: jnp.einsum('bij,jk->bik', a, b) @ v
  args = [np.ones(shape) for shape in ((6, 5, 4), (4, 3), (3,))]
  theirs = jax.jit(f).lower(*args).compile().cost_analysis()['flops']
  assert costs.work(f, *args).flops == theirs == 2 * 6 * 5 * 4 * 3 + 2 * 6 * 5 * 3


def test_a_step_explained():
  loss_fn, params, tasks = problems.regression(3, num=2)
  optimizer = optax.sgd(0.1)
  step = meta.make_meta_step(
    loss_fn, optimizer, meta.MetaConfig(inner_steps=3, **problems.SPLITS)
  )
  state = meta.init_state(params, optimizer)
  cost = costs.explain(step, state, tasks)
  assert cost.parameters == 3 * 4 + 4 + 4 * 2 and cost.open_loops == 0
  assert min(cost.temporary_bytes, cost.compile_seconds, cost.seconds_per_step) > 0
  assert np.isfinite(state.params['w']).all()  # what was given is not given away
  assert 'GFLOP' in costs.describe(cost)


def test_modes_that_keep_less_compute_more():
  loss_fn, params, tasks = problems.regression(3, num=2)
  optimizer = optax.sgd(0.1)
  state = meta.init_state(params, optimizer)

  def flops(**change):
    config = meta.MetaConfig(inner_steps=3, support_per_step=True, **change)
    return costs.work(meta.make_meta_step(loss_fn, optimizer, config), state, tasks)[0]

  again = min(flops(gradient='mixed'), flops(gradient='remat'))
  kept = max(flops(gradient='linearized'), flops(gradient='reverse'))
  first, truncated = flops(order='first'), flops(gradient='truncated')
  assert first < truncated < again and first < kept < again
