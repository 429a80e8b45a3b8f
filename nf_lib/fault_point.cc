#include "nf_lib/fault_point.h"

#ifdef HB_FAULT_POINTS
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>

namespace hb {
namespace {

/// Before main: a point may come at any time, on any thread.
FaultOrder* const the_order = []() -> FaultOrder* {
  const char* const path = std::getenv("HB_FAULT_FILE");
  if (path == nullptr) return nullptr;
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return nullptr;
  void* const at = mmap(nullptr, sizeof(FaultOrder), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  return at == MAP_FAILED ? nullptr : static_cast<FaultOrder*>(at);
}();

}  // namespace

void fault_point(const char* name) noexcept {
  FaultOrder* const order = the_order;
  // Acquire: pairs with the test's last store, which comes after those to the other fields.
  if (order == nullptr || order->state.load(std::memory_order_acquire) != FaultOrder::kArmed)
    return;
  if (std::strncmp(order->name, name, sizeof(order->name)) != 0) return;
  if (order->passes.fetch_sub(1, std::memory_order_relaxed) != 1) return;
  order->pid.store(getpid(), std::memory_order_relaxed);
  // Release: pairs with the test's look at it: who fired is known.
  order->state.store(FaultOrder::kFired, std::memory_order_release);
  // To this thread: a signal to the process may be another's to take, and this one goes on
  // meanwhile.
  raise(static_cast<int>(order->signal));
}

}  // namespace hb
#endif
