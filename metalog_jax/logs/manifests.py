"""The manifest of a System folder: what is in it, and whether it still is.

`files` holds the sha256 of every other file of the folder, `fingerprint` a hash of
those, equal for folders of equal content, and `checksum` a hash of the manifest
itself. Folders that version 0.1.0 wrote have none of them and are refused.
"""

import hashlib
import json
import os
import pathlib
from typing import Any

from metalog_jax import atomic, errors

NAME = 'manifest.json'
_KINDS = {'system': str, 'files': dict, 'fingerprint': str}
_AGAIN = 'prepare the folder again'


def write(folder: pathlib.Path, manifest: dict[str, Any]) -> dict[str, Any]:
  """Writes the manifest of a folder whose other files are all there; returns it."""
  hashes = _hashes(folder)
  manifest = {**manifest, 'files': hashes, 'fingerprint': _hash(hashes)}
  manifest = sealed(manifest)
  atomic.write_json(folder / NAME, manifest)
  return manifest


def sealed(content: dict[str, Any]) -> dict[str, Any]:
  """What JSON makes of `content`, with a hash of it as `checksum`."""
  value = json.loads(atomic.to_json(content))
  value.pop('checksum', None)
  return value | {'checksum': _hash(value)}


def check_seal(value: dict[str, Any]) -> None:
  """Raises ValueError or TypeError where `value` is not what `sealed` gave."""
  content = dict.copy(value)
  content.pop('checksum', None)
  if 'checksum' not in value:
    raise ValueError('it has no checksums; version 0.1.0 wrote none')
  if value['checksum'] != _hash(content):
    raise ValueError('it was changed since it was written')


def read(folder: str | os.PathLike) -> dict[str, Any]:
  """Reads and verifies the manifest itself.

  Raises UserError where `folder` holds no manifest, a damaged one, or version 0.1.0's.
  """
  path = pathlib.Path(folder) / NAME
  try:
    manifest = json.loads(path.read_text('utf-8'))
    check_seal(manifest)
    for name, kind in _KINDS.items():
      if not isinstance(manifest[name], kind):
        raise ValueError(f'{name} is no {kind.__name__}')
    for item in list.copy(manifest.get('inputs', [])):
      if not isinstance(item['path'], str) or type(item['lines']) is not int:
        raise ValueError('an input has no path, or no number of lines')
  except FileNotFoundError:
    raise errors.UserError(
      f'{folder} is not a System folder: it has no {NAME}; make one with '
      'metalog prepare'
    ) from None
  except NotADirectoryError:
    raise errors.UserError(f'{folder} is not a System folder but a file') from None
  except (ValueError, KeyError, TypeError, AttributeError, OSError,
          RecursionError) as error:  # fmt: skip
    raise errors.UserError(f'{path} is damaged: {error}; {_AGAIN}') from None
  return manifest


def check(folder: str | os.PathLike, manifest: dict[str, Any]) -> None:
  """Raises UserError where a file is missing, or is not what the manifest says."""
  for name, written in manifest['files'].items():
    path = pathlib.Path(folder) / name
    if pathlib.Path(name).name != name or not path.is_file():
      raise errors.UserError(f'{folder} has lost its {name}: {_AGAIN}')
    if file_hash(path) != written:
      raise errors.UserError(
        f'{path} is damaged, or of another folder: its checksum is not the one in '
        f'{NAME}; {_AGAIN}'
      )


def locate(manifest: dict[str, Any], number: int) -> tuple[str, int]:
  """The file and the line in it (from 1) of a line number of the sessions.

  Where files were merged line by line, the line is one of the merged files.
  """
  if manifest.get('interleaved'):
    paths = [item['path'] for item in manifest['inputs'] if item['lines']]
    return f'{", ".join(paths)} (merged by time)', number
  for item in manifest['inputs']:
    if number <= item['lines']:
      return item['path'], number
    number -= item['lines']
  raise errors.UserError(f'no input has a line {number} lines after its end')


def file_hash(path: pathlib.Path) -> str:
  """The sha256 of a file's bytes."""
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def _hashes(folder: pathlib.Path) -> dict[str, str]:
  paths = sorted(path for path in folder.iterdir() if path.is_file())
  return {path.name: file_hash(path) for path in paths if path.name != NAME}


def _hash(value: Any) -> str:
  return hashlib.sha256(atomic.to_json(value).encode('utf-8', 'replace')).hexdigest()
