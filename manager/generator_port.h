// A gen: or null port, without a driver: RX threads take its packets from the pool and TX threads
// put them back, whole bursts at a time. Its place among DPDK's ports, and whoever watches it there
// (rte_pdump), is kept by a net_null device that carries no packet.
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "manager/generator.h"
#include "manager/generator_sample.h"
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

  /// Control thread, as the next four; of a gen: port. Another rate, of the whole port; 0: no
  /// limit. Latencies are counted anew.
  void set_rate(std::uint32_t pps) noexcept;
  [[nodiscard]] std::uint32_t rate_pps() const noexcept { return rate_pps_; }

  /// Packets that came back since the start or the last set_rate(); without any for a null port.
  void add_latency_to(LatencyHistogram& sum) const noexcept;

  /// Keeps copies of the next packets that come back, as many on each TX queue; forgets earlier
  /// ones.
  void begin_sample(std::uint32_t n_packets);
  /// Those kept so far, in the order in which each queue sent them.
  /// @return packets written to a capture with nanoseconds of their RX time
  [[nodiscard]] Result<std::uint32_t> write_sample(const std::string& path) const;

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
  std::uint32_t rate_pps_ = 0;
  LatencyHistogram before_;                                 ///< what is not to be counted any more
  std::vector<std::unique_ptr<LatencyHistogram>> latency_;  ///< by TX queue; empty for a null port
  std::vector<std::unique_ptr<GeneratorSample>> samples_;   ///< likewise
};

}  // namespace hb
