"""A simulated block store: one session is the life of one block."""

from metalog_jax.simulation.grammar import (
  Fault,
  Grammar,
  maybe,
  mixed,
  pick,
  seq,
  times,
)

STEPS = {
  'allocate': (
    'store.Master: allocated {id} in volume {num} for client {ip} with '
    'quota {num} and priority {num}'
  ),
  'lease': (
    'store.Master: write lease {num} granted to the writer of {id} for the '
    'next {num} seconds'
  ),
  'receive': (
    'store.Keeper: receiving {id} from {ip} into volume {num} on port {num} '
    'of this keeper'
  ),
  'packet': (
    'store.Stream: packet {num} of {id} with {num} bytes acknowledged by '
    '{ip} in {num} ms'
  ),
  'buffer': (
    'store.Stream: buffered {num} bytes of {id} in {num} chunks for the next packet'
  ),
  'flush': (
    'store.Stream: contents of {id} flushed to disk {num} by the writer thread {num}'
  ),
  'checksum': (
    'store.Scrub: checksum of {id} computed over {num} chunks and compared '
    'with the master'
  ),
  'replica': (
    'store.Master: replica map updated: {ip} holds {id} of length {num} in volume {num}'
  ),
  'close': (
    'store.Stream: writer closed {id} after {num} packets and {num} bytes to {ip}'
  ),
  'commit': 'store.Master: {id} completed, finished',
  'read': 'store.Keeper: served {id} to reader {ip} in {num} ms from volume {num}',
  'report': (
    'store.Master: block report {num} from keeper {ip} lists {id} at position {num}'
  ),
  'index': 'store.Keeper: {id} added to the index page {num} of volume {num} by keeper',
  'scan': (
    'store.Scrub: periodic scan visited {id} on volume {num} at offset {num} today'
  ),
  'balance': 'store.Master: balancer moved {id} from {ip} to {ip} in round {num}',
  'rename': (
    'store.Master: file of {id} renamed by owner {num} in folder {num} of the tree'
  ),
  'archive': (
    'store.Keeper: {id} copied to archive tier {num} as item {num} of the monthly list'
  ),
  'pin': 'store.Keeper: hot cache on {ip} pinned {id} in memory page {num} for readers',
  'snapshot': (
    'store.Master: snapshot {num} of the tree taken at {num} now references '
    '{id} as well'
  ),
  'compress': (
    'store.Stream: {id} compressed from {num} to {num} bytes with method '
    '{num} by the writer'
  ),
  'encrypt': (
    'store.Stream: encryption key {num} of owner {num} used to encrypt the '
    'contents of {id}'
  ),
  'policy': (
    'store.Master: placement policy {num} applied for {id} in the new zone '
    '{num} by the master'
  ),
  'metrics': (
    'store.Keeper: metrics of {id} exported to collector {ip} every {num} '
    'seconds from now'
  ),
  'tag': (
    'store.Master: tag {num} attached to {id} by request of user {num} from client {ip}'
  ),
  'prefetch': (
    'store.Keeper: prefetch window of {num} bytes set on {id} for '
    'sequential reader {ip}'
  ),
  'attempt': 'store.Stream: {id} attempt repeated',
  'repeat': 'store.Keeper: another try: {id}',
}

