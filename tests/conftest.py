"""What every test shares: compiled programs, and where the real logs are."""

import os
import pathlib

import hypothesis
import pytest

# Most of a test's time is compilation. The workers of a run, its subprocesses and runs
# on another Python share what is compiled; read before jax is imported.
ROOT = pathlib.Path(__file__).parents[1]
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(ROOT / '.jax_cache'))
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0.3')

# A property is true or not however slow the machine is at the moment.
hypothesis.settings.register_profile('untimed', deadline=None)
hypothesis.settings.load_profile('untimed')


@pytest.fixture(scope='session')
def data() -> pathlib.Path:
  """The folder of real logs; the test is skipped where there is none."""
  root = os.environ.get('METALOG_DATA')
  if not root:
    pytest.skip('set METALOG_DATA to the folder of real logs to run this test')
  return pathlib.Path(root)
