// Traffic without a NIC: what a gen: port's packets hold, and how long they were on their way.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "nf_lib/result.h"

namespace hb {

/// gen:size=BYTES|imix,flows=N[,payload=FILE][,rate=PPS]
struct GeneratorSpec {
  std::vector<std::uint16_t> sizes;  ///< of one packet after another, over and over
  bool is_blank = false;             ///< null: packets hold what their buffers held before
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
  /// Adds it n times. One thread.
  void add(std::uint64_t ns, std::uint64_t n = 1) noexcept {
    std::atomic<std::uint64_t>& bucket = buckets_[index(ns)];
    // One writer: readers want a whole number, not an order.
    bucket.store(bucket.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
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

  /// How many of the next n packets may go now: fewer if the rate allows no more. Those must be
  /// made.
  /// @param tsc  now
  [[nodiscard]] std::uint32_t allowed(std::uint32_t n, std::uint64_t tsc) noexcept;

  /// Writes the next packet.
  /// @param packet  room for the largest size
  /// @return its bytes
  std::uint16_t make(std::uint8_t* packet) noexcept;

 private:
  void follow_rate() noexcept;
  [[nodiscard]] std::uint32_t due(std::uint32_t n, std::uint64_t tsc) noexcept;
  void write(std::uint8_t* packet, std::uint32_t size) noexcept;
  void write_payload(std::uint8_t* at, std::uint32_t bytes) const noexcept;

  const std::vector<std::uint16_t> sizes_;
  const bool is_blank_;
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

}  // namespace hb
