// Requests of hbctl that somebody else answers: an NF, or gpu_host.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace hb {

/// Remembers who asked whom until the answer comes. Control thread only.
class Relay {
 public:
  /// @param asker      connection of who wants to know
  /// @param answerer   connection of who is asked
  /// @return the request's id, for the answer to name
  std::uint64_t add(int asker, int answerer) {
    waiting_.push_back({++last_id_, asker, answerer});
    return last_id_;
  }

  /// @return how many wait for answers from there
  [[nodiscard]] std::size_t n_waiting(int answerer) const {
    return static_cast<std::size_t>(std::ranges::count(waiting_, answerer, &Request::answerer));
  }

  /// @return the asker's connection; nullopt if nobody waits for that answer from there any more
  std::optional<int> take(std::uint64_t id, int answerer) {
    const auto at = std::ranges::find_if(
        waiting_, [&](const Request& r) { return r.id == id && r.answerer == answerer; });
    if (at == waiting_.end()) return std::nullopt;
    const int asker = at->asker;
    waiting_.erase(at);
    return asker;
  }

  /// A connection is gone: what it asked needs no answer.
  /// @return those who will get no answer from it
  std::vector<int> on_close(int connection) {
    std::vector<int> unanswered;
    for (const Request& r : waiting_)
      if (r.answerer == connection) unanswered.push_back(r.asker);
    std::erase_if(waiting_, [&](const Request& r) {
      return r.asker == connection || r.answerer == connection;
    });
    return unanswered;
  }

 private:
  struct Request {
    std::uint64_t id;
    int asker;
    int answerer;
  };
  std::vector<Request> waiting_;
  std::uint64_t last_id_ = 0;
};

}  // namespace hb
