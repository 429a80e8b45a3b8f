#include "nf_lib/control_socket.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

namespace hb {
namespace {

constexpr std::size_t kMaxFds = 4;
/// Deeper than any message of ours. A message is copied and written by functions that call
/// themselves for each level.
constexpr int kMaxDepth = 32;

Error system_error(const std::string& doing) {
  return Error{fmt::format("{}: {}", doing, std::strerror(errno)), ""};
}

}  // namespace

ControlSocket::ControlSocket(ControlSocket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

ControlSocket& ControlSocket::operator=(ControlSocket&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

ControlSocket::~ControlSocket() { close(); }

void ControlSocket::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Result<ControlSocket> ControlSocket::connect(const std::string& prefix) {
  const std::string path = control_socket_path(prefix);
  ControlSocket client(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!client.open()) return system_error("a control socket can't be made");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path))
    return Error{fmt::format("'{}' is too long for a socket's name", path),
                 "use a shorter --prefix"};
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (::connect(client.fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    if (errno == ENOENT || errno == ECONNREFUSED)
      return Error{fmt::format("no manager is running for prefix '{}'", prefix),
                   "start one with ./manager.sh, or name its --prefix"};
    if (errno == EACCES)
      return Error{fmt::format("the manager of prefix '{}' belongs to another user", prefix),
                   "run this as the user who started it"};
    return system_error(fmt::format("can't reach the manager at {}", path));
  }
  return client;
}

Result<void> ControlSocket::send(const nlohmann::json& message, std::span<const int> fds) const {
  // Names that came from a command line or a file system need not be UTF-8.
  const std::string text = message.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (text.size() > kMaxMessageBytes)
    return Error{fmt::format("a control message of {} bytes is too long", text.size()), ""};
  iovec part{const_cast<char*>(text.data()), text.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))] = {};
  if (!fds.empty()) {
    const std::size_t bytes = std::min(fds.size(), kMaxFds) * sizeof(int);
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(bytes);
    cmsghdr* const c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(bytes);
    std::memcpy(CMSG_DATA(c), fds.data(), bytes);
  }
  for (;;) {
    if (sendmsg(fd_, &header, MSG_NOSIGNAL) >= 0) return {};
    if (errno != EINTR) return system_error("the control channel broke");
  }
}

Result<std::optional<nlohmann::json>> ControlSocket::receive(
    std::optional<std::chrono::milliseconds> timeout, std::vector<int>* fds) const {
  pollfd poller{fd_, POLLIN, 0};
  const int ready = poll(&poller, 1, timeout ? static_cast<int>(timeout->count()) : -1);
  if (ready == 0 || (ready < 0 && errno == EINTR)) return std::optional<nlohmann::json>{};
  if (ready < 0) return system_error("waiting on the control channel failed");

  std::string text(kMaxMessageBytes, '\0');
  iovec part{text.data(), text.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))] = {};
  header.msg_control = control;
  header.msg_controllen = sizeof(control);
  const ssize_t got = recvmsg(fd_, &header, MSG_CMSG_CLOEXEC);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return std::optional<nlohmann::json>{};
  if (got < 0) return system_error("the control channel broke");
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < n; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
      if (fds != nullptr)
        fds->push_back(fd);
      else
        ::close(fd);
    }
  }
  if (got == 0) return Error{"the other end of the control channel is gone", ""};
  text.resize(static_cast<std::size_t>(got));
  bool too_deep = false;
  nlohmann::json message = nlohmann::json::parse(
      text,
      [&too_deep](int depth, nlohmann::json::parse_event_t /*event*/, nlohmann::json& /*value*/) {
        too_deep |= depth > kMaxDepth;
        return !too_deep;
      },
      false);
  if (too_deep || !message.is_object() || (header.msg_flags & MSG_TRUNC) != 0)
    return Error{"the control channel carried something that is not a message", ""};
  return std::optional<nlohmann::json>(std::move(message));
}

std::string runtime_directory(const std::string& prefix) { return "/run/hummingbird/" + prefix; }

std::string control_socket_path(const std::string& prefix) {
  return runtime_directory(prefix) + "/control.sock";
}

bool prefix_is_valid(const std::string& prefix) {
  return !prefix.empty() && prefix.size() <= 24 && std::ranges::all_of(prefix, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_';
  });
}

}  // namespace hb
