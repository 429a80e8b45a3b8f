// Each kernel answers known packets before it serves unknown ones.
#pragma once

#include "gpu_host/backend.h"

namespace hb {

/// Runs the kernel's self-test vectors in a round of their own, outside the region.
/// @return an Error naming the case if an answer or a byte is wrong
Result<void> run_self_test(Backend& backend, const KernelEntry& kernel,
                           std::uint32_t work_group_size);

/// Tries a user's kernel out on rounds of packets of all kinds, outside the region: whether it
/// ends, and answers every slot with something that makes sense.
/// @return an Error that says what did not
Result<void> run_trial(Backend& backend, std::shared_ptr<const DeviceProgram> program,
                       const UserKernel& user, std::uint32_t work_group_size);

}  // namespace hb
