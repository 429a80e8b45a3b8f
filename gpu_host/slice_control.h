// One slice's life: added, resized, given another table or program, removed. Each is a row of steps
// that the control thread goes on with until the CPUSyncers and the launching thread have done
// their part; nothing here waits.
#pragma once

#include <deque>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gpu_host/backend.h"
#include "gpu_host/slice_runner.h"
#include "gpu_host/syncer.h"
#include "nf_lib/attachment.h"
#include "nf_lib/memory_file.h"

namespace hb {

/// What the slices of a gpu_host share.
struct SliceWorld {
  PlatformView view;
  Backend* backend = nullptr;
  std::vector<std::unique_ptr<Syncer>>* syncers = nullptr;
  std::mutex building;  ///< one program at a time
  Attachment* attachment = nullptr;
  std::map<std::string, std::span<std::byte>> surviving;  ///< mapped, by name
};

/// Control thread only.
class SliceControl {
 public:
  SliceControl(SliceWorld& world, std::uint32_t slice) : world_(world) { spec_.slice = slice; }
  ~SliceControl();
  SliceControl(const SliceControl&) = delete;
  SliceControl& operator=(const SliceControl&) = delete;

  /// Begins what an order of the manager says: add_slice, resize_slice, replace_table or
  /// remove_slice. One that comes while another is at work waits for it.
  void order(const nlohmann::json& message);

  /// Goes on with what is at work.
  /// @return the answers to orders that are done
  std::vector<nlohmann::json> advance();

  [[nodiscard]] bool busy() const noexcept { return !orders_.empty(); }
  /// It was removed, or its adding failed.
  [[nodiscard]] bool gone() const noexcept { return gone_; }
  /// A helper process is building for it.
  [[nodiscard]] bool building() const noexcept { return program_.valid(); }
  [[nodiscard]] bool running() const noexcept { return runner_ != nullptr && !gone_; }
  /// Packets that wait in front of it.
  [[nodiscard]] std::uint64_t backlog() const noexcept;
  [[nodiscard]] const SliceSpec& spec() const noexcept { return spec_; }
  [[nodiscard]] const std::string& label() const noexcept { return label_; }

  /// Lets the NF's hook look at the clock, and logs what it says.
  void tick(std::uint64_t wall_clock_ns);

  /// @return a work-group of which a round has neither ended nor begun since the last call that
  ///         found it so, `limit` ago or longer; -1 if there is none
  int stuck_work_group(std::uint64_t now_ns, std::uint64_t limit_ns);

 private:
  /// @return true once it is done, false to be called again
  using Step = std::function<Result<bool>()>;
  struct Progress {
    std::uint32_t completed = 0;
    std::uint64_t since_ns = 0;
  };

  Result<void> begin(const nlohmann::json& message);
  Result<void> begin_add(const nlohmann::json& message);
  Result<void> begin_resize(const nlohmann::json& message);
  Result<void> begin_replace(const nlohmann::json& message);
  void begin_remove();

  void step(Step step) { steps_.push_back(std::move(step)); }
  void load_kernel(const nlohmann::json& message, SliceSpec& next);
  void change_over(const std::shared_ptr<SliceSpec>& next, std::uint32_t version,
                   std::shared_ptr<std::unique_ptr<RoundHook>> hook);
  Result<void> set_work_groups(const nlohmann::json& message, SliceSpec& spec) const;
  Result<void> upload(std::span<std::byte> table, SliceSpec& spec,
                      std::unique_ptr<RoundHook>& hook) const;
  Result<void> map_surviving(const nlohmann::json& message);
  void change_shares(std::function<ShareChange(std::size_t syncer)> change);
  Result<void> add_to_syncers(const nlohmann::json& message);
  [[nodiscard]] std::vector<std::uint32_t> share_of(const std::vector<std::uint32_t>& groups,
                                                    std::size_t syncer) const;
  [[nodiscard]] bool old_rounds_left() const;
  [[nodiscard]] bool all_changed() const;

  SliceWorld& world_;
  SliceSpec spec_;
  std::vector<EndpointId> endpoints_;
  std::string label_;  ///< kernel or file, for people
  /// A user's kernel; the spec's `kernel` points into it.
  std::shared_ptr<const KernelEntry> user_entry_;
  std::unique_ptr<TableVersions> versions_;
  std::unique_ptr<SliceRunner> runner_;
  std::unique_ptr<RoundHook> hook_;  ///< of the table in force; null: the NF needs none
  std::size_t only_syncer_ = 0;      ///< the CPUSyncer that has the hook
  std::span<std::byte> surviving_;
  std::deque<nlohmann::json> orders_;  ///< the first is at work
  std::deque<Step> steps_;             ///< of it
  nlohmann::json answer_;
  bool begun_ = false;
  bool gone_ = false;
  std::future<Result<std::shared_ptr<const DeviceProgram>>> program_;
  std::vector<Progress> progress_;  ///< by work-group of the region
};

}  // namespace hb
