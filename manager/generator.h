// Traffic without a NIC: what a gen: port hands out, and how long it was on its way when it comes
// back. Sits on net_null as callbacks of its queues, so RX and TX threads see a port like any
// other.
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "manager/generator_sample.h"
#include "nf_lib/result.h"

namespace hb {

/// gen:size=BYTES|imix,flows=N[,payload=FILE][,rate=PPS]
struct GeneratorSpec {
  std::vector<std::uint16_t> sizes;  ///< of one packet after another, over and over; empty: no gen:
  std::uint32_t n_flows = 1;
  std::string payload_file;    ///< a capture; empty: what the buffer held before
  std::uint32_t rate_pps = 0;  ///< of the port; 0: as fast as it is polled
};

/// Ethernet, IPv4, UDP: what every generated packet begins with, and its least size.
inline constexpr std::uint32_t kGeneratedHeaderBytes = 42;
inline constexpr std::uint32_t kMostGeneratedPps = 2'000'000'000;
inline constexpr std::uint32_t kMaxGeneratedFlows = 1u << 24;

/// Twelve packets of the simple IMIX: 64, 594 and 1518 bytes as 7 : 4 : 1.
std::vector<std::uint16_t> imix_sizes();

/// The layer-4 payloads of a capture's TCP and UDP packets, one after the other.
/// @return an Error if it can't be read or has none
Result<std::vector<std::uint8_t>> load_payloads(const std::string& path);

/// Times on the way from RX to TX, in buckets 1/16 of a power of two wide.
class LatencyHistogram {
 public:
  /// One thread.
  void add(std::uint64_t ns) noexcept {
    std::atomic<std::uint64_t>& bucket = buckets_[index(ns)];
    // One writer: readers want a whole number, not an order.
    bucket.store(bucket.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t count() const noexcept;
  /// The upper edge of the bucket that holds this part of all values; 0 without any.
  /// @param part  0..1
  [[nodiscard]] std::uint64_t quantile_ns(double part) const noexcept;
  /// Adds all of another one's.
  void add_all(const LatencyHistogram& other) noexcept;
  /// Takes away an earlier state of the same counts.
  void subtract(const LatencyHistogram& earlier) noexcept;

  [[nodiscard]] static std::size_t index(std::uint64_t ns) noexcept;
  [[nodiscard]] static std::uint64_t upper_edge(std::size_t bucket) noexcept;

 private:
  static constexpr std::size_t kBuckets = 61 * 16;
  std::array<std::atomic<std::uint64_t>, kBuckets> buckets_{};
};

/// One RX queue's stream of packets. Flow f is 10.0.0.1 + f to 198.18.0.1, UDP 49152 to 9; a flow
/// belongs to one queue, and its IPv4 identification counts the queue's packets. Each buffer has a
/// piece of the payloads for good, which is written where four samples of 16 bytes, the ends among
/// them, say that it is not there any more: writing 1,472 bytes that another core has had takes
/// half a microsecond. So an NF that writes between the samples alone meets its own bytes again.
class GeneratorQueue {
 public:
  /// @param payload  at least as long as the largest packet, or empty; outlives this
  GeneratorQueue(const GeneratorSpec& spec, const std::vector<std::uint8_t>& payload,
                 std::uint32_t queue, std::uint32_t n_queues);

  /// From the next burst on. Any thread.
  /// @param pps  of the whole port; 0: no limit
  void set_rate(std::uint32_t pps) noexcept { rate_pps_.store(pps, std::memory_order_relaxed); }

  /// Makes the first packets of a burst.
  /// @param tsc  now
  /// @return how many: fewer than n if the rate allows no more
  std::uint32_t fill(rte_mbuf** burst, std::uint32_t n, std::uint64_t tsc) noexcept;

 private:
  [[nodiscard]] std::uint32_t allowed(std::uint32_t n, std::uint64_t tsc) noexcept;
  void follow_rate() noexcept;
  void write(std::uint8_t* packet, std::uint32_t size) noexcept;
  void write_payload(std::uint8_t* at, std::uint32_t bytes) const noexcept;

  const std::vector<std::uint16_t> sizes_;
  const std::vector<std::uint8_t>& payload_;
  const std::uint32_t first_flow_;
  const std::uint32_t n_queues_;
  const std::uint32_t n_flows_;
  std::atomic<std::uint32_t> rate_pps_;
  std::uint32_t followed_pps_ = 0;  ///< the rate that per_cycle_ was made of
  double per_cycle_ = 0;            ///< packets; 0: no limit
  std::uint64_t started_ = 0;
  std::uint64_t sent_ = 0;  ///< since started_
  std::array<std::uint8_t, 64> header_{};
  std::uint32_t header_sum_ = 0;  ///< of the IPv4 header's words that are the same in all packets
  std::uint32_t flow_;
  std::uint32_t size_idx_ = 0;
  std::uint16_t number_ = 0;
  std::size_t n_starts_ = 0;  ///< places in the payloads where a packet's may begin
};

/// A gen: port's generator and sink.
class Generator {
 public:
  static Result<std::shared_ptr<Generator>> make(const GeneratorSpec& spec, std::uint32_t n_queues,
                                                 std::uint32_t n_tx_queues);

  /// Puts itself on a net_null port that has not been started. Once.
  Result<void> attach(std::uint16_t port_id);
  /// Before the port stops; RX and TX threads have ended.
  void detach() noexcept;

  /// Control thread, as the next four. Another rate, of the whole port; 0: no limit. Latencies are
  /// counted anew.
  void set_rate(std::uint32_t pps) noexcept;
  [[nodiscard]] std::uint32_t rate_pps() const noexcept { return rate_pps_; }

  /// Packets that came back since the start or the last set_rate().
  void add_latency_to(LatencyHistogram& sum) const noexcept;

  /// Keeps copies of the next packets that come back, as many on each TX queue; forgets earlier
  /// ones.
  void begin_sample(std::uint32_t n_packets);
  /// Those kept so far, in the order in which each queue sent them.
  /// @return packets written to a capture with nanoseconds of their RX time
  [[nodiscard]] Result<std::uint32_t> write_sample(const std::string& path) const;

 private:
  Generator() = default;
  static std::uint16_t on_rx(std::uint16_t port, std::uint16_t queue, rte_mbuf** burst,
                             std::uint16_t n, std::uint16_t most, void* generator) noexcept;
  static std::uint16_t on_tx(std::uint16_t port, std::uint16_t queue, rte_mbuf** burst,
                             std::uint16_t n, void* generator) noexcept;

  struct Queue {
    std::unique_ptr<GeneratorQueue> stream;  ///< the queue's RX thread alone uses it
    const void* callback = nullptr;
  };
  std::uint16_t port_id_ = 0;
  std::vector<std::uint8_t> payload_;
  std::vector<Queue> queues_;
  std::uint32_t rate_pps_ = 0;
  std::unique_ptr<LatencyHistogram> before_;  ///< what is not to be counted any more
  struct Sink {
    std::unique_ptr<LatencyHistogram> latency;  ///< the queue's TX thread adds
    std::unique_ptr<GeneratorSample> sample;    ///< likewise
    const void* callback = nullptr;
  };
  std::vector<Sink> sinks_;  ///< by TX queue
};

}  // namespace hb
