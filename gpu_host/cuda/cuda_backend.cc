#include "gpu_host/cuda/cuda_backend.h"

#include <fmt/format.h>

#include <chrono>

#include "gpu_host/cuda/program.h"
#include "gpu_host/cuda/slices.h"
#include "gpu_host/self_test.h"

namespace hb {
namespace {

using namespace cuda;  // NOLINT: this file is the folder's one door

class CudaBackend final : public Backend {
 public:
  Result<std::vector<DeviceInfo>> devices(const BackendOptions&) override {
    const Result<const DriverApi*> api = load_driver();
    if (!api) return api.error();
    const Result<std::vector<Device>> found = list_devices(**api);
    if (!found) return found.error();
    std::vector<DeviceInfo> infos;
    for (const Device& device : *found) infos.push_back(device.info);
    return infos;
  }

  Result<DeviceInfo> open(const BackendOptions& options) override {
    memory_.reset();
    session_.reset();
    Result<std::unique_ptr<Session>> session = Session::open(options);
    if (!session) return session.error();
    const Result<std::string> code = build_program_elsewhere(options);
    if (!code) return code.error();
    if (const Result<void> loaded = (*session)->load(*code); !loaded) return loaded.error();
    session_ = std::move(*session);
    return session_->device().info;
  }

  Result<void> build_program(const BackendOptions& options, const UserKernel* user) override {
    const Result<std::string> path = build_into_cache(options, user);
    if (!path) return path.error();
    if (user != nullptr)
      if (const Result<void> tried = try_out(options, *path, *user); !tried) return tried;
    fmt::print("program {}\n", *path);
    return {};
  }

  Result<std::shared_ptr<const DeviceProgram>> load_program(const UserKernel& user) override {
    const Result<std::string> code = build_user_elsewhere(session_->options(), user);
    if (!code) return code.error();
    if (const Result<void> entered = session_->enter(); !entered) return entered.error();
    const LaunchGate::Pause pause(session_->gate());
    session_->unload_retired();
    Result<std::shared_ptr<const CudaProgram>> program = CudaProgram::load(*session_, *code);
    if (!program) return program.error();
    // Its first launch may have to wait for every kernel, if it needs more stack than any before.
    if (const Result<void> ran =
            run_trial(*this, *program, user, session_->options().work_group_size);
        !ran)
      return ran.error();
    return std::shared_ptr<const DeviceProgram>(std::move(*program));
  }

  Result<MemoryReport> map_region(const RegionFile& region, const MemoryMode* wanted) override {
    view_ = region.view;
    memory_.reset();
    if (wanted != nullptr && *wanted == MemoryMode::kStaged) return MemoryReport{};
    if (wanted != nullptr && *wanted != MemoryMode::kRegistered)
      return Error{
          fmt::format("memory mode {} does not work here (not CUDA's)", to_string(*wanted)),
          "use --memory auto"};
    Result<std::unique_ptr<RegisteredRegion>> memory = RegisteredRegion::make(*session_, view_);
    const Result<void> works =
        memory ? litmus_test(*session_, region, **memory) : Result<void>(memory.error());
    if (works) {
      memory_ = std::move(*memory);
      return MemoryReport{.mode = MemoryMode::kRegistered, .why = ""};
    }
    if (wanted != nullptr)
      return Error{
          fmt::format("memory mode registered does not work here ({})", works.error().what),
          "use --memory auto"};
    return MemoryReport{.mode = MemoryMode::kStaged, .why = "registered: " + works.error().what};
  }

  Result<std::shared_ptr<const DeviceTable>> upload_table(
      std::span<const std::byte> table) override {
    if (const Result<void> entered = session_->enter(); !entered) return entered.error();
    Result<DeviceMemory> memory = upload(*session_, table);
    if (!memory) return memory.error();
    return std::shared_ptr<const DeviceTable>(std::make_shared<CudaTable>(std::move(*memory)));
  }

  Result<std::unique_ptr<DeviceSlice>> make_slice(const SliceSpec& spec) override {
    if (const Result<void> entered = session_->enter(); !entered) return entered.error();
    if (memory_) return DirectSlice::make(*session_, view_, *memory_, spec);
    return cuda::StagedSlice::make(*session_, view_, spec);
  }

  Result<std::unique_ptr<DeviceSlice>> make_staged_slice(const RegionView& view,
                                                         const SliceSpec& spec) override {
    if (const Result<void> entered = session_->enter(); !entered) return entered.error();
    return cuda::StagedSlice::make(*session_, view, spec);
  }

  Result<CopyRates> copy_rates(std::size_t bytes, std::uint32_t n) override {
    if (const Result<void> entered = session_->enter(); !entered) return entered.error();
    const Result<std::span<std::byte>> host = session_->take_host(bytes);
    if (!host) return host.error();
    const Result<CopyRates> rates = time_copies(host->first(bytes), n);
    session_->give_back_host(*host);
    return rates;
  }

 private:
  /// The helper process' part for a user's kernel.
  Result<void> try_out(const BackendOptions& options, const std::string& path,
                       const UserKernel& user) {
    Result<std::unique_ptr<Session>> session = Session::open(options);
    if (!session) return session.error();
    session_ = std::move(*session);
    const Result<std::string> code = read_program(path);
    if (!code) return code.error();
    Result<std::shared_ptr<const CudaProgram>> program = CudaProgram::load(*session_, *code);
    if (!program) return program.error();
    if (options.before_trial != nullptr) options.before_trial();
    return run_trial(*this, std::move(*program), user, options.work_group_size);
  }

  Result<CopyRates> time_copies(std::span<std::byte> host, std::uint32_t n) {
    const Result<DeviceMemory> memory = DeviceMemory::make(*session_, host.size());
    if (!memory) return memory.error();
    const DriverApi& api = session_->api();
    const CuStream stream = memory->stream().get();
    CopyRates rates;
    for (double* const rate : {&rates.in_gbps, &rates.out_gbps, &rates.in_gbps, &rates.out_gbps}) {
      const auto begin = std::chrono::steady_clock::now();  // the first of each warms up
      for (std::uint32_t i = 0; i < n; ++i) {
        const CuResult code =
            rate == &rates.in_gbps
                ? api.copy_in_async(memory->get(), host.data(), host.size(), stream)
                : api.copy_out_async(host.data(), memory->get(), host.size(), stream);
        if (code != kSuccess) return session_->error("copy", code);
      }
      if (const Result<void> done = memory->stream().wait("copy"); !done) return done.error();
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
      *rate = 8e-9 * static_cast<double>(host.size()) * n / took.count();
    }
    return rates;
  }

  // In this order: slices and tables go first, then the mapping, then the session.
  std::unique_ptr<Session> session_;
  RegionView view_;
  std::unique_ptr<RegisteredRegion> memory_;
};

}  // namespace

std::unique_ptr<Backend> make_cuda_backend() { return std::make_unique<CudaBackend>(); }

}  // namespace hb
