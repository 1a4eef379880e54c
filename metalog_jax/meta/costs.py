"""What a meta-step costs, known before the run.

XLA's own count of a program's work takes the body of a loop once, however often it
runs. So work is counted on the traced program, where loops still have lengths.
"""

import math
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.extend import core

TIMED = 3  # steps, after one that is not
# What moves, makes or compares numbers without arithmetic on them.
FREE = frozenset(
  'broadcast_in_dim reshape transpose squeeze slice dynamic_slice concatenate pad rev '
  'dynamic_update_slice gather iota convert_element_type copy stop_gradient select_n '
  'eq ne lt le gt ge and or not is_finite argmax argmin sort split expand_dims '
  'optimization_barrier bitcast_convert_type copy_p pvary real imag'.split()
)


class Work(NamedTuple):
  """Floating-point operations of a traced program."""

  flops: int
  open_loops: int  # loops whose length is data: their bodies are counted once


class Cost(NamedTuple):
  """Of one meta-step on one device."""

  parameters: int
  flops: int  # as traced, before the compiler merges or drops any; see `work`
  open_loops: int  # > 0: `flops` counts the bodies of so many loops only once
  temporary_bytes: int  # beside the state, the batch and the results
  compile_seconds: float
  seconds_per_step: float  # median


def work(f: Callable, *args: Any) -> Work:
  """Counts the additions and multiplications of f(*args), each for one.

  A matrix product [m, k] x [k, n] is 2 m k n; every other operation is one for each
  number that it makes (reductions: that it reads), tanh and exp included. Loops
  count as often as they run, and of branches the dearest.

  Args:
    f: any function that jax can trace.
    args: arrays or their shapes.
  """
  return _of_jaxpr(jax.make_jaxpr(f)(*args).jaxpr)


def explain(step: Callable, state: Any, tasks: Any) -> Cost:
  """What `step(state, tasks) -> (state, metrics)` costs; runs it a few times.

  Args:
    step: of `outer.make_meta_step`, or another like it.
    state: with `params`; left as it is.
    tasks: as the step takes them.
  """
  counted = work(step, state, tasks)
  start = time.perf_counter()
  compiled = jax.jit(step, donate_argnums=0).lower(state, tasks).compile()
  compile_seconds = time.perf_counter() - start
  memory = compiled.memory_analysis()
  seconds = []
  for _ in range(1 + TIMED):
    given = jax.block_until_ready(jax.tree.map(jax.numpy.copy, state))
    start = time.perf_counter()
    jax.block_until_ready(compiled(given, tasks))
    seconds.append(time.perf_counter() - start)
  return Cost(
    parameters=sum(x.size for x in jax.tree.leaves(state.params)),
    flops=counted.flops,
    open_loops=counted.open_loops,
    temporary_bytes=memory.temp_size_in_bytes if memory else 0,
    compile_seconds=compile_seconds,
    seconds_per_step=statistics.median(seconds[1:]),
  )


def describe(cost: Cost) -> str:
  """One line for each figure."""
  at_least = 'at least ' if cost.open_loops else ''
  return '\n'.join(
    [
      f'parameters          {cost.parameters:,}',
      f'work of a step      {at_least}{cost.flops / 1e9:.3g} GFLOP, as traced',
      f'temporary memory    {cost.temporary_bytes / 2**20:.1f} MiB',
      f'compilation         {cost.compile_seconds:.1f} s',
      f'time of a step      {1e3 * cost.seconds_per_step:.1f} ms',
    ]
  )


def _of_jaxpr(jaxpr: core.Jaxpr) -> Work:
  parts = [_of_equation(eqn) for eqn in jaxpr.eqns]
  return Work(sum(p.flops for p in parts), sum(p.open_loops for p in parts))


def _of_equation(eqn: core.JaxprEqn) -> Work:
  name, params = eqn.primitive.name, eqn.params
  if name == 'scan':
    body = _of_jaxpr(params['jaxpr'].jaxpr)
    return Work(params['length'] * body.flops, body.open_loops)
  if name == 'while':
    body = _of_jaxpr(params['body_jaxpr'].jaxpr)
    return Work(body.flops, body.open_loops + 1)
  if name == 'cond':
    return max(_of_jaxpr(branch.jaxpr) for branch in params['branches'])
  if name == 'custom_linear_solve':
    return _of_jaxpr(params['jaxprs'].solve.jaxpr)
  for key in ('jaxpr', 'call_jaxpr', 'fun_jaxpr'):
    if key in params:
      return _of_jaxpr(getattr(params[key], 'jaxpr', params[key]))
  return Work(_of_arithmetic(name, eqn), 0)


def _of_arithmetic(name: str, eqn: core.JaxprEqn) -> int:
  size = lambda var: math.prod(var.aval.shape)
  if name == 'dot_general':
    (contracted, _), _ = eqn.params['dimension_numbers']
    aval: Any = eqn.invars[0].aval
    shape = aval.shape
    return 2 * size(eqn.outvars[0]) * math.prod(shape[i] for i in contracted)
  if name in FREE:
    return 0
  if name.startswith('scatter'):
    return size(eqn.invars[2])
  if name.startswith('reduce_'):
    return size(eqn.invars[0])
  return sum(map(size, eqn.outvars))
