#include "gpu_host/cuda/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace hb::cuda {
namespace {

/// What ipsec, which needs most, has of local memory beside what the program states.
constexpr int kMostExtraBytes = HB_EXTRA_LOCAL_BYTES(HB_GPU_NF_IPSEC);

int attribute(const DriverApi& api, CuDevice device, Attribute what) {
  int value = 0;
  api.device_attribute(&value, what, device);
  return value;
}

std::string claims(const DriverApi& api, CuDevice id, int arch) {
  std::size_t bytes = 0;
  api.device_memory(&bytes, id);
  const auto yes = [&](Attribute what) { return attribute(api, id, what) != 0 ? "yes" : "no"; };
  return fmt::format(
      "compute capability {}.{}, {} multiprocessors, {} MB; maps host memory: {}, registers host "
      "memory: {}, unified addressing: {}, pageable memory access: {}, watchdog: {}",
      arch / 10, arch % 10, attribute(api, id, kMultiprocessorCount), bytes >> 20,
      yes(kCanMapHostMemory), yes(kHostRegisterSupported), yes(kUnifiedAddressing),
      yes(kPageableMemoryAccess), yes(kKernelExecTimeout));
}

}  // namespace

Result<std::vector<Device>> list_devices(const DriverApi& api) {
  int n = 0;
  if (const CuResult code = api.device_count(&n); code != kSuccess)
    return cu_error(api, "count its devices", code);
  if (n == 0) return Error{"CUDA finds no device", "use --gpu opencl or --gpu none"};
  std::vector<Device> devices;
  for (int i = 0; i < n; ++i) {
    Device device;
    if (const CuResult code = api.device_get(&device.id, i); code != kSuccess)
      return cu_error(api, fmt::format("open device {}", i), code);
    std::array<char, 256> name{};
    api.device_name(name.data(), name.size(), device.id);
    int version = 0;
    api.driver_version(&version);
    device.arch =
        attribute(api, device.id, kComputeMajor) * 10 + attribute(api, device.id, kComputeMinor);
    device.info.name = name.data();
    device.info.platform = fmt::format("CUDA driver {}.{}", version / 1000, version % 1000 / 10);
    device.info.claims = claims(api, device.id, device.arch);
    devices.push_back(std::move(device));
  }
  return devices;
}

Result<std::unique_ptr<Session>> Session::open(const BackendOptions& options) {
  const Result<const DriverApi*> api = load_driver();
  if (!api) return api.error();
  Result<std::vector<Device>> devices = list_devices(**api);
  if (!devices) return devices.error();
  if (options.device_idx >= devices->size())
    return Error{
        fmt::format("there is no CUDA device {}: {} found", options.device_idx, devices->size()),
        "choose a --gpu-device from 0"};
  std::unique_ptr<Session> session(new Session(**api, options));
  session->device_ = std::move((*devices)[options.device_idx]);
  const CuDevice id = session->device_.id;
  const auto need = [&](Attribute what, const char* name) {
    return attribute(**api, id, what) != 0
               ? Result<void>{}
               : Error{fmt::format("'{}' has no {}", session->device_.info.name, name),
                       "use --gpu opencl"};
  };
  if (const Result<void> has = need(kMemoryPoolsSupported, "stream-ordered memory"); !has)
    return has.error();
  const auto most = static_cast<std::uint32_t>(attribute(**api, id, kMaxThreadsPerBlock));
  if (options.work_group_size > most)
    return Error{fmt::format("'{}' runs at most {} work-items in a work-group, not {}",
                             session->device_.info.name, most, options.work_group_size),
                 "choose a smaller --workgroup-size"};
  session->has_watchdog_ = attribute(**api, id, kKernelExecTimeout) != 0;
  (*api)->context_flags(id,
                        kContextFlags);  // refused if another library took the context: its flags
  if (const CuResult code = (*api)->context_retain(&session->context_, id); code != kSuccess)
    return cu_error(**api, "make a context", code);
  if (const Result<void> entered = session->enter(); !entered) return entered.error();
  return session;
}

Session::~Session() {
  if (context_ == nullptr) return;
  for (const std::span<std::byte> memory : spare_host_) api_.host_free(memory.data());
  program_.reset();
  unload_retired();
  api_.context_release(device_.id);
}

Result<void> Session::enter() const {
  if (const CuResult code = api_.context_set(context_); code != kSuccess)
    return error("enter its context", code);
  return {};
}

Result<void> Session::load(std::span<const char> code) {
  Result<std::shared_ptr<const CudaProgram>> program = CudaProgram::load(*this, code);
  if (!program) return program.error();
  const Result<CuFunction> litmus = (*program)->function("hb_litmus");
  if (!litmus) return litmus.error();
  litmus_ = *litmus;
  program_ = std::move(*program);
  return {};
}

void Session::retire(CuModule module) {
  const std::lock_guard lock(modules_mutex_);
  retired_modules_.push_back(module);
}

void Session::unload_retired() {
  const std::lock_guard lock(modules_mutex_);
  for (CuModule const module : retired_modules_) api_.module_unload(module);
  retired_modules_.clear();
}

