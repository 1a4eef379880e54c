"""Meta-gradients are proved in float64, with quick compilation."""

import jax
import pytest


@pytest.fixture(autouse=True)
def float64():
  jax.config.update('jax_disable_most_optimizations', True)
  with jax.enable_x64(True):
    yield
  jax.config.update('jax_disable_most_optimizations', False)
