// A supervisor as the manager knows it, and a rolling restart on its way.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "manager/instance.h"

namespace hb {

/// Like SIGSEGV.
std::string signal_name(int signal);

struct SupervisorLink {
  int connection = -1;
  int pid = 0;
  std::string service;
  bool restarts = false;      ///< by its policy processes that die are started again
  std::uint32_t n_asked = 0;  ///< processes that it was asked to start and that have not registered
};

/// The instances of a service are replaced one after the other.
struct Rolling {
  std::string service;
  int connection = -1;                          ///< who asked and wants to hear the end
  std::vector<std::pair<Instance*, int>> left;  ///< and the process it had; the next one is last
  Instance* old = nullptr;                      ///< the one at work
  int old_pid = 0;
  std::uint32_t n_done = 0;
};

}  // namespace hb
