"""What the wheel is made of: a CycloneDX 1.6 bill of materials, as JSON.

  python docs/sbom.py > sbom.json
  python docs/sbom.py --licences   # one line each; exit code 1 where one is new to us

The components are what the installed distribution asks for, and what those ask for,
in the versions of this environment. Extras are left out.
"""

import datetime
import json
import re
import sys
import uuid
from importlib import metadata

from packaging import requirements, utils

NAME = 'metalog-logs'
PERMISSIVE = re.compile(
  r'(?i)apache|\bMIT\b|BSD|\bISC\b|PSF|python software|zlib|CC0|public domain'
  r'|PDDL|zope|unlicense|HPND'
)
# Neither permissive nor a hindrance: their files are used as they are, unchanged.
WEAK = {'gensim': 'LGPL-2.1-only', 'tqdm': 'MPL-2.0 AND MIT', 'certifi': 'MPL-2.0'}


def closure(name: str) -> dict[str, list[str]]:
  """The names of distributions: what each asks for; `name` is the first."""
  asked: dict[str, list[str]] = {}
  waiting = [name]
  while waiting:
    name = utils.canonicalize_name(waiting.pop(0))
    if name in asked:
      continue
    wanted = map(requirements.Requirement, metadata.requires(name) or [])
    needed = [x for x in wanted if not x.marker or x.marker.evaluate({'extra': ''})]
    asked[name] = sorted({utils.canonicalize_name(x.name) for x in needed})
    waiting += asked[name]
  return asked


def licence(name: str) -> tuple[str, bool]:
  """What a distribution says of its licence, and whether that is an SPDX expression."""
  about = metadata.metadata(name)
  if expression := about.get('License-Expression'):
    return expression, True
  classes = [
    text.split(' :: ')[-1]
    for text in about.get_all('Classifier') or []
    if text.startswith('License') and not text.endswith('OSI Approved')
  ]
  return '; '.join(classes) or (about.get('License') or '').split('\n')[0][:60], False


def component(name: str) -> dict:
  """One distribution as CycloneDX has it."""
  version = metadata.version(name)
  purl = f'pkg:pypi/{name}@{version}'
  said, is_expression = licence(name)
  about = {'expression': said} if is_expression else {'license': {'name': said}}
  return {
    'type': 'library',
    'bom-ref': purl,
    'name': name,
    'version': version,
    'purl': purl,
    'licenses': [about],
  }


def bill(name: str) -> dict:
  """The whole bill."""
  asked = closure(name)
  parts = {each: component(each) for each in asked}
  reference = lambda each: parts[each]['bom-ref']
  return {
    'bomFormat': 'CycloneDX',
    'specVersion': '1.6',
    'serialNumber': f'urn:uuid:{uuid.uuid4()}',
    'version': 1,
    'metadata': {
      'timestamp': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
      'component': parts[utils.canonicalize_name(name)] | {'type': 'application'},
    },
    'components': [*parts.values()][1:],
    'dependencies': [
      {'ref': reference(each), 'dependsOn': [reference(x) for x in wanted]}
      for each, wanted in asked.items()
    ],
  }


def main(arguments: list[str]) -> int:
  """Prints the bill, or the licences; 1 where a licence is to be looked at."""
  if arguments != ['--licences']:
    print(json.dumps(bill(NAME), indent=1))
    return 0
  odd = 0
  for name in sorted(closure(NAME)):
    said, _ = licence(name)
    new = not PERMISSIVE.search(said) and name not in WEAK
    odd += new
    print(f'{name} {metadata.version(name)}: {said}{"  LOOK AT IT" * new}')
  return min(odd, 1)


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
