// A CPUSyncer: moves packets between CPU rings and the device's queues, for all slices.
#pragma once

#include <array>
#include <atomic>
#include <memory>

#include "gpu_host/slice_share.h"

namespace hb {

/// One CPUSyncer thread's work. poll() is that thread's; add, begin_remove and is_removed are the
/// control thread's. A slice changes hands by its pointer: the control thread stores it, the
/// CPUSyncer clears it when the last packet has left.
class Syncer {
 public:
  /// @param page  the context's own page; written by this CPUSyncer alone
  Syncer(const PlatformView& view, ContextId context, ContextPage* page);
  ~Syncer();
  Syncer(const Syncer&) = delete;
  Syncer& operator=(const Syncer&) = delete;

  [[nodiscard]] ContextId context() const noexcept { return context_.publisher.context(); }

  /// Drains and fills every slice once; never waits.
  /// @return true if anything moved
  bool poll() noexcept;

  /// Starts serving a slice.
  Result<void> add(const ShareSpec& spec);
  /// Asks a slice's share to change. One at a time, until is_changed().
  void begin_change(std::uint32_t slice, ShareChange change);
  /// True once the retiring queues are empty and forgotten: others may have them.
  [[nodiscard]] bool is_changed(std::uint32_t slice);
  /// Asks for a slice back; its rings are empty and nothing is routed there any more.
  void begin_remove(std::uint32_t slice) noexcept;
  /// True once poll() has let go of it: the caller may free what its ShareSpec pointed to.
  [[nodiscard]] bool is_removed(std::uint32_t slice);

 private:
  struct Entry;

  /// One slice: drains, fills, or lets go.
  bool poll_entry(std::uint32_t slice, Entry& entry) noexcept;

  SyncerCommon context_;
  std::array<std::atomic<Entry*>, kMaxSlices> entries_{};
  std::array<std::unique_ptr<Entry>, kMaxSlices> owned_;  ///< the control thread's
};

}  // namespace hb
