// A gen: or null port, without a driver: RX threads take its packets from the pool and TX threads
// put them back, whole bursts at a time. Its place among DPDK's ports, and whoever watches it there
// (rte_pdump), is kept by a net_null device that carries no packet.
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "manager/generator.h"
#include "manager/packet_pool.h"
#include "nf_lib/limits.h"

namespace hb {

class GeneratorPort {
 public:
  /// @param pool  outlives this
  static Result<std::shared_ptr<GeneratorPort>> make(const GeneratorSpec& spec,
                                                     const PacketPool& pool,
                                                     std::uint32_t n_rx_queues,
                                                     std::uint32_t n_tx_queues);

  /// Hands out new packets, as many as the rate and the pool allow. The queue's RX thread.
  /// @param burst  burst[kMaxBurst]; mbuf->port is the caller's to set
  /// @return how many
  std::uint16_t receive(std::uint16_t queue, rte_mbuf** burst) noexcept;
  /// The packets that come next, still empty: for their lines to be fetched.
  [[nodiscard]] std::span<rte_mbuf* const> next(std::uint16_t queue) const noexcept {
    return {rx_[queue].ready.data(), rx_[queue].n_ready};
  }

  /// Takes packets back and notes how long they were on their way, whatever their headers say. The
  /// queue's TX thread.
  void send(std::uint16_t queue, rte_mbuf* const* packets, std::uint32_t n) noexcept;

  /// Gives all packets back to the pool. RX and TX threads have ended.
  void close() noexcept;

  /// Without any for a null port.
  void add_latency_to(LatencyHistogram& sum) const noexcept {
    for (const auto& latency : latency_) sum.add_all(*latency);
  }

  [[nodiscard]] const PacketPool& pool() const noexcept { return pool_; }

 private:
  explicit GeneratorPort(const PacketPool& pool) : pool_(pool) {}

  struct alignas(kFalseSharingRange) RxQueue {
    std::unique_ptr<GeneratorQueue> stream;
    std::uint32_t n_ready = 0;
    std::array<rte_mbuf*, kMaxBurst> ready;  ///< taken from the pool a burst ahead
  };

  const PacketPool& pool_;
  std::vector<std::uint8_t> payload_;
  std::vector<RxQueue> rx_;
  std::vector<std::unique_ptr<LatencyHistogram>> latency_;  ///< by TX queue; empty for a null port
};

}  // namespace hb
