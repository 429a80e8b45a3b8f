// The device program: built in a helper process into the runtime's on-disk cache, then loaded.
#pragma once

#include "gpu_host/opencl/session.h"

namespace hb::opencl {

/// Language options that differ between runtimes, in the order in which they are tried.
inline constexpr std::array<const char*, 3> kBuildVariants = {
    "-cl-std=CL3.0 -DHB_SVM_SCOPE=memory_scope_all_svm_devices",
    "-cl-std=CL3.0",  // PoCL 3.1 does not know that scope; its device scope covers the host
    "-cl-std=CL2.0 -DHB_SVM_SCOPE=memory_scope_all_svm_devices",
};

/// Builds in this process with one variant.
/// @return an Error with the compiler's message
Result<Program> build_variant(const Session& session, const std::string& source,
                              std::size_t variant);

/// Builds with the first variant that the runtime takes.
/// @return its index; an Error with the compiler's message for the last one tried
Result<std::size_t> build_any(Session& session, const std::string& source);

/// Has a helper process build and try the program, then loads what it left in the cache.
Result<void> load_program(Session& session);

/// The same for a program with a user's kernel, beside the session's.
Result<std::shared_ptr<const ClProgram>> load_user_program(const Session& session,
                                                           const UserKernel& user);

/// The source of such a program.
Result<std::string> user_source(const Session& session, const UserKernel& user);

}  // namespace hb::opencl
