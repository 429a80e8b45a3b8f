// The host's half of the staged mode: what one launch gets copied in, and what is done with what it
// copied out. For devices that can't see the region while a kernel runs.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "gpu_host/backend.h"

namespace hb {

/// Host memory that a backend can copy from fast.
class StagingMemory {
 public:
  virtual ~StagingMemory() = default;
  [[nodiscard]] virtual std::byte* data() = 0;
  [[nodiscard]] virtual std::size_t size() const = 0;
  /// Makes it at least that large and keeps what it holds; data() may change.
  virtual Result<void> grow(std::size_t bytes) = 0;
};

/// The rounds published so far, with their packets, in one block: results, queue controls, slice
/// control, slots, private words, then packets. It lies on the device as a region of its own, its
/// queues numbered from 0. One thread.
class StagedBatch {
 public:
  /// @param view  the region, or any host memory laid out likewise
  static Result<StagedBatch> make(const RegionView& view, const SliceSpec& spec,
                                  std::unique_ptr<StagingMemory> host);

  /// The launch over the batch, as launch_block() makes it.
  /// @param bytes  of the device's memory for the batch; nothing behind them is touched
  [[nodiscard]] std::vector<std::byte> launch(std::uint64_t bytes) const;

  /// Packs the batch. Bytes controls() to end() are to be copied in.
  Result<void> gather();
  /// Writes back what the kernel left: once bytes 0 to slice_control(), and packets() to end() if
  /// the kernel writes packets, have been copied out.
  void scatter();

  [[nodiscard]] std::byte* data() const noexcept { return host_->data(); }
  [[nodiscard]] std::size_t results() const noexcept { return 0; }
  [[nodiscard]] std::size_t controls() const noexcept { return controls_; }
  [[nodiscard]] std::size_t slice_control() const noexcept { return slice_control_; }
  [[nodiscard]] std::size_t slots() const noexcept { return slots_; }
  [[nodiscard]] std::size_t packets() const noexcept { return packets_; }
  [[nodiscard]] std::size_t end() const noexcept { return end_; }

 private:
  /// A packet's bytes in the batch: at packed, from the region's byte `from` on.
  struct Piece {
    std::uint64_t from;
    std::uint64_t packed;
    std::uint32_t bytes;
    std::uint32_t at;  ///< index into slots and results
  };

  StagedBatch(const RegionView& view, SliceSpec spec, std::unique_ptr<StagingMemory> host)
      : view_(view), spec_(std::move(spec)), host_(std::move(host)) {}

  Result<void> reserve(std::size_t bytes);
  Result<void> gather_packet(u64 slot, std::uint32_t at);
  void stage_controls(std::uint32_t queue, std::uint32_t completed, std::uint32_t published);

  /// Not to be kept over a reserve(), which may move the memory.
  template <typename T>
  T* host_at(std::size_t offset) {
    return reinterpret_cast<T*>(host_->data() + offset);
  }

  RegionView view_;
  SliceSpec spec_;
  std::unique_ptr<StagingMemory> host_;
  std::size_t controls_ = 0;
  std::size_t slice_control_ = 0;
  std::size_t slots_ = 0;
  std::size_t words_ = 0;
  std::size_t packets_ = 0;
  std::size_t end_ = 0;  ///< of the packets of this batch
  std::vector<Piece> pieces_;
};

}  // namespace hb
