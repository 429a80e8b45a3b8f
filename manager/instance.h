// One process that offers a service, as the manager keeps it: what it registered, what it was
// given, how it is doing.
#pragma once

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "manager/control_area.h"
#include "manager/nf_counters.h"
#include "manager/slice_counts.h"
#include "manager/stall_clock.h"
#include "nf_lib/control_layout.h"

namespace hb {

struct Service;

/// A GPU NF's kernel and table, kept for a gpu_host that is started again.
struct SliceTable {
  SliceTable() = default;
  SliceTable(const SliceTable&) = delete;
  SliceTable& operator=(const SliceTable&) = delete;
  ~SliceTable() { reset(); }
  void reset() noexcept {
    if (fd >= 0) close(fd);
    if (source_fd >= 0) close(source_fd);
    fd = source_fd = -1;
    kernel.clear();
    source_name.clear();
  }
  void swap(SliceTable& other) noexcept {
    std::swap(kernel, other.kernel);
    std::swap(fd, other.fd);
    std::swap(source_fd, other.source_fd);
    std::swap(source_name, other.source_name);
  }
  std::string kernel;       ///< empty: the NF has not said yet
  int fd = -1;              ///< the table's memory file, -1 without one
  int source_fd = -1;       ///< a kernel of the NF's own, likewise
  std::string source_name;  ///< what messages call it; empty: it has none
};

/// The place of one process in a service, and the process that has it now, or had it last. Its
/// index in Platform::instances is its id, which is never another instance's.
struct Instance {
  std::uint32_t id = 0;
  std::uint32_t number = 0;  ///< among its service's: 0 for the first
  Service* service = nullptr;

  // What the process registered.
  Isolation isolation = Isolation::kPrivate;
  bool originates = false;
  bool idempotent = false;
  /// Types that it may give packets, services that it may send them to by name; unset: any.
  std::optional<std::vector<std::string>> sets_types, names_services;
  int pid = 0;
  int pidfd = -1;
  int supervisor = 0;   ///< process id of its supervisor, 0 without one
  int connection = -1;  ///< descriptor of its control connection, -1 once closed

  // What it was given.
  InstanceState state = InstanceState::kFree;
  std::uint64_t start_order = 0;
  ContextId context;
  bool has_context = false;  ///< until it is released, also between a dead process and the next
  std::unique_ptr<ContextFile> page;
  std::vector<EndpointId> endpoints;  ///< one; of a GPU NF one for each CPUSyncer
  /// Of a GPU NF: where packets wait for the control process' answer. No route leads there: each
  /// CPUSyncer fills and empties the ring of its own context.
  std::optional<EndpointId> waiting_room;
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
  SliceTable table;                 ///< of a GPU NF: what gpu_host needs to add its slice
  SliceTable next_table;            ///< what it is about to replace that by
  std::string surviving;            ///< the file with its surviving block, empty: none
  std::uint64_t surviving_bytes = 0;

  // Its end.
  bool offers = false;   ///< it shall be routed to: it has been running, and nobody has said stop
  bool routed = false;   ///< the current route table leads here, or one does that is not drained
  bool leaving = false;  ///< asked to end
  bool stop_sent = false;
  bool said_bye = false;
  bool orphaned = false;      ///< dead; the manager serves its endpoints until they are empty
  bool slice_removed = true;  ///< gpu_host has no slice of it
  bool removal_sent = false;  ///< gpu_host has been asked to give it up
  std::uint32_t flush_request = 0;
  /// Stopped without a drain: its successor takes over its endpoints.
  bool handing_over = false;
  /// Of one that is kRestarting, or kStarting in a dead one's place: when those that send to it are
  /// told to do without it.
  std::chrono::steady_clock::time_point wait_until;
  Instance* replaces = nullptr;  ///< ends when this one is running
  StallClock stall;
  bool said_ready = false;    ///< its process knows that it is running
  bool sets_up = false;       ///< running, but at work on what an OpenNetVM NF does before its loop
  bool said_stopped = false;  ///< the log has it that a debugger has stopped it
  bool slice_failed = false;  ///< its slice died with gpu_host, and is added to the next one
  bool hung = false;          ///< killed because it made no progress
  std::string last_end;       ///< how its last process ended, for people
  std::string failure;        ///< why it is in state failed, for people

  // Counts that outlast the process. The ring totals of endpoints and context at their giving are
  // subtracted, so that what earlier users moved does not count.
  std::uint64_t rx_before = 0, left_before = 0, originated_before = 0;
  std::uint64_t rx_base = 0, left_base = 0, originated_base = 0;
  std::uint64_t served_as_orphan = 0;    ///< packets that the manager took from its rings instead
  NfCounters counters;                   ///< its own
  std::uint64_t unevaluated_before = 0;  ///< of a GPU NF: copies not made, in earlier slices
  std::uint64_t restarts = 0;

  [[nodiscard]] bool alive() const noexcept { return pidfd >= 0; }
  /// Packets may wait in its endpoints, and no process takes them.
  [[nodiscard]] bool is_waiting() const noexcept {
    return in_use() && (state == InstanceState::kRestarting || state == InstanceState::kStarting);
  }
  /// It has a place in the platform: the process, or packets that wait for it, are still there.
  [[nodiscard]] bool in_use() const noexcept { return !endpoints.empty(); }
  /// Where packets of it may lie.
  [[nodiscard]] std::vector<EndpointId> all_endpoints() const {
    std::vector<EndpointId> all = endpoints;
    if (waiting_room) all.push_back(*waiting_room);
    return all;
  }
  [[nodiscard]] bool routable() const noexcept { return offers && !leaving; }
  /// Like router/0.
  [[nodiscard]] std::string name() const;
};

}  // namespace hb
