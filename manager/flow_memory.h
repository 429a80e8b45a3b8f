// Memory of the classifier's own. A reload of flows compiles rules while traffic runs; were that
// memory from EAL's heap, its lock could be one that a killed DPDK secondary has taken with it.
#pragma once

#include <cstddef>
#include <memory>

#include "nf_lib/result.h"

namespace hb {

/// A DPDK heap over an anonymous mapping; pages that were never used cost nothing. Everything in it
/// must be freed before it ends, and it before EAL.
class FlowMemory {
 public:
  /// @param bytes  rounded up to whole pages of 2 MiB
  static Result<std::unique_ptr<FlowMemory>> create(std::size_t bytes);
  ~FlowMemory();
  FlowMemory(const FlowMemory&) = delete;
  FlowMemory& operator=(const FlowMemory&) = delete;

  /// What DPDK calls take as the socket id of this memory.
  [[nodiscard]] int socket_id() const noexcept { return socket_id_; }
  [[nodiscard]] std::size_t size() const noexcept { return bytes_; }

 private:
  FlowMemory() = default;
  void* base_ = nullptr;  ///< on a page boundary
  std::size_t bytes_ = 0;
  void* mapping_ = nullptr;  ///< a page more, for the boundary
  std::size_t mapped_bytes_ = 0;
  int socket_id_ = -1;
};

}  // namespace hb
