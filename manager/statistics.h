// Statistics as JSON: what --stats writes, what hbctl and the console show.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "manager/audit.h"
#include "manager/platform.h"

namespace hb {

/// @param audit  the last audit, null if there was none; at exit its in_flight is counted, live it
///               is the difference of what came and what left
nlohmann::json statistics(Platform& platform, const AuditReport* audit);

/// "running", "failed", ...
const char* state_name(InstanceState state);

/// The last change of routes or flows: which types it affected, how many packets were held, for how
/// long.
nlohmann::json switch_report(const Platform& platform);

}  // namespace hb
