"""Amounts as users write them."""

import pytest

from metalog_jax import errors
from metalog_jax.logs import budgets

RATES = [('1%', 0.01), (0.01, 0.01), (' 0.5 % ', 0.005), ('0', 0.0)]
WRONG = ['100%', '1', 'nan', '-1%', '', 'one']


@pytest.mark.parametrize('text, rate', RATES)
def test_rates(text, rate):
  assert budgets.rate(text, 'alert_rate') == rate


@pytest.mark.parametrize('text', WRONG)
def test_what_is_no_rate_is_refused(text):
  with pytest.raises(errors.UserError, match='--alert_rate=.*such as 1%'):
    budgets.rate(text, 'alert_rate')


def test_amounts():
  assert budgets.resolve('1%', 2374) == 24
  assert budgets.resolve('0.1%', 1000) == 1  # no rounding error on the way
  assert budgets.resolve('10%', 350) == 35
  assert budgets.resolve(7, 350) == 7
  for text in ('', 'many', '-1', '101%', '-1%', 'nan%', '1.5', '5 %%'):
    with pytest.raises(ValueError, match='neither a count'):
      budgets.resolve(text, 10)
