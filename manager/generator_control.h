// What hbctl generate asks of a gen: port while packets go on.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "manager/platform.h"

namespace hb {

/// {"op":"generate","port":N[,"rate":PPS][,"sample":N][,"write":FILE]}: another rate (0: no limit),
/// with latencies counted anew; N packets to be kept on each TX queue; those kept written to a
/// capture. Done in this order, of which at least one part must be there. Control thread.
/// @return ok, rate_pps, written; or a refusal, which has changed nothing unless the file can't be
///         written
nlohmann::json generate(Platform& platform, const nlohmann::json& message);

}  // namespace hb
