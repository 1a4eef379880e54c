"""What every test shares: where the real logs are."""

import os
import pathlib

import hypothesis
import pytest

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
