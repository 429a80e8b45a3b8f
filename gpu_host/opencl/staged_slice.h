// The staged mode: for devices that can't see the region while a kernel runs. Rounds that are
// published are copied in with their packets, run by one bounded launch, and copied out.
#pragma once

#include <vector>

#include "gpu_host/opencl/slices.h"

namespace hb::opencl {

class StagedSlice final : public DeviceSlice {
 public:
  /// @param view  the region, or any host memory laid out likewise
  static Result<std::unique_ptr<DeviceSlice>> make(Session& session, const RegionView& view,
                                                   const SliceSpec& spec);
  Result<void> run() override;

 private:
  /// A packet's bytes in the batch: at packed, from the region's byte `from` on.
  struct Piece {
    std::uint64_t from;
    std::uint64_t packed;
    std::uint32_t bytes;
    std::uint32_t at;  ///< index into slots and results
  };

  StagedSlice(Session& session, ResidentShare share, const RegionView& view, const SliceSpec& spec)
      : session_(session), share_(std::move(share)), view_(view), spec_(spec) {}

  void gather();
  void gather_packet(u64 slot, std::uint32_t at);
  void scatter();
  Result<void> reserve(std::size_t bytes);
  Result<void> transfer(bool to_device, std::size_t from, std::size_t to, bool wait);

  template <typename T>
  T* host_at(std::size_t offset) {
    return reinterpret_cast<T*>(host_.data() + offset);
  }

  Session& session_;
  ResidentShare share_;
  RegionView view_;
  SliceSpec spec_;
  Queue queue_;
  Buffer launch_;
  Kernel kernel_;
  Buffer buffer_;
  std::size_t buffer_bytes_ = 0;
  /// The batch: results, queue controls, slice control, slots, then packets.
  std::vector<std::byte> host_;
  std::size_t controls_ = 0;
  std::size_t slice_control_ = 0;
  std::size_t slots_ = 0;
  std::size_t packets_ = 0;
  std::size_t end_ = 0;  ///< of the packets of this batch
  std::vector<Piece> pieces_;
};

}  // namespace hb::opencl
