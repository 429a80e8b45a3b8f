// A word that the host and a running kernel share, as the host reads and writes it.
#pragma once

#include <atomic>

#include "kernels/layout.h"

namespace hb {

/// Acquire: pairs with the kernel's release store, or with store_word().
inline u32 load_word(u32& word) noexcept {
  return std::atomic_ref<u32>(word).load(std::memory_order_acquire);
}

/// Release: pairs with the kernel's acquire load, or with that of whoever recovers a queue.
inline void store_word(u32& word, u32 value) noexcept {
  std::atomic_ref<u32>(word).store(value, std::memory_order_release);
}

}  // namespace hb
