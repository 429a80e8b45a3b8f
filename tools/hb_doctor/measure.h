// Rates of a device over the real queues: rounds that are always full, answered by a kernel that
// does as little as it can.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gpu_host/backend.h"

namespace hb::doctor {

inline constexpr std::uint32_t kPacketStride = 2048;  ///< bytes from one packet to the next

/// Shape of what is measured.
struct Shape {
  std::uint32_t work_groups = 66;
  std::uint32_t work_group_size = 256;
  std::uint32_t n_rounds = 4;
  std::uint32_t n_packets = 65536;  ///< of 2 KiB each; the rounds go through all of them
  std::uint32_t n_threads = 1;      ///< that fill queues
  double seconds = 0.5;             ///< of each figure
};

/// A region in a file of its own: in hugepages where there are enough, else in shared memory.
class TestRegion {
 public:
  /// @param demand  its page_bytes is chosen here
  static Result<std::unique_ptr<TestRegion>> make(RegionDemand demand);
  ~TestRegion();
  TestRegion(const TestRegion&) = delete;
  TestRegion& operator=(const TestRegion&) = delete;

  [[nodiscard]] RegionFile file() const { return {path_, view_}; }
  [[nodiscard]] const RegionView& view() const { return view_; }
  [[nodiscard]] std::uint64_t page_bytes() const { return view_.layout().page_bytes; }

 private:
  TestRegion() = default;
  std::string path_;
  RegionView view_;
};

/// What measure_rate() needs a region to hold.
RegionDemand demand_of(const Shape& shape);

struct Rate {
  double mpps = 0;
  double gbps = 0;          ///< of packets' bytes
  double round_p50_us = 0;  ///< from handing a round over to seeing it answered
  double round_p99_us = 0;
  std::uint64_t n_rounds = 0;
  bool complete = false;  ///< every round that was handed over was answered
};

/// Runs a kernel over full rounds for a while.
/// @param staged        copy in and out, whatever mode the region has
/// @param packet_bytes  16..1536
/// @param words         of every slot, for kernels that read them
Result<Rate> measure_rate(Backend& backend, const RegionView& view, const Shape& shape,
                          const char* kernel, bool staged, std::uint32_t packet_bytes,
                          const HbSlotWords& words = {});

/// What a user's own code would do instead: batches that are packed, copied in, judged by one
/// launch and copied out and back, several of them in flight.
struct Batches {
  std::uint32_t n_in_flight = 1;   ///< each has a thread, which packs it, and a stream of its own
  std::uint32_t n_packets = 4096;  ///< of each; whole work-groups times rounds
};

/// Whether a region of that shape holds such batches.
bool fits(const Shape& shape, const Batches& batches);

/// As measure_rate(), of copied batches. The times are of a batch, from its packing on until its
/// packets are back in place.
Result<Rate> measure_batches(Backend& backend, const RegionView& view, const Shape& shape,
                             const char* kernel, const Batches& batches,
                             std::uint32_t packet_bytes);

/// Packets and a kernel of the caller's choice.
struct Load {
  const char* kernel;
  std::span<const std::byte> table;  ///< valid for that kernel
  /// At least one; the region's packets are these, again and again. Each is cut to 1536 bytes.
  std::span<const std::vector<std::uint8_t>> packets;
};

/// As measure_rate(), over such packets. Afterwards the region's slots and results are there to be
/// looked at: every slot's packet, and the last answer to it.
Result<Rate> measure_load(Backend& backend, const RegionView& view, const Shape& shape,
                          const Load& load, bool staged);

/// One round of one work-group at a time, there and back.
struct PingPong {
  double p50_us = 0;
  double p99_us = 0;
};
Result<PingPong> measure_ping_pong(Backend& backend, const RegionView& view, std::uint32_t turns);

}  // namespace hb::doctor
