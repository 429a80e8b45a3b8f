// One CPUSyncer's share of a slice: the work-groups it owns and the endpoint it serves.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "gpu_host/doorbell.h"
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
  std::vector<std::uint32_t> work_groups;   ///< no other CPUSyncer has any of them
  Doorbell* doorbell = nullptr;             ///< rung after each publish; may be null
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
  static Result<SliceShare> make(const PlatformView& view, const ShareSpec& spec);

  /// Takes back the rounds that are answered, oldest first, until one is not.
  /// @return true if a packet moved
  bool drain(SyncerCommon& syncer) noexcept;

  /// Takes a burst from each producer's ring while there is room, then hands over the open round
  /// if it is full or its work-group would be idle.
  bool fill(SyncerCommon& syncer) noexcept;

  /// Hands over what is open, whatever it is.
  /// @return true once no packet is left in any of the queues
  bool finish() noexcept;

  [[nodiscard]] std::uint32_t slice() const noexcept { return spec_.slice; }

 private:
  /// What the device says about a burst of slots, checked.
  struct Answers;

  SliceShare(const PlatformView& view, const ShareSpec& spec, std::vector<WorkQueue> queues);

  bool drain_burst(SyncerCommon& syncer, WorkQueue& queue) noexcept;
  void read_answers(const SyncerCommon& syncer, const WorkQueue& queue, Answers& out) noexcept;
  bool copy_to_control(const SyncerCommon& syncer, const Answers& answers) noexcept;
  bool take_burst(SyncerCommon& syncer, ContextId from, std::uint32_t most) noexcept;
  std::uint64_t check_packets(SyncerCommon& syncer, RingId id, const Window& window,
                              rte_mbuf** packets, u64* slots) noexcept;
  WorkQueue& open_queue() noexcept;
  [[nodiscard]] std::uint32_t total_room() const noexcept;
  void publish_open() noexcept;
  void ring_if_published() noexcept;

  ShareSpec spec_;
  RouteReader routes_;
  CopyQueue copies_;
  std::uint32_t n_reasons_ = 0;
  std::vector<WorkQueue> queues_;
  std::uint32_t open_ = 0;            ///< whose open round takes the next slots
  std::vector<std::uint16_t> order_;  ///< queues of the rounds in flight, as a ring; a power of two
  std::uint32_t order_head_ = 0;
  std::uint32_t order_tail_ = 0;
  std::uint64_t copied_ = 0;  ///< of the burst that waits for its copies to fit
  std::uint32_t first_producer_ = 0;
  bool published_ = false;
};

}  // namespace hb
