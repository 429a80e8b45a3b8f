// Changing routes and flows under traffic, by a versioned drain: new packets are judged by the new
// table at once, or, where that could overtake others of their flow, once the old ones are gone.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <vector>

#include "manager/platform.h"
#include "manager/route_change.h"

namespace hb {

/// One switch at a time:
///   announced  the new table is out, RX threads are to stamp its version
///   grace      they do; contexts finish the bursts in which they may have read the old version
///   draining   packets of older versions finish their way; those of affected types are held at RX
///   releasing  hold queues empty, in order
/// Control thread only.
class RouteSwitch {
 public:
  explicit RouteSwitch(Platform& platform);

  [[nodiscard]] bool idle() const noexcept { return phase_ == Phase::kIdle; }
  /// How long ago the switch that is under way began; 0 when idle.
  [[nodiscard]] std::chrono::microseconds age() const noexcept;

  /// Publishes the first table. Before RX runs.
  void publish_first(const RouteTable& table, const Classifier* classifier);

  /// Begins a switch. Only when idle.
  /// @param classifier  what packets are classified by from now on; may be the one of before
  /// @param nfs         by service: what its NF may do with packets
  /// @return false if every version of the next parity is still on held packets: try again later
  bool begin(const RouteTable& table, const Classifier* classifier,
             std::span<const SteeringNf> nfs);

  enum class Step { kNothing, kDrained, kFinished };
  /// Goes as far as it can without waiting.
  /// @return kDrained once, when the old table and classifier are out of use; kFinished once, when
  ///         nothing is held any more
  Step advance();

  /// The switch that is under way has taken longer than --drain-timeout, and waits for this NF.
  [[nodiscard]] bool is_kept_by(const Instance& instance) const;

  /// Stops or starts all RX threads; they have when rx_agrees().
  void pause_rx(bool paused);
  [[nodiscard]] bool rx_is_paused() const noexcept { return plan_.paused; }
  /// All RX threads follow the current plan.
  [[nodiscard]] bool rx_agrees() const noexcept;

 private:
  enum class Phase { kIdle, kAnnounced, kGrace, kDraining, kReleasing };
  using Clock = std::chrono::steady_clock;
  struct Seen {
    const ContextPage* page;
    std::uint64_t bursts;
  };

  void post_plan();
  void begin_grace();
  [[nodiscard]] bool grace_is_over();
  [[nodiscard]] bool is_drained();
  void note_held_packets();
  void name_late();
  [[nodiscard]] bool is_inside(const Instance& instance) const;
  [[nodiscard]] std::uint64_t old_packets_of(const Instance& instance) const;
  [[nodiscard]] bool is_old(const rte_mbuf* mbuf) const noexcept;
  [[nodiscard]] std::array<std::uint64_t, kMaxTypes> held_so_far() const;

  Platform& p_;
  Phase phase_ = Phase::kIdle;
  RxPlan plan_;
  std::uint8_t version_ = 0;
  Clock::time_point began_{};
  Clock::time_point complain_at_{};
  std::vector<Seen> inside_;
  /// Packets of older versions that were seen in a held area during this drain: they have been
  /// judged by the old table for the last time.
  std::vector<std::uint32_t> seen_held_;
  std::vector<bool> is_seen_held_;
  std::array<std::uint64_t, kMaxTypes> held_before_{};
};

}  // namespace hb
