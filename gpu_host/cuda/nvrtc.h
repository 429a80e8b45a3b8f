// NVIDIA's run-time compiler, found at run time: kernels as CUDA C++ into machine code. Needs no
// GPU.
#pragma once

#include <string>
#include <vector>

#include "nf_lib/result.h"

namespace hb::cuda {

/// One loaded compiler. Any thread; compiles one program at a time.
class Nvrtc {
 public:
  /// Looks where the loader does, then in the folders of CUDA's own packages.
  static Result<Nvrtc> load();

  /// For instance "13.0".
  [[nodiscard]] const std::string& version() const noexcept { return version_; }

  /// Machine code for compute capability `arch` (90 is 9.0), or, where this compiler is older than
  /// the device, PTX for the newest it knows, which the driver translates.
  /// @return an Error with the compiler's messages
  [[nodiscard]] Result<std::string> compile(const std::string& source, int arch) const;

 private:
  struct Api {
    int (*version)(int*, int*);
    int (*n_archs)(int*);
    int (*archs)(int*);
    int (*create)(struct NvrtcProgramRec**, const char*, const char*, int, const char* const*,
                  const char* const*);
    int (*compile)(struct NvrtcProgramRec*, int, const char* const*);
    int (*log_size)(struct NvrtcProgramRec*, std::size_t*);
    int (*log)(struct NvrtcProgramRec*, char*);
    int (*cubin_size)(struct NvrtcProgramRec*, std::size_t*);
    int (*cubin)(struct NvrtcProgramRec*, char*);
    int (*ptx_size)(struct NvrtcProgramRec*, std::size_t*);
    int (*ptx)(struct NvrtcProgramRec*, char*);
    int (*destroy)(struct NvrtcProgramRec**);
  };

  Api api_{};
  std::string version_;
  std::vector<int> archs_;
};

}  // namespace hb::cuda
