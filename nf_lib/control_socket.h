// The control channel: JSON messages over a Unix SOCK_SEQPACKET socket, one object per message.
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nf_lib/result.h"

namespace hb {

/// Longest message in bytes, either way.
inline constexpr std::size_t kMaxMessageBytes = 192 * 1024;

/// One end of a connection. Owns its descriptor. Not thread-safe but for send().
class ControlSocket {
 public:
  ControlSocket() = default;
  explicit ControlSocket(int fd) : fd_(fd) {}
  ControlSocket(ControlSocket&& other) noexcept;
  ControlSocket& operator=(ControlSocket&& other) noexcept;
  ~ControlSocket();

  /// Connects to the manager of that prefix.
  static Result<ControlSocket> connect(const std::string& prefix);

  /// @param fds  descriptors that travel along; at most 4
  Result<void> send(const nlohmann::json& message, std::span<const int> fds = {}) const;

  /// Waits for a message.
  /// @param timeout  nullopt: for ever
  /// @param fds      receives descriptors that came along, now the caller's; may be null
  /// @return nullopt at a timeout; an Error when the other end is gone or sent nonsense
  Result<std::optional<nlohmann::json>> receive(std::optional<std::chrono::milliseconds> timeout,
                                                std::vector<int>* fds = nullptr) const;

  [[nodiscard]] int fd() const noexcept { return fd_; }
  [[nodiscard]] bool open() const noexcept { return fd_ >= 0; }
  void close();

 private:
  int fd_ = -1;
};

/// Where a platform's files are: /run/hummingbird/<prefix>.
std::string runtime_directory(const std::string& prefix);
/// The socket in it.
std::string control_socket_path(const std::string& prefix);
/// A prefix is a short plain word: it becomes part of file names.
bool prefix_is_valid(const std::string& prefix);

}  // namespace hb
