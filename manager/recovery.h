// What a dead process left in the rings: finds the packets in its hands by the ledger, repairs the
// rings, gives the packets to the reclaimer. docs/ownership.md has the argument.
#pragma once

#include <cstdint>
#include <vector>

#include "manager/platform.h"
#include "nf_lib/publisher.h"

namespace hb {

/// What a context could have packets of.
struct DeadContext {
  ContextId context;
  const ContextPage* page = nullptr;       ///< null: it never had one, so nothing was in hand
  std::vector<EndpointId> endpoints;       ///< that it consumed
  std::vector<RingId> rings = {};          ///< likewise, single ones
  std::vector<std::uint32_t> work_groups;  ///< whose queues it filled and drained
  /// What it had in hand of its endpoints stays there, unread, for its successor.
  bool keep_windows = false;
};

/// Control thread only: it publishes with the manager's own context.
class Recovery {
 public:
  explicit Recovery(Platform& platform);

  /// Repairs the rings of a context whose process is dead (its pidfd is readable, no earlier) and
  /// sends what was in its hands or held to the reclaimer.
  /// @param instance  whose they were
  /// @param reason    kLostInCrash, or kHeldAtExit for what a process that ended well still held
  /// @return packets sent to the reclaimer
  std::uint64_t recover(const DeadContext& dead, std::uint32_t instance, DropReason reason);

  /// Takes what waits in a dead instance's endpoint now and does with it what --missing-nf says;
  /// what is published meanwhile is for the next call.
  /// @return packets taken
  std::uint64_t serve(EndpointId endpoint, std::uint32_t service);

  /// Drops what waits there for the word of a GPU NF's control process: who would have known the
  /// answers is dead, so --missing-nf does not decide.
  void drop_unjudged(EndpointId waiting_room, std::uint32_t instance);

  /// Nothing waits in any ring of the endpoint.
  [[nodiscard]] bool is_empty(EndpointId endpoint) const;

 private:
  struct Findings;
  /// What becomes of a window in which the dead one had packets.
  enum class WindowRule { kTake, kKeepUnused, kCompact };
  void collect_held(const DeadContext& dead, Findings& found) const;
  void collect_window(RingId id, WindowRule rule, Findings& found) const;
  void collect_queue(std::uint32_t work_group, Findings& found) const;
  template <typename DestinationOf>
  std::uint64_t take_all(EndpointId endpoint, const DestinationOf& destination_of);
  void send_away(const std::vector<rte_mbuf*>& packets, std::uint32_t instance, DropReason reason);

  Platform& platform_;
  RegionView region_;
  Ledger ledger_;  ///< nobody recovers the manager from it
  Publisher publisher_;
};

}  // namespace hb
