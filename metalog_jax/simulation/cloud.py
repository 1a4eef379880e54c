"""A simulated cloud: one session is the life of one virtual machine."""

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
  'request': (
    'nova.api.openstack: create call from tenant {num} with flavor {num} taken'
  ),
  'claim': (
    'nova.compute.claims: claim of {num} MB memory and {num} cores on host {ip} made'
  ),
  'image': 'nova.virt.libvirt: base image {num} of {num} MB fetched from store {ip}',
  'volume': 'nova.compute.manager: volume {num} of {num} GB attached at slot {num}',
  'network': (
    'nova.network.manager: address {ip} allocated on port {num} of subnet {num}'
  ),
  'spawn': 'nova.compute.manager: spawned on host {ip} in {num} seconds',
  'heartbeat': (
    'nova.compute.manager: guest agent says hello with {num} processes and '
    '{num} MB used'
  ),
  'sync': (
    'nova.compute.manager: power state {num} agrees with database entry {num} today'
  ),
  'resize': (
    'nova.compute.manager: resized from flavor {num} to flavor {num} by its owner'
  ),
  'console': (
    'nova.api.openstack: console {num} opened for browser at {ip} by the tenant'
  ),
  'usage': (
    'nova.compute.resource_tracker: usage of {num} cores and {num} MB '
    'counted for billing'
  ),
  'policy': (
    'nova.scheduler.host_manager: weight {num} given to host {ip} in '
    'placement round {num}'
  ),
  'flow': (
    'nova.network.manager: flow table {num} with {num} rules pushed to switch {ip}'
  ),
  'migrate': (
    'nova.compute.manager: live migration {num} moved {num} MB from {ip} to {ip}'
  ),
  'label': 'nova.api.openstack: metadata key {num} set to value {num} by tenant {num}',
  'snapshot': (
    'nova.compute.manager: snapshot {num} of {num} GB uploaded as image {num}'
  ),
  'balloon': (
    'nova.virt.libvirt: balloon target moved to {num} MB on host {ip} at night'
  ),
  'pin': 'nova.virt.libvirt: virtual core {num} pinned on socket {num} of host {ip}',
  'zone': (
    'nova.scheduler.host_manager: new zone {num} with {num} hosts listed '
    'for tenant {num}'
  ),
  'quota': (
    'nova.api.openstack: quota page {num} shown with {num} of {num} cores in use'
  ),
  'detach': (
    'nova.compute.manager: volume {num} detached from slot {num} and handed to {ip}'
  ),
  'release': (
    'nova.network.manager: port {num} of subnet {num} given back to pool {num}'
  ),
  'delete': 'nova.compute.manager: delete completed, finished',
  'retry': 'nova.compute.manager: rescheduling tried repeatedly',
  'attempt': 'nova.virt.libvirt: attempt repeated',
}

FAULTS = (
  Fault(
    'link', 'nova.network.manager: bridge fault', 'nova.network.manager: bridge rebuilt'
  ),
  Fault(
    'link',
    'nova.network.manager: tunnel glitches, errors',
    'nova.network.manager: tunnel reestablished',
    since=0.2,
  ),
  Fault(
    'silence',
    'nova.compute.manager: agent malfunction',
    'nova.compute.manager: agent rejoined',
  ),
  Fault(
    'silence',
    'nova.compute.manager: message queue flaws',
    'nova.compute.manager: message queue resumed',
    since=0.3,
  ),
  Fault(
    'space', 'nova.virt.libvirt: memory overload', 'nova.virt.libvirt: memory regained'
  ),
  Fault(
    'space',
    'nova.compute.manager: storage leak, defect',
    'nova.compute.manager: storage relocated',
  ),
  Fault(
    'damage',
    'nova.virt.libvirt: image defects',
    'nova.virt.libvirt: image rebuilt, restored',
  ),
  Fault(
    'damage',
    'nova.compute.manager: volume mismatch',
    'nova.compute.manager: volume restored',
    since=0.4,
  ),
  Fault(
    'access',
    'nova.api.openstack: credential error',
    'nova.api.openstack: credential regained',
  ),
  Fault(
    'crash',
    'nova.compute.manager: hypervisor crashes',
    'nova.compute.manager: hypervisor returned',
  ),
  Fault(
    'stall', 'nova.virt.libvirt: guest malfunctions', 'nova.virt.libvirt: guest resumed'
  ),
  Fault(
    'strain',
    'nova.compute.resource_tracker: processor overload, fault',
    'nova.compute.resource_tracker: processor relocated',
  ),
)

GRAMMAR = Grammar(
  name='cloud',
  steps=STEPS,
  opening=seq('request', 'claim', mixed('image', 'network', maybe(0.5, 'volume'))),
  work=seq(
    'spawn',
    mixed(
      times(2, 6, pick('heartbeat', 'heartbeat', 'sync')),
      maybe(0.4, 'usage'),
      maybe(0.2, 'console'),
      maybe(0.06, 'resize'),
      maybe(0.1, 'policy', since=0.15),
      maybe(0.08, 'flow', since=0.25),
      maybe(0.08, 'balloon', since=0.35),
      maybe(0.08, 'label', since=0.45),
      maybe(0.08, 'pin', since=0.55),
      maybe(0.08, 'zone', since=0.65),
      maybe(0.08, 'quota', since=0.75),
      maybe(0.1, times(1, 3, 'migrate'), since=0.3),
      maybe(0.1, times(1, 2, 'snapshot')),
      maybe(0.3, times(1, 2, pick('retry', 'attempt'))),
    ),
    maybe(0.5, 'detach'),
  ),
  closing=seq('release', 'delete'),
  faults=FAULTS,
  attempts=('retry', 'attempt'),
  fatal=(
    'nova.compute.manager: fatal hypervisor error',
    'nova.virt.libvirt: guest destroyed, fatal defect',
    'nova.compute.manager: unrecoverable image errors',
  ),
  odd=(
    'nova.scheduler.host_manager: two suns rose over host {ip} in round {num}',
    'nova.virt.libvirt: guest number {num} dreams of tenant {num}',
  ),
  mandatory=('claim', 'spawn'),
  ordered=('spawn', 'release'),
)
