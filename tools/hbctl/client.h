// hbctl's side of the control channel.
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nf_lib/result.h"

namespace hb::hbctl {

/// Sends one request to the manager and waits for its answer.
/// @return the answer, its "ok" checked; an Error when there is no manager, it refuses, or does not
///         answer in time
Result<nlohmann::json> ask(const std::string& prefix, const nlohmann::json& request,
                           std::chrono::seconds timeout = std::chrono::seconds(10));

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
