// What a supervisor, the processes it starts and the manager agree on.
#pragma once

namespace hb {

/// Environment variable by which a process knows its supervisor: that one's process id. A process
/// whose parent it is not has merely inherited it.
inline constexpr const char* kSupervisorVariable = "HB_SUPERVISOR";

/// Process id of the process whose place this one is to take once it is ready.
inline constexpr const char* kReplacesVariable = "HB_REPLACES";

/// @return the process id of the supervisor that has started this process, 0 without one
int own_supervisor();
/// @return the process that this one is to replace, 0 if none
int replaced_process();

}  // namespace hb
