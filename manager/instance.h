// One NF as the manager keeps it: what it registered, what it was given, how it is doing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "manager/control_area.h"
#include "manager/slice_counts.h"
#include "nf_lib/control_layout.h"

namespace hb {

/// A service and the process that offers it now, or did last. There is one for every service name
/// that a routes file or a registration has mentioned; its index is the service's id.
struct Instance {
  std::string service;
  std::uint32_t id = 0;

  // What the process registered.
  Compute compute = Compute::kCpu;
  Isolation isolation = Isolation::kPrivate;
  InstanceChoice choice = InstanceChoice::kFlowHash;
  std::uint16_t key_offset = 0;
  std::uint8_t key_bytes = 0;
  bool originates = false;
  std::vector<std::string> reasons;
  int pid = 0;
  int pidfd = -1;
  int connection = -1;  ///< descriptor of its control connection, -1 once closed

  // What it was given.
  InstanceState state = InstanceState::kFree;
  std::uint64_t start_order = 0;
  ContextId context;
  std::unique_ptr<ContextFile> page;
  std::vector<EndpointId> endpoints;       ///< one; of a GPU NF one for each CPUSyncer
  std::uint32_t slice = kMaxSlices;        ///< of a GPU NF
  std::vector<std::uint32_t> work_groups;  ///< of the slice; until gpu_host has let go of them

  /// A change of its size that gpu_host is at.
  struct Resize {
    bool at_work = false;
    int asker = -1;                        ///< connection to answer to, -1: nobody waits
    std::vector<std::uint32_t> joining;    ///< taken for it
    std::uint32_t then_grow = kMaxSlices;  ///< slice that gets what this one gives up
  } resize;
  SliceCounts slice_base;           ///< what earlier owners of the slice counted
  std::uint32_t table_version = 0;  ///< of the slice, as gpu_host said last
  double pause_us = 0;              ///< of the slice's last change

  // Its end.
  bool routed = false;   ///< the current route table leads here
  bool leaving = false;  ///< asked to end
  bool stop_sent = false;
  bool said_bye = false;
  bool orphaned = false;      ///< dead; the manager serves its endpoints until they are empty
  bool slice_removed = true;  ///< gpu_host has no slice of it
  bool removal_sent = false;  ///< gpu_host has been asked to give it up
  std::uint32_t flush_request = 0;
  std::string failure;  ///< why it is in state failed, for people

  // Counts that outlast the process. The ring totals of endpoints and context at their giving are
  // subtracted, so that what earlier users moved does not count.
  std::uint64_t rx_before = 0, left_before = 0, originated_before = 0;
  std::uint64_t rx_base = 0, left_base = 0, originated_base = 0;
  std::uint64_t served_as_orphan = 0;  ///< packets that the manager took from its rings instead
  std::uint64_t restarts = 0;

  [[nodiscard]] bool alive() const noexcept { return pidfd >= 0; }
  /// It has a place in the platform: the process, or packets that wait for it, are still there.
  [[nodiscard]] bool in_use() const noexcept { return !endpoints.empty(); }
};

}  // namespace hb
