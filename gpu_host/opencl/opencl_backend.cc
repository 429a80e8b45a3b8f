#include "gpu_host/opencl/opencl_backend.h"

#include <chrono>
#include <cstdlib>

#include "gpu_host/kernel_source.h"
#include "gpu_host/opencl/memory.h"
#include "gpu_host/opencl/program.h"
#include "gpu_host/opencl/slices.h"
#include "gpu_host/opencl/staged_slice.h"
#include "gpu_host/self_test.h"

namespace hb {
namespace {

using namespace opencl;  // NOLINT: this file is the folder's one door

constexpr std::array kLadder = {MemoryMode::kSvmSystem, MemoryMode::kSvmAlias,
                                MemoryMode::kHostPtr};

/// PoCL takes its number of threads from here, once, at the first call of the process. Every
/// resident work-group needs one of its own: two on one thread run one after the other.
void reserve_threads(std::uint32_t max_resident) {
  setenv("POCL_MAX_PTHREAD_COUNT", std::to_string(max_resident).c_str(), 1);
}

class OpenClBackend final : public Backend {
 public:
  Result<std::vector<DeviceInfo>> devices(const BackendOptions& options) override {
    reserve_threads(options.max_resident);
    const Result<std::vector<Device>> found = list_devices();
    if (!found) return found.error();
    std::vector<DeviceInfo> infos;
    for (const Device& device : *found) infos.push_back(device.info);
    return infos;
  }

  Result<DeviceInfo> open(const BackendOptions& options) override {
    if (const Result<void> opened = open_device(options); !opened) return opened.error();
    if (const Result<void> loaded = opencl::load_program(session_); !loaded) return loaded.error();
    return session_.device.info;
  }

  Result<void> build_program(const BackendOptions& options, const UserKernel* user) override {
    if (const Result<void> opened = open_device(options); !opened) return opened.error();
    if (user != nullptr) return build_user(*user);
    const Result<std::string> source = load_kernel_source(options.kernel_dir, "persistent.cl");
    if (!source) return source.error();
    const Result<std::size_t> variant = build_any(session_, *source);
    if (!variant) return variant.error();
    // A launch makes the runtime finish what it left open: code for this work-group size.
    for (const KernelEntry& entry : kernel_catalog())
      if (const Result<void> ran = run_self_test(*this, entry, options.work_group_size); !ran)
        return ran;
    if (const Result<void> ran = touch_litmus(); !ran) return ran;
    fmt::print("build variant {}\n", *variant);
    return {};
  }

  Result<std::shared_ptr<const DeviceProgram>> load_program(const UserKernel& user) override {
    Result<std::shared_ptr<const ClProgram>> program = load_user_program(session_, user);
    if (!program) return program.error();
    // The code for this work-group size is loaded here, so that the first launch need not wait.
    if (const Result<void> ran = run_trial(*this, *program, user, session_.options.work_group_size);
        !ran)
      return ran.error();
    return std::shared_ptr<const DeviceProgram>(std::move(*program));
  }

  Result<MemoryReport> map_region(const RegionFile& region, const MemoryMode* wanted) override {
    view_ = region.view;
    memory_.reset();
    MemoryReport report;
    for (const MemoryMode mode : kLadder) {
      if (wanted != nullptr && *wanted != mode) continue;
      Result<std::unique_ptr<DeviceRegion>> memory = DeviceRegion::make(session_, region, mode);
      Result<void> works =
          memory ? litmus_test(session_, region, **memory) : Result<void>(memory.error());
      if (works) {
        memory_ = std::move(*memory);
        report.mode = mode;
        return report;
      }
      if (!report.why.empty()) report.why += "; ";
      report.why += fmt::format("{}: {}", to_string(mode), works.error().what);
    }
    if (wanted != nullptr && *wanted != MemoryMode::kStaged)
      return Error{fmt::format("memory mode {} does not work here ({})", to_string(*wanted),
                               report.why.empty() ? "not OpenCL's" : report.why),
                   "use --memory auto"};
    return report;  // staged
  }

  Result<std::shared_ptr<const DeviceTable>> upload_table(
      std::span<const std::byte> table) override {
    // Some runtimes keep the host's pointer until the copy is made: copied here, at once.
    SecretVector<std::byte> copy(std::max<std::size_t>(table.size(), 64));
    std::copy(table.begin(), table.end(), copy.begin());
    // A device that is a CPU reads this very memory, so that keys lie in no other.
    const bool is_cpu = session_.device.info.is_cpu;
    Result<Buffer> buffer = make_buffer(
        session_, CL_MEM_READ_ONLY | (is_cpu ? CL_MEM_USE_HOST_PTR : CL_MEM_COPY_HOST_PTR),
        copy.size(), copy.data());
    if (!buffer) return buffer.error();
    if (!is_cpu) copy = {};
    return std::shared_ptr<const DeviceTable>(
        std::make_shared<ClTable>(std::move(*buffer), std::move(copy)));
  }

  Result<std::unique_ptr<DeviceSlice>> make_slice(const SliceSpec& spec) override {
    if (memory_) return DirectSlice::make(session_, view_.layout(), *memory_, spec);
    return StagedSlice::make(session_, view_, spec);
  }

