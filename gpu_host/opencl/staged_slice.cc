#include "gpu_host/opencl/staged_slice.h"

#include <algorithm>
#include <vector>

namespace hb::opencl {
namespace {

/// OpenCL's runtimes copy from any memory.
class PlainMemory final : public StagingMemory {
 public:
  [[nodiscard]] std::byte* data() override { return bytes_.data(); }
  [[nodiscard]] std::size_t size() const override { return bytes_.size(); }
  Result<void> grow(std::size_t bytes) override {
    bytes_.resize(bytes);
    return {};
  }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace

Result<std::unique_ptr<DeviceSlice>> StagedSlice::make(Session& session, const RegionView& view,
                                                       const SliceSpec& spec) {
  Result<ResidentShare> share =
      ResidentShare::take(session.resident, session.options.max_resident,
                          static_cast<std::uint32_t>(spec.work_groups.size()));
  if (!share) return share.error();
  Result<StagedBatch> batch = StagedBatch::make(view, spec, std::make_unique<PlainMemory>());
  if (!batch) return batch.error();
  std::unique_ptr<StagedSlice> slice(
      new StagedSlice(session, std::move(*share), std::move(*batch), view.layout(), spec));
  Result<Queue> queue = make_queue(session);
  if (!queue) return queue.error();
  slice->queue_ = std::move(*queue);
  Result<Kernel> kernel = make_kernel(session, "hb_persistent", spec.program.get());
  if (!kernel) return kernel.error();
  slice->kernel_ = std::move(*kernel);
  return std::unique_ptr<DeviceSlice>(std::move(slice));
}

Result<void> StagedSlice::reserve(std::size_t bytes) {
  if (bytes <= buffer_bytes_) return {};
  std::size_t wanted = std::max<std::size_t>(buffer_bytes_, 1u << 20);
  while (wanted < bytes) wanted *= 2;
  Result<Buffer> buffer = make_buffer(session_, CL_MEM_READ_WRITE, wanted);
  if (!buffer) return buffer.error();
  buffer_ = std::move(*buffer);
  buffer_bytes_ = wanted;
  cl_mem memory = buffer_.get();
  if (const cl_int code = clSetKernelArg(kernel_.get(), 0, sizeof(memory), &memory);
      code != CL_SUCCESS)
    return cl_error("take the staging buffer as an argument", code);
  return set_launch(session_, kernel_.get(), batch_.launch(buffer_bytes_), spec_, launch_);
}

Result<void> StagedSlice::transfer(bool to_device, std::size_t from, std::size_t to, bool wait) {
  const cl_bool blocking = wait ? CL_TRUE : CL_FALSE;
  const cl_int code =
      to_device ? clEnqueueWriteBuffer(queue_.get(), buffer_.get(), blocking, from, to - from,
                                       batch_.data() + from, 0, nullptr, nullptr)
                : clEnqueueReadBuffer(queue_.get(), buffer_.get(), blocking, from, to - from,
                                      batch_.data() + from, 0, nullptr, nullptr);
  if (code != CL_SUCCESS) return cl_error(to_device ? "copy packets in" : "copy results out", code);
  return {};
}

Result<void> StagedSlice::run() {
  if (const Result<void> done = batch_.gather(); !done) return done;
  if (const Result<void> done = reserve(batch_.end()); !done) return done;
  if (const Result<void> done = transfer(true, batch_.controls(), batch_.end(), false); !done)
    return done;
  const std::size_t lanes = layout_.work_group_size;
  if (Result<void> done =
          launch_and_wait(queue_.get(), kernel_.get(), spec_.work_groups.size(), lanes, "a batch");
      !done)
    return done;
  if (spec_.kernel->writes_packets)
    if (const Result<void> done = transfer(false, batch_.packets(), batch_.end(), false); !done)
      return done;
  if (const Result<void> done = transfer(false, batch_.results(), batch_.slice_control(), true);
      !done)
    return done;
  batch_.scatter();
  return {};
}

}  // namespace hb::opencl
