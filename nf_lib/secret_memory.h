// Memory for keys: its own pages, left out of core files and of children, wiped when given back.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace hb {

/// Maps zeroed pages that no core file, child process or (where the limit allows) swap will hold.
/// @return null when there is no memory
void* map_secret(std::size_t bytes) noexcept;
/// Wipes them, whatever the compiler thinks of stores that nobody reads, and unmaps them.
void unmap_secret(void* memory, std::size_t bytes) noexcept;

/// An allocator of such pages: for few and large containers, filled at set-up.
template <typename T>
struct SecretAllocator {
  using value_type = T;
  SecretAllocator() = default;
  template <typename U>
  SecretAllocator(const SecretAllocator<U>&) noexcept {}  // NOLINT: implicit, as the standard asks
  T* allocate(std::size_t n) {
    void* const memory = map_secret(n * sizeof(T));
    if (memory == nullptr) throw std::bad_alloc();
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, std::size_t n) noexcept { unmap_secret(memory, n * sizeof(T)); }
  bool operator==(const SecretAllocator&) const noexcept { return true; }
};

template <typename T>
using SecretVector = std::vector<T, SecretAllocator<T>>;

}  // namespace hb
