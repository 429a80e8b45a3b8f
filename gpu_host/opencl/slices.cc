#include "gpu_host/opencl/slices.h"

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

Result<void> PersistentArguments::set(cl_kernel kernel) const {
  cl_int code = CL_SUCCESS;
  cl_uint index = 1;
  const auto pass = [&](const auto& value) {
    if (code == CL_SUCCESS) code = clSetKernelArg(kernel, index, sizeof(value), &value);
    ++index;
  };
  pass(queue_controls);
  pass(slots);
  pass(results);
  pass(slice_control);
  pass(table);
  pass(nf);
  pass(first_work_group);
  pass(n_rounds);
  pass(idle_polls);
  pass(max_rounds);
  if (code != CL_SUCCESS) return cl_error("take a kernel's arguments", code);
  return {};
}

Result<std::unique_ptr<DeviceSlice>> DirectSlice::make(Session& session, const RegionLayout& layout,
                                                       const DeviceRegion& memory,
                                                       const SliceSpec& spec) {
  Result<ResidentShare> share = ResidentShare::take(session, spec.n_work_groups);
  if (!share) return share.error();
  std::unique_ptr<DirectSlice> slice(new DirectSlice(std::move(*share), spec));
  slice->work_group_size_ = layout.work_group_size;
  Result<Queue> queue = make_queue(session);
  if (!queue) return queue.error();
  slice->queue_ = std::move(*queue);
  Result<Kernel> kernel = make_kernel(session, "hb_persistent");
  if (!kernel) return kernel.error();
  slice->kernel_ = std::move(*kernel);
  if (const cl_int code = memory.set_as_argument(slice->kernel_.get(), 0); code != CL_SUCCESS)
    return cl_error("take the region as an argument", code);
  const bool is_cpu = session.device.info.is_cpu;
  const PersistentArguments arguments{
      .queue_controls = layout.queue_controls,
      .slots = layout.slots,
      .results = layout.results,
      .slice_control = layout.slice_controls + spec.slice * sizeof(HbSliceControl),
      .table = static_cast<const ClTable&>(*spec.table).memory(),
      .nf = spec.kernel->number,
      .first_work_group = spec.first_work_group,
      .n_rounds = layout.n_rounds,
      .idle_polls = is_cpu ? kIdlePollsCpu : kIdlePollsGpu,
      .max_rounds = is_cpu ? kMaxRoundsCpu : kMaxRoundsGpu};
  if (const Result<void> set = arguments.set(slice->kernel_.get()); !set) return set.error();
  return std::unique_ptr<DeviceSlice>(std::move(slice));
}

Result<void> DirectSlice::run() {
  return launch_and_wait(queue_.get(), kernel_.get(), spec_.n_work_groups, work_group_size_,
                         "the persistent kernel");
}

}  // namespace hb::opencl
