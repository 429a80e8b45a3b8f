#include "tools/hbctl/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "nf_lib/control_socket.h"

namespace hb::hbctl {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kAskAgainAfter{20};

bool is_running(const json& status, const std::string& service) {
  const json nfs = status.value("nfs", json::array());
  return std::ranges::any_of(nfs, [&](const json& nf) {
    const std::string name = fmt::format("{}/{}", nf.value("service", ""), nf.value("instance", 0));
    return (nf.value("service", "") == service || name == service) &&
           nf.value("state", "") == "running";
  });
}

/// What a status lacks of the demand; empty when it has all.
std::string missing(const json& status, const ReadyDemand& demand) {
  std::string names;
  for (const std::string& service : demand.services) {
    if (!is_running(status, service))
      names += fmt::format("{}'{}'", names.empty() ? "" : ", ", service);
  }
  return names;
}

}  // namespace

Result<json> ask(const std::string& prefix, const json& request, std::chrono::seconds limit) {
  if (!prefix_is_valid(prefix))
    return Error{fmt::format("--prefix '{}' is not a plain word", prefix),
                 "use up to 24 letters, digits, '-' and '_'"};
  const Result<ControlSocket> socket = ControlSocket::connect(prefix);
  if (!socket) return socket.error();
  if (const Result<void> sent = socket->send(request); !sent) return sent.error();
  auto answer = socket->receive(limit);
  if (!answer) return answer.error();
  if (!*answer)
    return Error{
        fmt::format("the manager of prefix '{}' did not answer within {} s", prefix, limit.count()),
        "look at what it printed; it may be stopped or out of CPU time"};
  const json& reply = **answer;
  if (!reply.value("ok", false))
    return Error{reply.value("what", "the manager refused without a reason"),
                 reply.value("fix", "")};
  return reply;
}

Result<json> wait_ready(const ReadyDemand& demand) {
  const auto deadline = Clock::now() + std::chrono::duration<double>(demand.timeout_s);
  for (;;) {
    Result<json> answer = ask(demand.prefix, {{"op", "status"}});
    std::string lacking;
    if (answer) {
      json status = answer->value("status", json::object());
      const std::string names = missing(status, demand);
      if (names.empty()) return status;
      lacking = names + (demand.services.size() == 1 ? " is not running" : " not running");
    } else {
      if (!prefix_is_valid(demand.prefix)) return answer.error();
      lacking = answer.error().what;
    }
    if (demand.pid && kill(*demand.pid, 0) != 0 && errno == ESRCH)
      return Error{fmt::format("the manager (pid {}) has ended", *demand.pid),
                   "look at what it printed"};
    if (Clock::now() >= deadline)
      return Error{fmt::format("not ready after {:g} s: {}", demand.timeout_s, lacking),
                   "look at what the manager and the NFs printed"};
    std::this_thread::sleep_for(kAskAgainAfter);
  }
}

}  // namespace hb::hbctl
