"""A simulated supercomputer: one session is one job on one compute node."""

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
  'boot': (
    'KERNEL: node booted with image {hex} from service node {ip} in {num} seconds'
  ),
  'personality': (
    'KERNEL: personality of this node loaded with rank {num} of {num} in block {num}'
  ),
  'assign': (
    'APP: job {num} of user {num} assigned to this node by the scheduler at {ip}'
  ),
  'load': 'APP: loading program of job {num} with {num} pages from file server {ip}',
  'start': (
    'APP: job {num} started by the control daemon with {num} threads in mode {num}'
  ),
  'barrier': 'KERNEL: barrier {num} entered by all threads of the job at cycle {num}',
  'exchange': (
    'TORUS: exchanged {num} packets of {num} bytes with neighbor {num} in '
    'direction {num}'
  ),
  'reduce': (
    'TORUS: tree reduction of {num} values over {num} ranks took {num} cycles in total'
  ),
  'compute': (
    'APP: iteration {num} of the program computed in {num} cycles on {num} cores'
  ),
  'output': 'APP: wrote {num} bytes of results to file {num} on file server {ip}',
  'checkpoint': (
    'APP: checkpoint {num} of the job with {num} pages saved to directory {num}'
  ),
  'sync': (
    'KERNEL: all {num} ranks of the job synchronized at step {num} of the program'
  ),
  'end': (
    'APP: job {num} ended after {num} seconds with exit code {num} and '
    'reported its results'
  ),
  'clean': 'KERNEL: memory pages {num} to {num} of the node cleaned for the next job',
  'idle': 'KERNEL: job completed, finished',
  'poll': (
    'MONITOR: environment poll {num} of {num} sensors on this card done in {num} ms'
  ),
  'voltage': (
    'MONITOR: voltage of rail {num} reads {num} millivolts on sensor {num} of the card'
  ),
  'clock': (
    'KERNEL: clock of the node adjusted by {num} nanoseconds against the '
    'reference on {ip}'
  ),
  'signal': 'APP: user signal {num} from the front end {ip} delivered to thread {num}',
  'trace': (
    'KERNEL: trace buffer at {hex} with {num} entries rotated by the kernel '
    'at cycle {num}'
  ),
  'profile': (
    'APP: profiling sample {num} with {num} counters collected on core '
    '{num} of this node'
  ),
  'schedule': (
    'MONITOR: new polling schedule {num} with period {num} loaded for the '
    'sensors of the midplane'
  ),
  'firmware': (
    'KERNEL: firmware level {num} announced by the service node {ip} for the next boot'
  ),
  'affinity': (
    'KERNEL: thread {num} of the job bound to core {num} by request of the program'
  ),
  'energy': (
    'MONITOR: energy counter with {num} joules sent to the accounting database at {ip}'
  ),
  'map': (
    'TORUS: routing map {hex} of size {num} distributed by the service node '
    'to this rack'
  ),
  'debugger': (
    'APP: debugger of user {num} attached to rank {num} through the front end {ip}'
  ),
  'prefetch': (
    'KERNEL: prefetch depth {num} chosen for pages {num} to {num} of the program'
  ),
  'retry': 'TORUS: another attempt',
  'attempt': 'APP: try {num} repeated',
}

FAULTS = (
  Fault(
    'link',
    'TORUS: link breakdown, defect',
    'TORUS: link rebuilt, stabilized',
  ),
  Fault(
    'link',
    'MONITOR: faulty network outage',
    'MONITOR: network reestablished, resumed',
    since=0.3,
  ),
  Fault(
    'silence',
    'APP: daemon malfunction, timeout',
    'APP: daemon resumed, regained',
  ),
  Fault(
    'silence',
    'MONITOR: node glitch, failure',
    'MONITOR: node returned, restored',
  ),
  Fault(
    'space',
    'KERNEL: memory fault, errors',
    'KERNEL: stabilized memory, reopened',
  ),
  Fault(
    'space',
    'APP: disk failure, overload',
    'APP: restored disk, resumed',
  ),
  Fault(
    'damage',
    'KERNEL: parity defect, damage',
    'KERNEL: parity restored, rebuilt',
  ),
  Fault(
    'damage',
    'TORUS: packet errors, glitch',
    'TORUS: packets reestablished, stabilized',
  ),
  Fault(
    'access',
    'APP: file malfunction, failure',
    'APP: regained file, reopened',
  ),
  Fault(
    'access',
    'APP: login defect, fault',
    'APP: login returned, reestablished',
    since=0.4,
  ),
  Fault(
    'crash',
    'KERNEL: process crash, breakdown',
    'KERNEL: resumed process, rebuilt',
  ),
  Fault(
    'crash',
    'APP: server crash, failures',
    'APP: server rebuilt, restored',
  ),
  Fault(
    'stall',
    'APP: program fault, malfunction',
    'APP: reestablished program, stabilized',
  ),
  Fault(
    'stall',
    'KERNEL: thread breakdown, error',
    'KERNEL: thread resumed, returned',
  ),
  Fault(
    'strain',
    'MONITOR: cooling failure, defect',
    'MONITOR: cooling regained, stabilized',
  ),
  Fault(
    'strain',
    'MONITOR: power glitch, malfunction',
    'MONITOR: restored power, reestablished',
  ),
)

GRAMMAR = Grammar(
  name='supercomputer',
  steps=STEPS,
  opening=seq('boot', maybe(0.5, 'personality'), 'assign', 'load', 'start'),
  work=seq(
    mixed(
      times(1, 4, 'compute'),
      times(0, 2, 'exchange'),
      times(0, 2, pick('barrier', 'reduce')),
      maybe(0.5, 'poll'),
      maybe(0.3, 'voltage'),
      maybe(0.2, 'clock'),
      maybe(0.06, 'debugger'),
      maybe(0.08, 'signal', since=0.2),
      maybe(0.08, 'trace', since=0.3),
      maybe(0.08, 'profile', since=0.35),
      maybe(0.08, 'schedule', since=0.45),
      maybe(0.08, 'firmware', since=0.5),
      maybe(0.08, 'affinity', since=0.6),
      maybe(0.08, 'energy', since=0.7),
      maybe(0.08, 'prefetch', since=0.8),
      maybe(0.1, times(1, 3, 'map'), since=0.4),
      maybe(0.3, times(1, 2, pick('retry', 'attempt'))),
    ),
    'sync',
    maybe(0.5, 'checkpoint'),
    times(0, 2, 'output'),
  ),
  closing=seq('end', 'clean', 'idle'),
  faults=FAULTS,
  attempts=('retry', 'attempt'),
  fatal=(
    'KERNEL: fatal kernel error',
    'APP: job aborted, fatal crash',
    'TORUS: unrecoverable torus defects',
    'KERNEL: memory destroyed, fatal errors',
  ),
  odd=(
    'MONITOR: coolant salinity at {num} parts',
    'KERNEL: leap of {num} ticks across epoch {num}',
  ),
  mandatory=('assign', 'sync'),
  ordered=('sync', 'end'),
)
