"""The list of detectors."""

import dataclasses
import pathlib

import pytest

from metalog_jax.detectors import registry
from metalog_jax.embeddings import gcse, pretrained, texts

PAGE = pathlib.Path(__file__).parents[2] / 'docs' / 'detectors.md'


def test_the_page_holds_the_table(monkeypatch):
  monkeypatch.delitem(registry.DETECTORS, 'metalog_released', raising=False)
  assert registry.markdown_table() in PAGE.read_text()


def test_unknown_names_are_refused():
  with pytest.raises(
    ValueError, match="--detector='nobody' is not one of evidence, met"
  ):
    registry.get('nobody')
  with pytest.raises(
    ValueError, match="--preset='none' is not one of default, top_150"
  ):
    registry.preset('deeplog', 'none')


def test_who_would_rather_have_an_encoder():
  assert registry.PREFER_ENCODER == {'logmeta'}


def test_vectors_are_asked_for_or_preferred_where_they_are_installed(monkeypatch):
  kind = lambda name, *asked: type(registry.choose(name, 'default', *asked).embedding)
  monkeypatch.setattr(pretrained, 'is_installed', lambda: True)
  assert kind('logmeta', None, None) is texts.Encoder
  assert kind('metalog', None, None) is gcse.Embedding
  assert kind('metalog', None, 'a_folder') is texts.Encoder
  assert registry.choose('logmeta', 'anil', 'my.txt', None) == dataclasses.replace(
    registry.preset('logmeta', 'anil'), embedding=gcse.Embedding(vectors='my.txt')
  )
  monkeypatch.setattr(pretrained, 'is_installed', lambda: False)
  assert kind('logmeta', None, None) is gcse.Embedding
