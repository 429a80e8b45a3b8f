#include "nf_lib/secret_memory.h"

#include <sys/mman.h>

#include <cstring>

namespace hb {

void* map_secret(std::size_t bytes) noexcept {
  void* const memory =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  if (madvise(memory, bytes, MADV_DONTDUMP) != 0 || madvise(memory, bytes, MADV_DONTFORK) != 0) {
    munmap(memory, bytes);
    return nullptr;
  }
  mlock(memory, bytes);  // beyond RLIMIT_MEMLOCK it stays swappable; that is no reason to fail
  return memory;
}

void unmap_secret(void* memory, std::size_t bytes) noexcept {
  if (memory == nullptr) return;
  explicit_bzero(memory, bytes);
  munmap(memory, bytes);
}

}  // namespace hb
