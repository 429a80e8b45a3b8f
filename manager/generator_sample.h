// Copies of packets that came back to a gen: port, so that what a platform under load makes of them
// can be compared with what it should.
#pragma once

#include <pcap/pcap.h>
#include <rte_mbuf.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

namespace hb {

/// The packets that one TX queue has kept, one of each burst. Its TX thread takes, the control
/// thread begins and writes.
class GeneratorSample {
 public:
  static constexpr std::uint32_t kMostPackets = 1024;
  static constexpr std::uint32_t kMostBytes = 2048;  ///< of a packet; the rest is cut off

  /// Control thread. Forgets what was kept.
  /// @param n_packets  to keep, at most kMostPackets
  void begin(std::uint32_t n_packets);
  /// Control thread. Those kept so far.
  /// @return how many
  std::uint32_t write(pcap_dumper_t* out) const noexcept;

  /// TX thread.
  [[nodiscard]] bool is_wanted() const noexcept {
    return asked_.load(std::memory_order_relaxed) != finished_;
  }
  /// TX thread. Keeps one packet of a burst that is not empty.
  void take(std::span<rte_mbuf* const> burst) noexcept;

 private:
  struct Kept {
    std::uint64_t capture_ns;
    std::uint32_t bytes;  ///< of the packet
    std::uint8_t data[kMostBytes];
  };

  std::unique_ptr<Kept[]>
      kept_;  ///< from the first begin() on; entry i is written before it counts
  /// Which begin() it is, above 32 bits of how many packets it wants.
  std::atomic<std::uint64_t> asked_{0};
  /// The same with how many there are. Until it says the begin() that asked_ says, there are none.
  std::atomic<std::uint64_t> taken_{0};
  std::uint64_t current_ = 0;   ///< the TX thread's: what it is at
  std::uint64_t finished_ = 0;  ///< the TX thread's: what it has done
  std::uint32_t n_ = 0;         ///< the TX thread's: kept for current_
};

}  // namespace hb
