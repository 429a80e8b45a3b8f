// One CPUSyncer's share of a slice: the work-groups it owns and the endpoint it serves.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "gpu_host/doorbell.h"
#include "gpu_host/round_hook.h"
#include "gpu_host/table_versions.h"
#include "gpu_host/waiting_room.h"
#include "gpu_host/work_queue.h"
#include "nf_lib/copy_queue.h"
#include "nf_lib/platform_view.h"
#include "nf_lib/publisher.h"

namespace hb {

/// What the control thread wants a CPUSyncer to run.
struct ShareSpec {
  static constexpr std::uint32_t kNoCopyQueue = ~0u;
  std::uint32_t slice = 0;
  ServiceId service;
  InstanceId instance;
  EndpointId endpoint;                      ///< this CPUSyncer's, of this GPU NF
  std::uint32_t copy_queue = kNoCopyQueue;  ///< to the control process
  /// Where packets wait for the control process' answer, in the ring of the CPUSyncer's own
  /// context; without it none may.
  std::optional<EndpointId> waiting_room = std::nullopt;
  std::vector<std::uint32_t> work_groups;   ///< no other CPUSyncer has any of them
  std::uint32_t most_work_groups = 0;       ///< that changes may make of it; 0: those
  Doorbell* doorbell = nullptr;             ///< rung after each publish; may be null
  const TableVersions* versions = nullptr;  ///< for the copies; null: all are of version 1
  bool has_words = false;                   ///< the kernel reads private words
  RoundHook* hook = nullptr;                ///< writes them; outlives the share, or its change
};

/// Work-groups that a share gets and gives up. The control thread makes it; the CPUSyncer carries
/// it out without an allocation.
struct ShareChange {
  std::vector<WorkQueue> join = {};
  std::vector<std::uint32_t> retire = {};  ///< never all of them
  bool pause = false;   ///< takes no packet any more; over once none is in a queue
  bool resume = false;  ///< goes on, with this hook
  RoundHook* hook = nullptr;
};

/// The CPUSyncer's own part, shared by all its slices.
struct SyncerCommon {
  PlatformView view;
  ContextPage* page = nullptr;
  Publisher publisher;
};

/// Takes packets from the endpoint's rings into rounds, and answered rounds out to where the
/// verdicts and the routes say. Made by the control thread, then the CPUSyncer's alone.
class SliceShare {
 public:
  static Result<SliceShare> make(const SyncerCommon& syncer, const ShareSpec& spec);

  /// Lets go of packets whose wait is over, then takes back the rounds that are answered, oldest
  /// first, until one is not, or until half a ring is on its way: the next slice may be this
  /// CPUSyncer's as well.
  /// @return true if a packet moved
  bool drain(SyncerCommon& syncer) noexcept;

  /// Takes all that this CPUSyncer's other slices have sent, and a burst from each other producer's
  /// ring, while there is room; then hands over the open round if it is full, or if nothing more
  /// waits and its work-group would be idle.
  bool fill(SyncerCommon& syncer) noexcept;

  /// Begins a change: rounds go to the new queues, none to the retiring ones any more.
  void begin_change(ShareChange& change) noexcept;
  /// @return true once the last packet has left the retiring queues, which are then forgotten
  bool finish_change() noexcept;

  /// Hands over what is open, whatever it is.
  /// @return true once no packet is left in any of the queues
  bool finish() noexcept;

  [[nodiscard]] std::uint32_t slice() const noexcept { return spec_.slice; }

 private:
  /// What the device says about a burst of slots, checked.
  struct Answers;
  struct Taken;
  /// What became of packets by their verdicts.
  struct Tally {
    std::uint64_t passed = 0;
    std::uint64_t dropped = 0;
  };

  SliceShare(const SyncerCommon& syncer, const ShareSpec& spec, std::vector<WorkQueue> queues);

  bool drain_burst(SyncerCommon& syncer, WorkQueue& queue) noexcept;
  void read_answers(const SyncerCommon& syncer, const WorkQueue& queue, Answers& out) noexcept;
  bool read_verdict(u64 result, std::uint32_t i, Answers& out) noexcept;
  void prefetch_answered(const SyncerCommon& syncer, const WorkQueue& queue,
                         std::uint32_t n) const noexcept;
  bool copy_to_control(const SyncerCommon& syncer, Answers& answers) noexcept;
  [[nodiscard]] bool control_reads(const SyncerCommon& syncer) const noexcept;
  Destination destination_of(const Answers& answers, int i, Tally& tally) noexcept;
  [[nodiscard]] bool must_wait(const Answers& answers, int i) const noexcept;
  Destination enter_waiting_room(const Answers& answers, int i) noexcept;
  bool let_go(SyncerCommon& syncer) noexcept;
  void count_verdicts(const SyncerCommon& syncer, const Tally& tally) const noexcept;
  Destination judge(rte_mbuf* mbuf, const WaitingRoom::Entry& entry, Tally& tally) noexcept;
  bool serve(SyncerCommon& syncer, ContextId from, bool& more_waits) noexcept;
  bool take_burst(SyncerCommon& syncer, ContextId from, std::uint32_t most) noexcept;
  void ask_hook(const SyncerCommon& syncer, rte_mbuf* const* packets, const u64* slots,
                std::uint32_t n, HbSlotWords* words) noexcept;
  void settle(const SyncerCommon& syncer, const WorkQueue& queue, Answers& answers) noexcept;
  void check_packets(SyncerCommon& syncer, RingId id, const Window& window, Taken& out) noexcept;
  WorkQueue& open_queue() noexcept;
  [[nodiscard]] std::uint32_t total_room() const noexcept;
  [[nodiscard]] bool is_due() const noexcept;
  void publish_open() noexcept;
  void close_open() noexcept;
  void ring_if_published() noexcept;

  /// A place for a queue. Rounds in flight name places, so a queue never moves.
  enum class Use : std::uint8_t { kActive, kRetiring, kGone };
  struct Flight {
    std::uint64_t published_tsc;
    std::uint32_t queue;
  };
  [[nodiscard]] bool is_active(std::uint32_t i) const noexcept { return use_[i] == Use::kActive; }
  void count_round(SyncerCommon& syncer, const Flight& flight) noexcept;

  ShareSpec spec_;
  const Registry* registry_;
  RouteReader routes_;
  CopyQueue copies_;
  WaitingRoom waiting_;
  /// Slots taken back as one burst: it moves as a whole, so a lossless platform's must fit the
  /// empty waiting room, and its copies the empty queue.
  std::uint32_t most_slots_ = kMaxBurst;
  std::uint32_t most_drained_ = kMaxBurst;  ///< packets of one drain(), about
  std::uint32_t n_reasons_ = 0;
  std::vector<WorkQueue> queues_;
  std::vector<Use> use_;       ///< of the queues, same length
  std::uint32_t open_ = 0;     ///< whose open round takes the next slots
  std::vector<Flight> order_;  ///< rounds in flight, oldest first, as a ring; a power of two
  std::uint64_t between_rounds_tsc_;
  std::uint32_t order_head_ = 0;
  std::uint32_t order_tail_ = 0;
  std::uint64_t copied_ = 0;  ///< of the burst that waits for its copies to fit
  std::array<std::uint32_t, kMaxBurst> numbers_{};  ///< of the records by which it asks
  std::uint32_t first_producer_ = 0;
  bool resizes_ = false;  ///< the last burst's packets came back longer, shorter or moved
  bool published_ = false;
  bool paused_ = false;
};

}  // namespace hb
