"""Templates to words, by the paper and by the released code."""

import hypothesis
import pytest
from hypothesis import strategies as st

from metalog_jax.embeddings import words


@pytest.mark.parametrize(
  ('template', 'expected'),
  [
    (
      'PacketResponder <*> for block <*> terminating',
      'packet responder for block terminating',
    ),
    ('BLOCK* NameSystem.addStoredBlock: blockMap updated:', None),
    ('java.io.IOException: Could not read', 'java io io exception could not read'),
    ('L3 ecc_error at 0x1f', 'l ecc error at x f'),
    ('[instance: <*>] took <NUM> ms', 'instance took num ms'),
    ('Übertragung läuftGut', 'übertragung läuft gut'),
    ('<*> 12 --- $% _', ''),
    ('', ''),
  ],
)
def test_paper_words(template, expected):
  if expected is None:
    expected = 'block name system add stored block block map updated'
  assert words.words(template) == expected.split()


@pytest.mark.parametrize(
  ('template', 'expected'),
  [
    # digits are words of their own, `[*]` leaves `*`, masks are words
    ('Received block [ID] of size [NUM]', 'Received block ID of size NUM'),
    ('blk1,2 [*] a.b/c#d|e\\f$g=h!i:(j)', 'blk1 2 * a b c d e f g h i j'),
    ('-dropped _too kept-this x_y', 'kept-this x_y'),
    (' \t', ''),
  ],
)
def test_reference_tokens(template, expected):
  assert [t.name for t in words.tokens(template, 'reference')] == expected.split()


@pytest.mark.parametrize(
  ('token', 'expected'),
  [
    ('addStoredBlock', 'add stored block'),
    ('IOException', 'io exception'),
    ('IPs', 'i ps'),
    ('kept-this_one', 'kept this one'),
    ('ab12c', 'ab 1 2 c'),
    ('DFS', 'dfs'),
    ('*', '*'),
    ('a<*>b', 'a <* >b'),  # a symbol behaves like a capital
    ("don't", "don 't"),
    ('--', ''),
  ],
)
def test_reference_sub_words(token, expected):
  assert words.sub_words(token) == expected.split()


def _sub_words_by_hand(token):
  """The rules of step 4 once more, as a machine that reads one character a time."""
  found, word, capitals = [], '', False
  for char in token:
    if char in '-_' or char.isdigit():
      found += [word, char if char.isdigit() else '']
      word, capitals = '', False
    elif char.islower():
      if capitals and len(word) > 1:
        found.append(word[:-1])
        word = word[-1]
      word, capitals = word + char, False
    else:
      if not capitals:
        found.append(word)
        word = ''
      word, capitals = word + char.lower(), True
  return [part for part in [*found, word] if part]


@hypothesis.settings(deadline=None)
@hypothesis.given(st.text("abzABZ019-_<*>.é'É", max_size=12))
def test_reference_sub_words_agree_with_a_second_statement(token):
  assert words.sub_words(token) == _sub_words_by_hand(token)


@hypothesis.settings(deadline=None)
@hypothesis.given(st.text(st.characters(exclude_characters='İ'), max_size=30))
def test_laws_of_any_text(text):
  assert all(word.isalpha() and word == word.lower() for word in words.words(text))
  letters = ''.join(char for char in text if char.isalpha())
  assert ''.join(words.words(text)) == letters.lower() or not letters.isascii()
