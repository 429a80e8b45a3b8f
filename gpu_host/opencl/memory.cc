#include "gpu_host/opencl/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "gpu_host/litmus.h"
#include "gpu_host/resident_share.h"

namespace hb::opencl {
namespace {

constexpr cl_svm_mem_flags kFineAtomics =
    CL_MEM_READ_WRITE | CL_MEM_SVM_FINE_GRAIN_BUFFER | CL_MEM_SVM_ATOMICS;
/// Empty polls after which the kernel under test ends by itself: about a second on either kind.
constexpr cl_uint kLitmusPollsCpu = 1u << 28;
constexpr cl_uint kLitmusPollsGpu = 1u << 21;
constexpr std::size_t kLitmusLanes = 64;

Error reason(std::string text) { return Error{std::move(text), ""}; }

}  // namespace

Result<std::unique_ptr<DeviceRegion>> DeviceRegion::make(Session& session, const RegionFile& region,
                                                         MemoryMode mode) {
  std::unique_ptr<DeviceRegion> memory(new DeviceRegion(session));
  const cl_device_svm_capabilities svm = session.device.svm;
  memory->bytes_ = region.view.layout().total_bytes;
  memory->page_bytes_ = region.view.layout().page_bytes;
  switch (mode) {
    case MemoryMode::kSvmSystem:
      if ((svm & CL_DEVICE_SVM_FINE_GRAIN_SYSTEM) == 0)
        return reason("the device has no fine-grained system SVM");
      memory->pointer_ = region.view.base();
      memory->is_system_ = true;
      return memory;
    case MemoryMode::kSvmAlias:
      if ((svm & CL_DEVICE_SVM_FINE_GRAIN_BUFFER) == 0 || (svm & CL_DEVICE_SVM_ATOMICS) == 0)
        return reason("the device has no fine-grained buffer SVM with atomics");
      if (const Result<void> done = memory->alias(region); !done) return done.error();
      return memory;
    case MemoryMode::kHostPtr: {
      Result<Buffer> buffer = make_buffer(session, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR,
                                          memory->bytes_, region.view.base());
      if (!buffer) return reason("the device takes no buffer over the region's memory");
      memory->buffer_ = std::move(*buffer);
      return memory;
    }
    case MemoryMode::kRegistered:
      return reason("for CUDA only");
    case MemoryMode::kStaged:
      break;
  }
  return reason("staged memory has no mapping");
}

Result<void> DeviceRegion::alias(const RegionFile& region) {
  // Over-allocated and aligned up by hand: runtimes refuse a page's size as an alignment.
  allocated_ = clSVMAlloc(session_.context.get(), kFineAtomics, bytes_ + page_bytes_, 0);
  if (allocated_ == nullptr) {
    const auto most = device_value<cl_ulong>(session_.device.id, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
    return reason(fmt::format("clSVMAlloc refused {} MB (the device allows {} MB at once)",
                              bytes_ >> 20, most >> 20));
  }
  const auto start = reinterpret_cast<std::uintptr_t>(allocated_);
  void* const wanted =
      reinterpret_cast<void*>((start + page_bytes_ - 1) / page_bytes_ * page_bytes_);
  const int fd = open(region.path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return reason(fmt::format("'{}': {}", region.path, std::strerror(errno)));
  // Huge pages are aliased as huge pages: the file decides, and both ends are aligned to them.
  void* const got = mmap(wanted, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
  const int error = errno;
  close(fd);
  if (got == MAP_FAILED)
    return reason(fmt::format("the region's pages can't be aliased: {}", std::strerror(error)));
  pointer_ = got;
  madvise(got, bytes_, MADV_DONTFORK);
  return {};
}

DeviceRegion::~DeviceRegion() {
  if (allocated_ == nullptr) return;
  // The runtime gets back what it gave: private pages, not the region's.
  // Without them the address range is not freed: its pages are the region's, not the runtime's.
  if (pointer_ != nullptr && mmap(pointer_, bytes_, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
    return;
  clSVMFree(session_.context.get(), allocated_);
}

cl_int DeviceRegion::set_as_argument(cl_kernel kernel, cl_uint index) const {
  if (buffer_) {
    cl_mem memory = buffer_.get();
    return clSetKernelArg(kernel, index, sizeof(memory), &memory);
  }
  if (is_system_) {
    const cl_bool yes = CL_TRUE;
    const cl_int code =
        clSetKernelExecInfo(kernel, CL_KERNEL_EXEC_INFO_SVM_FINE_GRAIN_SYSTEM, sizeof(yes), &yes);
    if (code != CL_SUCCESS) return code;
  }
  return clSetKernelArgSVMPointer(kernel, index, pointer_);
}

Result<void> litmus_test(Session& session, const RegionFile& region, const DeviceRegion& memory) {
  Result<ResidentShare> share =
      ResidentShare::take(session.resident, session.options.max_resident, 1);
  if (!share) return share.error();
  Result<Kernel> kernel = make_kernel(session, "hb_litmus");
  if (!kernel) return kernel.error();
  Result<Queue> queue = make_queue(session);
  if (!queue) return queue.error();
  const cl_ulong offset = region.view.layout().litmus;
  const cl_uint polls = session.device.info.is_cpu ? kLitmusPollsCpu : kLitmusPollsGpu;
  cl_int code = memory.set_as_argument(kernel->get(), 0);
  if (code == CL_SUCCESS) code = clSetKernelArg(kernel->get(), 1, sizeof(offset), &offset);
  if (code == CL_SUCCESS) code = clSetKernelArg(kernel->get(), 2, sizeof(polls), &polls);
  if (code != CL_SUCCESS)
    return reason(fmt::format("its pointer is refused ({})", code_name(code)));

  const auto launch = [&]() -> Result<void> {
    const std::size_t lanes = kLitmusLanes;
    cl_int result = clEnqueueNDRangeKernel(queue->get(), kernel->get(), 1, nullptr, &lanes, &lanes,
                                           0, nullptr, nullptr);
    if (result == CL_SUCCESS) result = clFlush(queue->get());
    if (result != CL_SUCCESS) return reason(code_name(result));
    return {};
  };
  const auto join = [&]() -> Result<void> {
    clFinish(queue->get());
    return {};
  };
  return hb::litmus_test(session.options.helper_program, region.path, region.view, launch, join);
}

}  // namespace hb::opencl
