// What a GPU NF has on the device, as the manager keeps it and hands it on.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "manager/instance.h"

namespace hb {

/// Opens the files that the NF's message names: they stay when the NF closes them.
void keep_table(const nlohmann::json& message, SliceTable& table);
/// Names them in an order to gpu_host.
void name_files(const SliceTable& table, nlohmann::json& order);

}  // namespace hb
