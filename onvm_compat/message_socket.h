// Messages between NFs of different processes: the bytes travel, never a pointer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "nf_lib/result.h"

namespace hb::onvm {

/// Longest message to another process, in bytes.
inline constexpr std::size_t kMaxForeignMessage = 64 * 1024;

/// The datagram socket of one instance, a file in the platform's runtime directory.
class MessageSocket {
 public:
  MessageSocket() = default;
  MessageSocket(const MessageSocket&) = delete;
  MessageSocket& operator=(const MessageSocket&) = delete;
  ~MessageSocket();

  /// @param instance  index in the registry, which names the file
  Result<void> open(const std::string& prefix, std::uint32_t instance);
  /// Takes the file away, so that nothing more can be sent here. To be called while the instance is
  /// still the manager's: once it is not, the file may be another's that has its number.
  void hide() noexcept;
  /// Sends a copy of data[n] to an instance of another process; never waits.
  /// @return 0 or a negative errno: -EMSGSIZE, -ENOBUFS when its queue is full, -ENOENT
  int send(const std::string& prefix, std::uint32_t instance, const void* data,
           std::size_t n) const noexcept;
  /// Takes one message. @return its bytes in rte_malloc'ed memory, the caller's; *any tells whether
  /// there was one (an empty message is nullptr)
  void* receive(bool* any) const noexcept;

  [[nodiscard]] int fd() const noexcept { return fd_; }

 private:
  int fd_ = -1;
  std::string path_;
};

}  // namespace hb::onvm