Result<std::shared_ptr<const CudaProgram>> CudaProgram::load(Session& session,
                                                             std::span<const char> code) {
  const DriverApi& api = session.api();
  const std::shared_ptr<CudaProgram> program(new CudaProgram(session));
  if (const CuResult result = api.module_load(&program->module_, code.data()); result != kSuccess)
    return session.error("load the kernels", result);
  const Result<CuFunction> persistent = program->function("hb_persistent");
  if (!persistent) return persistent.error();
  program->persistent_ = *persistent;
  const BackendOptions& options = session.options();
  if (const CuResult result = api.function_set(*persistent, kMostDynamicShared, kMostExtraBytes);
      result != kSuccess)
    return session.error("give the kernels enough shared memory", result);
  const Device& device = session.device();
  const auto n_processors =
      static_cast<std::uint32_t>(attribute(api, device.id, kMultiprocessorCount));
  std::uint32_t most = 0;
  for (const int extra_bytes : {kMostExtraBytes, 0}) {
    int per_processor = 0;
    if (const CuResult result =
            api.occupancy(&per_processor, *persistent, static_cast<int>(options.work_group_size),
                          static_cast<std::size_t>(extra_bytes));
        result != kSuccess)
      return session.error("say how many work-groups fit", result);
    most = static_cast<std::uint32_t>(per_processor) * n_processors;
    if (extra_bytes != 0) program->most_with_extra_ = most;
  }
  if (most < options.max_resident)
    return Error{fmt::format("'{}' runs {} work-groups of {} at once, {} are needed",
                             device.info.name, most, options.work_group_size, options.max_resident),
                 "give the manager fewer --workgroups or a smaller --workgroup-size"};
  return std::shared_ptr<const CudaProgram>(program);
}

CudaProgram::~CudaProgram() {
  if (module_ != nullptr) session_.retire(module_);
}

Result<CuFunction> CudaProgram::function(const char* name) const {
  CuFunction found = nullptr;
  if (const CuResult result = session_.api().module_function(&found, module_, name);
      result != kSuccess)
    return session_.error(fmt::format("find the kernel '{}'", name), result);
  return found;
}

Result<std::span<std::byte>> Session::take_host(std::size_t bytes) {
  const std::lock_guard lock(host_mutex_);
  for (auto at = spare_host_.begin(); at != spare_host_.end(); ++at) {
    if (at->size() < bytes) continue;
    const std::span<std::byte> found = *at;
    spare_host_.erase(at);
    return found;
  }
  void* memory = nullptr;
  if (const CuResult code = api_.host_alloc(&memory, bytes, kHostPortableMapped); code != kSuccess)
    return error(fmt::format("pin {} bytes of host memory", bytes), code);
  return std::span(static_cast<std::byte*>(memory), bytes);
}

void Session::give_back_host(std::span<std::byte> memory) {
  if (memory.empty()) return;
  const std::lock_guard lock(host_mutex_);
  spare_host_.push_back(memory);
}

Result<Stream> Stream::make(const Session& session) {
  Stream stream(session);
  const DriverApi& api = session.api();
  CuResult code = api.stream_create(&stream.stream_, kStreamNonBlocking);
  if (code == kSuccess)
    code = api.event_create(&stream.event_, kEventBlockingSync | kEventDisableTiming);
  if (code != kSuccess) return session.error("make a stream", code);
  return stream;
}

Stream::~Stream() {
  if (event_ != nullptr) session_->api().event_destroy(event_);
  if (stream_ != nullptr) session_->api().stream_destroy(stream_);
}

Result<void> Stream::wait(const char* doing) const {
  const DriverApi& api = session_->api();
  CuResult code = api.event_record(event_, stream_);
  if (code == kSuccess) code = api.event_synchronize(event_);
  if (code != kSuccess) return session_->error(doing, code);
  return {};
}

Result<DeviceMemory> DeviceMemory::make(const Session& session, std::size_t bytes) {
  Result<Stream> stream = Stream::make(session);
  if (!stream) return stream.error();
  DeviceMemory memory(session, std::move(*stream));
  if (const CuResult code =
          session.api().alloc_async(&memory.pointer_, bytes, memory.stream_.get());
      code != kSuccess)
    return session.error(fmt::format("allocate {} bytes", bytes), code);
  if (const Result<void> done = memory.stream_.wait("allocate memory"); !done) return done.error();
  return memory;
}

DeviceMemory::~DeviceMemory() {
  if (pointer_ != 0) session_->api().free_async(pointer_, stream_.get());
}

Result<DeviceMemory> upload(Session& session, std::span<const std::byte> bytes) {
  const std::size_t size = std::max<std::size_t>(bytes.size(), 64);
  Result<DeviceMemory> memory = DeviceMemory::make(session, size);
  if (!memory) return memory.error();
  const Result<std::span<std::byte>> pinned = session.take_host(size);
  if (!pinned) return pinned.error();
  std::memset(pinned->data(), 0, size);
  if (!bytes.empty()) std::memcpy(pinned->data(), bytes.data(), bytes.size());
  const CuResult code =
      session.api().copy_in_async(memory->get(), pinned->data(), size, memory->stream().get());
  Result<void> done = code == kSuccess ? memory->stream().wait("copy a table in")
                                       : Result<void>(session.error("copy a table in", code));
  explicit_bzero(pinned->data(), size);  // it may be a table of keys, and the memory stays
  session.give_back_host(*pinned);
  if (!done) return done.error();
  return memory;
}

}  // namespace hb::cuda
