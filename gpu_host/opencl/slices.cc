#include "gpu_host/opencl/slices.h"

#include "gpu_host/launch_block.h"

namespace hb::opencl {
namespace {

/// On a CPU device a spinning work-group takes a core from whoever fills its queue, so it gives up
/// at once; a GPU's costs nothing while it waits. docs/gpu.md has the figures.
constexpr cl_uint kIdlePollsCpu = 64;
constexpr cl_uint kIdlePollsGpu = 1u << 14;
/// Bounds a launch under load: a watchdog's patience, and how long a slice is deaf to a swap.
constexpr cl_uint kMaxRoundsCpu = 1u << 12;
constexpr cl_uint kMaxRoundsGpu = 1u << 16;

}  // namespace

Result<void> set_launch(const Session& session, cl_kernel kernel, std::span<const std::byte> bytes,
                        const SliceSpec& spec, Buffer& block) {
  Result<Buffer> buffer = make_buffer(session, CL_MEM_READ_ONLY, bytes.size());
  if (!buffer) return buffer.error();
  const Result<Queue> queue = make_queue(session);
  if (!queue) return queue.error();
  cl_int code = clEnqueueWriteBuffer(queue->get(), buffer->get(), CL_TRUE, 0, bytes.size(),
                                     bytes.data(), 0, nullptr, nullptr);
  if (code != CL_SUCCESS) return cl_error("take a launch's block", code);
  block = std::move(*buffer);
  cl_mem launch_memory = block.get();
  cl_mem table = static_cast<const ClTable&>(*spec.table).memory();
  code = clSetKernelArg(kernel, 1, sizeof(launch_memory), &launch_memory);
  if (code == CL_SUCCESS) code = clSetKernelArg(kernel, 2, sizeof(table), &table);
  if (code != CL_SUCCESS) return cl_error("take a kernel's arguments", code);
  return {};
}

Result<std::unique_ptr<DeviceSlice>> DirectSlice::make(Session& session, const RegionLayout& layout,
                                                       const DeviceRegion& memory,
                                                       const SliceSpec& spec) {
  Result<ResidentShare> share =
      ResidentShare::take(session.resident, session.options.max_resident,
                          static_cast<std::uint32_t>(spec.work_groups.size()));
  if (!share) return share.error();
  std::unique_ptr<DirectSlice> slice(new DirectSlice(std::move(*share), spec));
  slice->work_group_size_ = layout.work_group_size;
  Result<Queue> queue = make_queue(session);
  if (!queue) return queue.error();
  slice->queue_ = std::move(*queue);
  Result<Kernel> kernel = make_kernel(session, "hb_persistent", spec.program.get());
  if (!kernel) return kernel.error();
  slice->kernel_ = std::move(*kernel);
  if (const cl_int code = memory.set_as_argument(slice->kernel_.get(), 0); code != CL_SUCCESS)
    return cl_error("take the region as an argument", code);
  const bool is_cpu = session.device.info.is_cpu;
  const HbLaunch launch = direct_launch(spec, layout, is_cpu ? kIdlePollsCpu : kIdlePollsGpu,
                                        is_cpu ? kMaxRoundsCpu : kMaxRoundsGpu);
  if (const Result<void> set =
          set_launch(session, slice->kernel_.get(), launch_block(launch, spec.work_groups), spec,
                     slice->launch_);
      !set)
    return set.error();
  return std::unique_ptr<DeviceSlice>(std::move(slice));
}

Result<void> DirectSlice::run() {
  return launch_and_wait(queue_.get(), kernel_.get(), spec_.work_groups.size(), work_group_size_,
                         "the persistent kernel");
}

}  // namespace hb::opencl
