"""Bytes to chunks: nothing lost, nothing twice, whatever the chunk and the packing."""

import bz2
import gzip
import hashlib
import lzma

import hypothesis
import pytest
import zstandard
from hypothesis import strategies as st

from metalog_jax.logs import files

PACK = {
  '.gz': gzip.compress,
  '.bz2': bz2.compress,
  '.xz': lzma.compress,
  '.zst': zstandard.ZstdCompressor().compress,
}


def read(paths, chunk_bytes=0):
  inputs = []
  chunks = list(files.read_chunks([str(p) for p in paths], inputs.append, chunk_bytes))
  return chunks, inputs


@pytest.mark.parametrize('suffix', ['', *PACK])
def test_content_survives_packing(tmp_path, suffix):
  content = b''.join(b'line %d\n' % i for i in range(5000))
  stored = PACK.get(suffix, bytes)(content)
  path = tmp_path / f'a.log{suffix}'
  path.write_bytes(stored)
  chunks, (found,) = read([path], 1000)
  assert b''.join(chunk.data for chunk in chunks) == content
  assert (found.lines, found.bytes) == (5000, len(stored))
  assert found.sha256 == hashlib.sha256(stored).hexdigest()


@pytest.mark.parametrize('suffix', PACK)
def test_several_streams_in_a_row(tmp_path, suffix):
  path = tmp_path / f'a.log{suffix}'
  path.write_bytes(PACK[suffix](b'a\n') + PACK[suffix](b'b\n'))
  chunks, _ = read([path])
  assert b''.join(chunk.data for chunk in chunks) == b'a\nb\n'


@pytest.mark.parametrize('suffix', PACK)
def test_cut_short(tmp_path, suffix):
  path = tmp_path / f'a.log{suffix}'
  content = ''.join(f'line {hash(str(i))}\n' for i in range(9000)).encode()
  path.write_bytes(PACK[suffix](content)[:-40])
  with pytest.raises(ValueError, match='the file was cut short'):
    read([path])


@pytest.mark.parametrize('suffix', PACK)
def test_not_what_the_name_says(tmp_path, suffix):
  path = tmp_path / f'a.log{suffix}'
  path.write_bytes(b'plain text, not packed at all\n' * 100)
  with pytest.raises(ValueError, match=f'a.log{suffix}: damaged compressed data'):
    read([path])


@pytest.mark.parametrize('suffix', PACK)
def test_what_unpacks_to_very_much_comes_in_pieces(tmp_path, suffix):
  path = tmp_path / f'a.log{suffix}'
  path.write_bytes(PACK[suffix](bytes(1 << 26)))
  sizes = [len(block) for block in files.read_blocks(str(path))]
  assert sum(sizes) == 1 << 26 and max(sizes) <= 35 << 20


@hypothesis.given(
  texts=st.lists(st.binary(max_size=30), min_size=1, max_size=4),
  chunk_bytes=st.integers(1, 40),
)
def test_lines_and_numbers(tmp_path_factory, texts, chunk_bytes):
  """Chunks are whole lines; numbers count over files, lines within a file."""
  hypothesis.assume(any(texts) and not any(t[:1] in (b'\xff', b'\xfe') for t in texts))
  hypothesis.assume(not any(t.startswith(b'\xef\xbb\xbf') for t in texts))
  folder = tmp_path_factory.mktemp('files')
  paths = [folder / f'{i}.log' for i in range(len(texts))]
  for path, text in zip(paths, texts):
    path.write_bytes(text)
  chunks, inputs = read(paths, chunk_bytes)
  number = 1
  for path, text, found in zip(paths, texts, inputs):
    mine = [chunk for chunk in chunks if chunk.path == str(path)]
    whole = text + b'\n' if text and not text.endswith(b'\n') else text
    assert b''.join(chunk.data for chunk in mine) == whole
    line = 1
    for chunk in mine:
      assert chunk.data.endswith(b'\n')
      assert len(chunk.data) <= chunk_bytes + max(map(len, whole.split(b'\n'))) + 1
      assert (chunk.line, chunk.number) == (line, number)
      line += chunk.data.count(b'\n')
      number += chunk.data.count(b'\n')
    assert found.lines == line - 1


def test_a_line_without_end_is_held_in_little_memory(tmp_path):
  path = tmp_path / 'a.log'
  path.write_bytes(b'first\n' + b'x' * (10 << 20) + b'\nlast\n')
  chunks, (found,) = read([path], 1 << 16)
  assert found.lines == 3
  assert max(len(chunk.data) for chunk in chunks) < files.MAX_LINE + (1 << 18)
  assert b''.join(chunk.data for chunk in chunks).split(b'\n')[2] == b'last'


def test_folders_and_patterns(tmp_path):
  for name in ('b.log', 'a/z.log', 'a/labels.log', '.hidden.log', 'notes.txt',
               'b.log_structured.csv'):  # fmt: skip
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text('x\n')
  labels = str(tmp_path / 'a/labels.log')
  found = files.expand([str(tmp_path)], [labels])
  assert found == [str(tmp_path / 'a/z.log'), str(tmp_path / 'b.log')]
  assert files.expand([f'{tmp_path}/*.log']) == [str(tmp_path / 'b.log')]
  with pytest.raises(ValueError, match='nothing.log does not exist: check --logs'):
    files.expand([str(tmp_path / 'nothing.log')])


def test_marks_of_encodings(tmp_path):
  path = tmp_path / 'a.log'
  path.write_bytes(b'\xef\xbb\xbfone\n')
  chunks, _ = read([path])
  assert chunks[0].data == b'one\n'
  path.write_bytes('one\n'.encode('utf-16'))
  with pytest.raises(ValueError, match='is UTF-16'):
    read([path])
