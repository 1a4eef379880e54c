"""The list of detectors."""

import pathlib

import pytest

from metalog_jax.detectors import registry

README = pathlib.Path(__file__).parents[2] / 'README.md'


def test_readme_holds_the_table():
  assert registry.table() in README.read_text()


def test_unknown_names_are_refused():
  with pytest.raises(ValueError, match='--detector=nobody is not one of metalog, log'):
    registry.get('nobody')
  with pytest.raises(ValueError, match='--preset=none is not one of default, top_150'):
    registry.preset('deeplog', 'none')


def test_who_would_rather_have_an_encoder():
  assert [d for d in registry.DETECTORS if registry.prefers_encoder(d)] == ['logmeta']
