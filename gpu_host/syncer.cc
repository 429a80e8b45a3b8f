#include "gpu_host/syncer.h"

#include <fmt/format.h>

#include <utility>

#include "nf_lib/fault_point.h"

namespace hb {

struct Syncer::Entry {
  explicit Entry(SliceShare s) : share(std::move(s)) {}
  SliceShare share;
  bool fresh = true;                 ///< the CPUSyncer's
  std::atomic<bool> leaving{false};  ///< the control thread's
  ShareChange change_memory;         ///< the CPUSyncer's while `change` is set
  std::atomic<ShareChange*> change{nullptr};
  bool change_begun = false;  ///< the CPUSyncer's
};

Syncer::Syncer(const PlatformView& view, ContextId context, ContextPage* page)
    : context_{view, page,
               Publisher(view.region, context, &page->ledger, view.registry->endpoint_service)} {}

Syncer::~Syncer() = default;

bool Syncer::poll() noexcept {
  bool moved = false;
  for (std::uint32_t slice = 0; slice < kMaxSlices; ++slice) {
    // Acquire: pairs with the release store in add().
    Entry* const entry = entries_[slice].load(std::memory_order_acquire);
    if (entry != nullptr) moved |= poll_entry(slice, *entry);
  }
  return moved;
}

bool Syncer::poll_entry(std::uint32_t slice, Entry& entry) noexcept {
  if (entry.fresh) {
    // No record of an earlier slice may name a queue of this one.
    context_.publisher.ledger().write({});
    entry.fresh = false;
  }
  const bool drained = entry.share.drain(context_);
  // Acquire: pairs with the release store in begin_change().
  if (ShareChange* const change = entry.change.load(std::memory_order_acquire)) {
    if (!std::exchange(entry.change_begun, true)) entry.share.begin_change(*change);
    if (entry.share.finish_change()) {
      entry.change_begun = false;
      // Release: pairs with the acquire load in is_changed(); the retired queues are left alone.
      entry.change.store(nullptr, std::memory_order_release);
    }
  }
  if (!entry.leaving.load(std::memory_order_relaxed)) {
    const bool filled = entry.share.fill(context_);
    return drained || filled;
  }
  if (entry.share.finish()) {
    // Release: pairs with the acquire load in is_removed(); nothing of it is touched from here on.
    entries_[slice].store(nullptr, std::memory_order_release);
    fault_point("share_ended");
  }
  return drained;
}

Result<void> Syncer::add(const ShareSpec& spec) {
  if (spec.slice >= kMaxSlices || owned_[spec.slice] != nullptr)
    return Error{fmt::format("slice {} is taken or out of range", spec.slice), ""};
  Result<SliceShare> share = SliceShare::make(context_, spec);
  if (!share) return share.error();
  owned_[spec.slice] = std::make_unique<Entry>(std::move(*share));
  // Release: pairs with the acquire load in poll(), which thus sees the whole share.
  entries_[spec.slice].store(owned_[spec.slice].get(), std::memory_order_release);
  return {};
}

void Syncer::begin_change(std::uint32_t slice, ShareChange change) {
  if (slice >= kMaxSlices || owned_[slice] == nullptr) return;
  Entry& entry = *owned_[slice];
  entry.change_memory = std::move(change);
  // Release: pairs with the acquire load in poll_entry().
  entry.change.store(&entry.change_memory, std::memory_order_release);
}

bool Syncer::is_changed(std::uint32_t slice) {
  return slice >= kMaxSlices || owned_[slice] == nullptr ||
         owned_[slice]->change.load(std::memory_order_acquire) == nullptr;
}

void Syncer::begin_remove(std::uint32_t slice) noexcept {
  if (slice < kMaxSlices && owned_[slice] != nullptr)
    owned_[slice]->leaving.store(true, std::memory_order_relaxed);
}

bool Syncer::is_removed(std::uint32_t slice) {
  if (slice >= kMaxSlices || owned_[slice] == nullptr) return true;
  // Acquire: pairs with the CPUSyncer's release store.
  if (entries_[slice].load(std::memory_order_acquire) != nullptr) return false;
  owned_[slice].reset();
  return true;
}

}  // namespace hb