  Result<std::unique_ptr<DeviceSlice>> make_staged_slice(const RegionView& view,
                                                         const SliceSpec& spec) override {
    return StagedSlice::make(session_, view, spec);
  }

  Result<CopyRates> copy_rates(std::size_t bytes, std::uint32_t n) override {
    const Result<Queue> queue = make_queue(session_);
    if (!queue) return queue.error();
    // Memory that the runtime itself allocated is what it copies from fastest.
    const Result<Buffer> pinned =
        make_buffer(session_, CL_MEM_READ_WRITE | CL_MEM_ALLOC_HOST_PTR, bytes);
    if (!pinned) return pinned.error();
    const Result<Buffer> buffer = make_buffer(session_, CL_MEM_READ_WRITE, bytes);
    if (!buffer) return buffer.error();
    cl_int code = CL_SUCCESS;
    void* const host =
        clEnqueueMapBuffer(queue->get(), pinned->get(), CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 0,
                           bytes, 0, nullptr, nullptr, &code);
    CopyRates rates;
    for (double* const rate : {&rates.in_gbps, &rates.out_gbps, &rates.in_gbps, &rates.out_gbps}) {
      const auto begin = std::chrono::steady_clock::now();  // the first of each warms up
      for (std::uint32_t i = 0; i < n && code == CL_SUCCESS; ++i) {
        code = rate == &rates.in_gbps ? clEnqueueWriteBuffer(queue->get(), buffer->get(), CL_FALSE,
                                                             0, bytes, host, 0, nullptr, nullptr)
                                      : clEnqueueReadBuffer(queue->get(), buffer->get(), CL_FALSE,
                                                            0, bytes, host, 0, nullptr, nullptr);
      }
      if (code == CL_SUCCESS) code = clFinish(queue->get());
      if (code != CL_SUCCESS) return cl_error("copy", code);
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
      *rate = 8e-9 * static_cast<double>(bytes) * n / took.count();
    }
    clEnqueueUnmapMemObject(queue->get(), pinned->get(), host, 0, nullptr, nullptr);
    clFinish(queue->get());
    return rates;
  }

 private:
  Result<void> open_device(const BackendOptions& options) {
    reserve_threads(options.max_resident);
    session_.options = options;
    Result<std::vector<Device>> found = list_devices();
    if (!found) return found.error();
    if (options.device_idx >= found->size())
      return Error{
          fmt::format("there is no OpenCL device {}: {} found", options.device_idx, found->size()),
          "choose a --gpu-device from 0"};
    session_.device = std::move((*found)[options.device_idx]);
    const Device& device = session_.device;
    const auto most = device_value<std::size_t>(device.id, CL_DEVICE_MAX_WORK_GROUP_SIZE);
    if (options.work_group_size > most)
      return Error{fmt::format("'{}' runs at most {} work-items in a work-group, not {}",
                               device.info.name, most, options.work_group_size),
                   "choose a smaller --workgroup-size"};
    const auto units = device_value<cl_uint>(device.id, CL_DEVICE_MAX_COMPUTE_UNITS);
    if (device.info.is_cpu && units < options.max_resident)
      return Error{fmt::format("'{}' runs {} work-groups at once, {} are needed", device.info.name,
                               units, options.max_resident),
                   "give the manager fewer --workgroups"};
    cl_int code = CL_SUCCESS;
    session_.context.reset(clCreateContext(nullptr, 1, &device.id, nullptr, nullptr, &code));
    if (code != CL_SUCCESS) return cl_error("make a context", code);
    return {};
  }

  /// The helper process' part for a user's kernel.
  Result<void> build_user(const UserKernel& user) {
    const Result<std::string> source = user_source(session_, user);
    if (!source) return source.error();
    Result<Program> program = build_variant(session_, *source, session_.options.build_variant);
    if (!program) return program.error();
    if (session_.options.before_trial != nullptr) session_.options.before_trial();
    return run_trial(*this, std::make_shared<const ClProgram>(std::move(*program)), user,
                     session_.options.work_group_size);
  }

  /// One launch of hb_litmus that ends at its first poll.
  Result<void> touch_litmus() {
    const Result<Kernel> kernel = make_kernel(session_, "hb_litmus");
    if (!kernel) return kernel.error();
    const Result<Queue> queue = make_queue(session_);
    if (!queue) return queue.error();
    std::vector<std::byte> zeros(4096);
    const Result<Buffer> scratch =
        make_buffer(session_, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR, zeros.size(), zeros.data());
    if (!scratch) return scratch.error();
    cl_mem memory = scratch->get();
    const cl_ulong offset = 0;
    const cl_uint polls = 1;
    clSetKernelArg(kernel->get(), 0, sizeof(memory), &memory);
    clSetKernelArg(kernel->get(), 1, sizeof(offset), &offset);
    clSetKernelArg(kernel->get(), 2, sizeof(polls), &polls);
    return launch_and_wait(queue->get(), kernel->get(), 1, 64, "the litmus kernel");
  }

  Session session_;
  RegionView view_;
  std::unique_ptr<DeviceRegion> memory_;
};

}  // namespace

std::unique_ptr<Backend> make_opencl_backend() { return std::make_unique<OpenClBackend>(); }

}  // namespace hb
