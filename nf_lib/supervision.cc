#include "nf_lib/supervision.h"

#include <unistd.h>

#include <cstdlib>

namespace hb {

int own_supervisor() {
  const char* const text = std::getenv(kSupervisorVariable);
  const int pid = text != nullptr ? std::atoi(text) : 0;
  return pid == getppid() ? pid : 0;
}

int replaced_process() {
  const char* const text = std::getenv(kReplacesVariable);
  return text != nullptr && own_supervisor() != 0 ? std::atoi(text) : 0;
}

}  // namespace hb
