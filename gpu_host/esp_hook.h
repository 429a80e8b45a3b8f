// ipsec's hook: the gate of the CPU twin before and behind the kernel.
#pragma once

#include "gpu_host/round_hook.h"

namespace hb {

Result<std::unique_ptr<RoundHook>> make_esp_hook(std::span<std::byte> table,
                                                 std::span<std::byte> surviving);

}  // namespace hb
