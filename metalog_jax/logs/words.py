"""Words of small vocabularies, which are never taken for variables."""

import re

KEPT = '\ue000'  # stands before a word that a user wants to keep; in no other text

_STATES = frozenset(
  """
  true false yes no not on off up down ok okay success successful successfully fail
  fails failure error errors warn warning critical fatal info debug notice trace done
  begin end start stop open close closed lost found set unset reset sent shut dead
  alive active inactive online offline ready unready busy idle healthy unhealthy valid
  invalid full empty null none nil in out read write left right enter exit timeout
  get head post put delete options patch connect before after without
  """.split()
)
_FAULT = re.compile(r'.*(?:Exception|Error|Failure|Fault|Timeout|Interrupt)', re.DOTALL)
_VERB = re.compile(r'[A-Za-z]{2,}(?:ed|ing)|[a-z]{3,}[^siu]s')

_NOUNS = frozenset(
  """
  user username login host hostname node server client customer account tenant owner
  name named called file directory table database schema queue topic bucket index key
  instance container pod job module service session device interface driver member
  group plugin package process thread worker broker partition region zone cluster
  """.split()
)


def is_noun(word: str) -> bool:
  """Whether the name of one of many mostly follows, as after `user` and `file`."""
  return word.lower() in _NOUNS


def is_verb(word: str) -> bool:
  """Whether a word ends as verbs do that say what happened."""
  return _VERB.fullmatch(word) is not None or word in ('is', 'was', 'has', 'not')


def is_state(word: str, perhaps: bool = False) -> bool:
  """Whether a word says how something went, or what went wrong.

  Args:
    word: of a message; of a quoted text, its first word counts.
    perhaps: also count one that only ends so, as `started`, `joins` and `alfred` do.
  """
  if KEPT in word:
    return True
  if word[:1] == '"':
    word, perhaps = word[1:].split(' ', 1)[0], False
  if word.lower() in _STATES or _FAULT.fullmatch(word) is not None:
    return True
  return perhaps and _VERB.fullmatch(word) is not None