FAULTS = (
  Fault(
    'link',
    'store.Stream: {id} connection faults',
    'store.Stream: connection: {id} restored',
  ),
  Fault(
    'link',
    'store.Stream: link glitches: {id}',
    'store.Stream: {id} link reestablished',
  ),
  Fault(
    'link',
    'store.Stream: network crash: {id}',
    'store.Stream: {id}: network rebuilt',
    since=0.2,
  ),
  Fault(
    'silence',
    'store.Master: keeper: {id} malfunction',
    'store.Master: {id}: keeper rejoined',
  ),
  Fault(
    'silence',
    'store.Stream: {id} stream errors',
    'store.Stream: stream: {id} resumed',
    since=0.3,
  ),
  Fault(
    'space',
    'store.Keeper: volume ({id}) overload',
    'store.Keeper: {id} volume relocated',
  ),
  Fault(
    'space',
    'store.Stream: {id}: buffer leak',
    'store.Stream: buffer rebuilt: {id}',
  ),
  Fault(
    'space',
    'store.Keeper: cache: {id} leaks',
    'store.Keeper: cache reopened: {id}',
    since=0.35,
  ),
  Fault(
    'damage',
    'store.Scrub: checksum mismatch: {id}',
    'store.Scrub: {id}: checksum restored',
  ),
  Fault(
    'damage',
    'store.Scrub: disk: {id} defects',
    'store.Scrub: {id} disk rebuilt',
    since=0.25,
  ),
  Fault(
    'damage',
    'store.Keeper: {id} index glitch',
    'store.Keeper: index ({id}) regained',
  ),
  Fault(
    'access',
    'store.Master: {id}: access flaw',
    'store.Master: access returned: {id}',
  ),
  Fault(
    'access',
    'store.Master: lease error ({id})',
    'store.Master: lease: {id} returned',
  ),
  Fault(
    'crash',
    'store.Keeper: replica: {id} faulty',
    'store.Keeper: {id} replica restored',
  ),
  Fault(
    'crash',
    'store.Stream: {id} mirror crashes',
    'store.Stream: mirror: {id} reopened',
  ),
  Fault(
    'crash',
    'store.Master: {id}: snapshot fault',
    'store.Master: snapshot: {id} rebuilt',
    since=0.3,
  ),
  Fault(
    'stall',
    'store.Stream: pipeline ({id}) malfunctions',
    'store.Stream: {id}: pipeline resumed',
  ),
  Fault(
    'stall',
    'store.Stream: {id}: writer error',
    'store.Stream: writer resumed: {id}',
    since=0.4,
  ),
  Fault(
    'strain',
    'store.Keeper: thermal defect: {id}',
    'store.Keeper: cooling ({id}) restored',
  ),
  Fault(
    'strain',
    'store.Stream: token: {id} flaws',
    'store.Stream: {id} token reopened',
  ),
)

GRAMMAR = Grammar(
  name='blockstore',
  steps=STEPS,
  opening=seq('allocate', 'lease', times(2, 3, 'receive')),
  work=seq(
    mixed(
      times(2, 6, pick('packet', 'packet', 'buffer')),
      maybe(0.5, 'flush'),
      maybe(0.3, 'report'),
      maybe(0.3, 'scan'),
      maybe(0.06, 'rename'),
      maybe(0.08, 'archive', since=0.2),
      maybe(0.08, 'pin', since=0.3),
      maybe(0.08, 'compress', since=0.4),
      maybe(0.08, 'encrypt', since=0.5),
      maybe(0.08, 'policy', since=0.6),
      maybe(0.08, 'metrics', since=0.7),
      maybe(0.08, 'prefetch', since=0.8),
      maybe(0.15, times(1, 2, 'balance')),
      maybe(0.1, times(1, 3, 'snapshot'), since=0.35),
      maybe(0.1, times(1, 2, 'tag'), since=0.55),
      maybe(0.3, times(1, 2, pick('attempt', 'repeat'))),
    ),
    'checksum',
    times(1, 3, 'replica'),
    maybe(0.4, 'index'),
  ),
  closing=seq('close', maybe(0.4, times(1, 2, 'read')), 'commit'),
  faults=FAULTS,
  attempts=('attempt', 'repeat'),
  fatal=(
    'store.Stream: fatal crash, {id} aborted',
    'store.Master: {id} suffered fatal errors',
    'store.Scrub: unrecoverable {id} defects, fatal',
    'store.Keeper: fatal flaw destroyed {id}',
  ),
  odd=(
    'store.Master: generation stamp {num} of {id} is younger than the journal',
    'store.Keeper: {id} appears under two parents {hex} and {hex}',
  ),
  mandatory=('checksum', 'lease'),
  ordered=('checksum', 'close'),
)
