// What gpu_host wants of a GPU's programming interface. One folder per interface implements it; no
// other file names OpenCL or CUDA.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gpu_host/catalog.h"
#include "gpu_host/user_kernel.h"
#include "nf_lib/region.h"
#include "nf_lib/result.h"

namespace hb {

struct DeviceInfo {
  std::string name;
  std::string platform;
  bool is_cpu = false;  ///< shares the host's cores: never spins for long
  std::string claims;   ///< what it says it can do with host memory, for people
};

/// How the device gets at the region; in the order in which they are tried.
enum class MemoryMode { kSvmSystem, kSvmAlias, kHostPtr, kRegistered, kStaged };
/// As users write it: "svm-system", "svm-alias", "host-ptr", "registered", "staged".
const char* to_string(MemoryMode mode);
/// @return the mode of that name; an Error naming all of them
Result<MemoryMode> parse_memory_mode(const std::string& name);

struct MemoryReport {
  MemoryMode mode = MemoryMode::kStaged;
  std::string why;  ///< why each mode before it was not taken; empty if it was the first
};

struct BackendOptions {
  std::uint32_t device_idx = 0;
  std::uint32_t work_group_size = 64;
  /// Work-groups that can ever be resident at once: slices of the old and the new program, litmus
  /// and self-test. More are refused.
  std::uint32_t max_resident = 18;
  /// For a user's kernel: which of the backend's language options open() found to work.
  std::size_t build_variant = 0;
  /// Called once a user's kernel is built, before it runs for the first time. May be null.
  void (*before_trial)() = nullptr;
  std::string kernel_dir;      ///< where persistent.cl is
  std::string helper_program;  ///< re-executed as litmus peer and as program builder
};

/// The file behind the region, for the process that plays the litmus peer, and its mapping here.
struct RegionFile {
  std::string path;
  RegionView view;
};

/// A read-only table in the device's memory.
class DeviceTable {
 public:
  virtual ~DeviceTable() = default;
};

/// Code on the device: the persistent loop with the NFs that come with the platform, or with a
/// user's one.
class DeviceProgram {
 public:
  virtual ~DeviceProgram() = default;
};

/// Where in its buffer a packet may lie: bytes from its mbuf's start.
struct PacketBounds {
  std::uint32_t first = 0;
  std::uint32_t limit = 0xffff;
};

/// What a slice runs, and where.
struct SliceSpec {
  std::uint32_t slice = 0;  ///< its control block in the region
  std::vector<std::uint32_t> work_groups;
  const KernelEntry* kernel = nullptr;                       ///< of the catalog, or the next one
  std::shared_ptr<const KernelEntry> user_kernel = nullptr;  ///< a user's
  std::shared_ptr<const DeviceProgram> program;              ///< null: the one that open() loaded
  std::shared_ptr<const DeviceTable> table;
  std::uint32_t table_bytes = 0;
  PacketBounds bounds;
};

/// One slice on the device, launched again and again. Whoever owns it uses it from one thread.
/// What it runs never changes: a slice with another table, program or set of work-groups is another
/// DeviceSlice, made while this one runs and launched once this one's last launch has ended.
class DeviceSlice {
 public:
  virtual ~DeviceSlice() = default;
  /// Launches, and returns when the launch has ended: told so by its work-groups' stop
  /// words, by idling, or (staged) when the rounds published so far are done. A launch that is not
  /// told to end does at least one of the rounds that are published when it begins.
  /// @return an Error if the device failed; nothing more can be expected of it then
  virtual Result<void> run() = 0;
};

/// Rates of plain copies between pinned host memory and the device's.
struct CopyRates {
  double in_gbps = 0;
  double out_gbps = 0;
};

/// One programming interface. Set-up thread only, but for the slices it makes and load_program().
class Backend {
 public:
  virtual ~Backend() = default;

  /// Counts the work-groups that may be resident before the runtime starts, then lists devices.
  virtual Result<std::vector<DeviceInfo>> devices(const BackendOptions& options) = 0;

  /// Takes the device and loads the program, which a helper process has built into the runtime's
  /// on-disk cache. A compiler's failure is shown in the Error.
  virtual Result<DeviceInfo> open(const BackendOptions& options) = 0;

  /// The helper process' part of open(): builds, and runs each kernel once for its work-group size.
  /// With `user` that of load_program(): builds the user's kernel and tries it out.
  virtual Result<void> build_program(const BackendOptions& options, const UserKernel* user) = 0;

  /// Loads a program with a user's kernel beside what runs; a helper process has built it and tried
  /// it out first, so neither a compiler nor a kernel that fails takes this process along. Takes
  /// seconds; on any thread, one call at a time.
  /// @return an Error with the compiler's message, which names the user's file and line
  virtual Result<std::shared_ptr<const DeviceProgram>> load_program(const UserKernel& user) = 0;

  /// Makes the region visible to the device by the first mode that passes the litmus test.
  /// @param wanted  try this mode alone; null: all
  virtual Result<MemoryReport> map_region(const RegionFile& region, const MemoryMode* wanted) = 0;

  virtual Result<std::shared_ptr<const DeviceTable>> upload_table(
      std::span<const std::byte> table) = 0;

  /// A slice over the mapped region.
  virtual Result<std::unique_ptr<DeviceSlice>> make_slice(const SliceSpec& spec) = 0;

  /// A slice that copies in and out of any host memory laid out as `view` says: the staged mode,
  /// and the self-test.
  virtual Result<std::unique_ptr<DeviceSlice>> make_staged_slice(const RegionView& view,
                                                                 const SliceSpec& spec) = 0;

  /// Times n copies of `bytes` each way, each direction by itself.
  virtual Result<CopyRates> copy_rates(std::size_t bytes, std::uint32_t n) = 0;
};

/// A programming interface by name.
struct BackendEntry {
  const char* name;
  std::unique_ptr<Backend> (*make)();
};

}  // namespace hb
