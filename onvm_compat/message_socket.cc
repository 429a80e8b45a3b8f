#include "onvm_compat/message_socket.h"

#include <fmt/format.h>
#include <rte_malloc.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "nf_lib/control_socket.h"

namespace hb::onvm {
namespace {

/// @return false if the name is too long
bool name_socket(sockaddr_un& address, const std::string& prefix, std::uint32_t instance) noexcept {
  address.sun_family = AF_UNIX;
  // No fmt here: senders are on the hot path's side of the house and must not throw.
  const int n = std::snprintf(address.sun_path, sizeof(address.sun_path),
                              "/run/hummingbird/%s/onvm-%u", prefix.c_str(), instance);
  return n > 0 && static_cast<std::size_t>(n) < sizeof(address.sun_path);
}

}  // namespace

MessageSocket::~MessageSocket() {
  hide();
  if (fd_ >= 0) close(fd_);
}

void MessageSocket::hide() noexcept {
  if (!path_.empty()) unlink(path_.c_str());
  path_.clear();
}

Result<void> MessageSocket::open(const std::string& prefix, std::uint32_t instance) {
  sockaddr_un address{};
  if (!name_socket(address, prefix, instance))
    return Error{fmt::format("the prefix '{}' is too long for a socket's name", prefix), ""};
  fd_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  unlink(address.sun_path);  // of an instance that was killed
  const mode_t mask = umask(0177);
  const int bound = bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  umask(mask);
  if (fd_ < 0 || bound != 0)
    return Error{fmt::format("the message socket '{}' can't be made: {}", address.sun_path,
                             std::strerror(errno)),
                 "run this as the user who started the manager"};
  path_ = address.sun_path;
  return {};
}

int MessageSocket::send(const std::string& prefix, std::uint32_t instance, const void* data,
                        std::size_t n) const noexcept {
  if (n > kMaxForeignMessage) return -EMSGSIZE;
  sockaddr_un address{};
  if (!name_socket(address, prefix, instance)) return -ENOENT;
  if (sendto(fd_, data, n, MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address),
             sizeof(address)) >= 0)
    return 0;
  return errno == EAGAIN ? -ENOBUFS : -errno;
}

void* MessageSocket::receive(bool* any) const noexcept {
  static thread_local std::array<std::byte, kMaxForeignMessage> bytes;
  const ssize_t got = recv(fd_, bytes.data(), bytes.size(), 0);
  *any = got >= 0;
  if (got <= 0) return nullptr;
  void* const data = rte_malloc(nullptr, static_cast<std::size_t>(got), 0);
  *any = data != nullptr;  // without memory the message is lost
  if (data != nullptr) std::memcpy(data, bytes.data(), static_cast<std::size_t>(got));
  return data;
}

}  // namespace hb::onvm
