#include "manager/control_server.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

namespace hb {
namespace {

/// Connections of other users that may wait for their refusal at once.
constexpr std::size_t kMostForeign = 8;
/// Connections in all: descriptors must be left for pages, tables and processes.
constexpr std::size_t kMostConnections = 512;

/// Numbers with a fraction are times; where one stands for a count it must be one that fits.
bool numbers_fit(const nlohmann::json& value) {
  if (value.is_number_float()) {
    const auto number = value.get<double>();
    return number >= 0 && number <= std::numeric_limits<std::int32_t>::max();
  }
  return !value.is_structured() || std::all_of(value.begin(), value.end(), numbers_fit);
}

}  // namespace

ControlServer::~ControlServer() {
  if (!path_.empty()) unlink(path_.c_str());
}

Result<void> ControlServer::listen(const std::string& prefix) {
  const std::string path = control_socket_path(prefix);
  listener_ = ControlSocket(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(),
              std::min(path.size() + 1, sizeof(address.sun_path) - 1));
  unlink(path.c_str());
  const mode_t before = umask(0177);
  const bool bound =
      bind(listener_.fd(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
      ::listen(listener_.fd(), 64) == 0;
  umask(before);
  if (!bound)
    return Error{fmt::format("can't listen on '{}': {}", path, std::strerror(errno)),
                 "free space on /run"};
  path_ = path;
  return {};
}

void ControlServer::add_to(std::vector<pollfd>& polled) const {
  polled.push_back({listener_.fd(), POLLIN, 0});
  for (const auto& [fd, connection] : connections_) polled.push_back({fd, POLLIN, 0});
}

void ControlServer::dispatch(const std::vector<pollfd>& polled) {
  for (const pollfd& p : polled) {
    if (p.revents == 0) continue;
    if (p.fd == listener_.fd()) {
      accept_one();
      continue;
    }
    receive_one(p.fd);
  }
}

void ControlServer::drain(int connection) {
  while (receive_one(connection)) {
  }
}

bool ControlServer::receive_one(int connection) {
  const auto at = connections_.find(connection);
  if (at == connections_.end()) return false;
  std::vector<int> fds;
  auto received = at->second.receive(std::chrono::milliseconds(0), &fds);
  if (received && !*received) return false;
  if (foreign_.contains(connection)) {
    // Only now: a socket that is closed with a message unread breaks the other end's.
    (void)at->second
        .send(refusal(Error{"this manager belongs to another user", "run this as that user"}))
        .ok();
    for (const int fd : fds) ::close(fd);
    foreign_.erase(connection);
    connections_.erase(at);
    return false;
  }
  if (received && numbers_fit(**received)) {
    on_message_(connection, **received, fds);
    return true;
  }
  for (const int fd : fds) ::close(fd);
  if (received) {
    send(connection, refusal(Error{"a number in the message is out of range", ""}));
    return true;
  }
  connections_.erase(at);
  on_close_(connection);
  return false;
}

void ControlServer::accept_one() {
  // Non-blocking: nobody who does not read what he is sent may keep the control thread waiting.
  ControlSocket client(accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!client.open() || connections_.size() >= kMostConnections) return;
  ucred peer{};
  socklen_t length = sizeof(peer);
  if (getsockopt(client.fd(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return;
  const int fd = client.fd();
  if (peer.uid != geteuid() && peer.uid != 0) {
    if (foreign_.size() == kMostForeign) return;
    foreign_.insert(fd);
  }
  connections_.emplace(fd, std::move(client));
}

void ControlServer::send(int connection, const nlohmann::json& message) {
  const auto at = connections_.find(connection);
  if (at == connections_.end() || at->second.send(message)) return;
  // It does not read, or the answer is too long for it: the broken connection tells it, and comes
  // back from here as a close.
  shutdown(connection, SHUT_RDWR);
}

int ControlServer::peer_pid(int connection) const {
  ucred peer{};
  socklen_t length = sizeof(peer);
  if (!connections_.contains(connection) ||
      getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
    return 0;
  return peer.pid;
}

nlohmann::json refusal(const Error& error) {
  return {{"ok", false}, {"what", error.what}, {"fix", error.fix}};
}

}  // namespace hb
