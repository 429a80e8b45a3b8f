// The control socket: who is connected, and what they say.
#pragma once

#include <poll.h>

#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <vector>

#include "nf_lib/control_socket.h"
#include "nf_lib/result.h"

namespace hb {

/// Accepts connections and hands their messages on. Only the manager's own user gets in: the socket
/// is 0600, and who connects is asked for his credentials. Control thread only.
class ControlServer {
 public:
  /// @param fds  descriptors that came with the message; the handler owns them
  using Handler =
      std::function<void(int connection, const nlohmann::json& message, std::vector<int>& fds)>;
  using CloseHandler = std::function<void(int connection)>;

  ControlServer(Handler on_message, CloseHandler on_close)
      : on_message_(std::move(on_message)), on_close_(std::move(on_close)) {}
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  Result<void> listen(const std::string& prefix);
  /// Adds the descriptors to wait for.
  void add_to(std::vector<pollfd>& polled) const;
  /// Handles what those descriptors have.
  void dispatch(const std::vector<pollfd>& polled);

  /// Handles everything that a connection has sent so far.
  void drain(int connection);

  /// Sends to a connection, without waiting: one that has too much unread is cut off. One that is
  /// gone is ignored, its end comes as on_close.
  void send(int connection, const nlohmann::json& message);
  /// @return process id of the other end, 0 if the connection is gone
  [[nodiscard]] int peer_pid(int connection) const;
  void close(int connection) { connections_.erase(connection); }

 private:
  void accept_one();
  /// @return false if there was nothing to receive, or the connection is gone
  bool receive_one(int connection);

  Handler on_message_;
  CloseHandler on_close_;
  ControlSocket listener_;
  std::string path_;
  std::map<int, ControlSocket> connections_;
  std::set<int> foreign_;  ///< connections of other users, which get one answer: a refusal
};

/// The answer to a request that can't be carried out.
nlohmann::json refusal(const Error& error);

}  // namespace hb
