// hbctl's side of the control channel.
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nf_lib/result.h"

namespace hb::hbctl {

/// How long the manager may take where it answers by itself, and where an NF or the device has work
/// to do first.
inline constexpr std::chrono::seconds kAnswerLimit{10};
inline constexpr std::chrono::seconds kLongLimit{300};

/// Sends one request to the manager and waits for its answer.
/// @return the answer, its "ok" checked; an Error when there is no manager, it refuses, or does not
///         answer in time
Result<nlohmann::json> ask(const std::string& prefix, const nlohmann::json& request,
                           std::chrono::seconds limit = kAnswerLimit);

/// What wait_ready waits for.
struct ReadyDemand {
  std::string prefix;
  std::vector<std::string> services;  ///< all must have a running instance
  double timeout_s = 30;
  std::optional<int> pid;  ///< the manager's process: no use waiting once it is gone
};

/// Waits until the manager answers and the services run, asking it again and again.
/// @return the status that met the demand; an Error that names what is missing at the deadline
Result<nlohmann::json> wait_ready(const ReadyDemand& demand);

}  // namespace hb::hbctl
