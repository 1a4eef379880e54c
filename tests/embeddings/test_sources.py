"""Which source of event vectors is taken."""

import pytest

from metalog_jax import errors
from metalog_jax.embeddings import gcse, pretrained, sources, texts

WORDS, ENCODER = gcse.Embedding(), texts.Encoder()


@pytest.mark.parametrize('installed', [True, False])
def test_what_is_asked_for_comes_before_what_is_there(monkeypatch, installed):
  monkeypatch.setattr(pretrained, 'is_installed', lambda: installed)
  for prefer in (True, False):
    assert sources.choose(WORDS, 'v.txt', None, prefer) == gcse.Embedding('v.txt')
    assert sources.choose(WORDS, None, 'bert', prefer) == texts.Encoder('bert')
  assert sources.choose(WORDS, None, None) is WORDS
  assert sources.choose(WORDS, None, None, True) == (ENCODER if installed else WORDS)


def test_settings_of_the_preset_stay():
  words, encoder = gcse.Embedding(idf='per_system'), texts.Encoder(pooling='first')
  assert sources.choose(words, 'v.txt', None).idf == 'per_system'
  assert sources.choose(encoder, None, 'bert').pooling == 'first'
  assert sources.choose(encoder, 'v.txt', None) == gcse.Embedding('v.txt')


def test_both_are_refused():
  with pytest.raises(errors.UserError, match='--vectors and --encoder'):
    sources.choose(WORDS, 'v.txt', 'bert')


def test_whether_the_default_encoder_is_there(monkeypatch, tmp_path):
  monkeypatch.setattr(pretrained, 'find', lambda: tmp_path)
  assert pretrained.is_installed()

  def nowhere():
    raise errors.UserError('nowhere')

  monkeypatch.setattr(pretrained, 'find', nowhere)
  assert not pretrained.is_installed()
