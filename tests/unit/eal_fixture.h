// EAL for unit tests: started once per test program, without hugepages, devices or root.
#pragma once

#include <gtest/gtest.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <sched.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace hb::test {

/// Starts EAL when it is not running yet; ends the program when it can't. Devices are added later,
/// by rte_vdev_init(). The main thread keeps the CPUs it was started with.
inline void start_eal() {
  static const bool started = [] {
    std::string cpus;
    cpu_set_t set;
    sched_getaffinity(0, sizeof(set), &set);
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &set)) cpus += std::to_string(cpu) + ",";
    if (!cpus.empty()) cpus.pop_back();
    std::vector<std::string> args = {
        "test", "--no-huge", "--no-pci",         "--no-shconf", "--no-telemetry", "-m",
        "256",  "--lcores",  "0@(" + cpus + ')', "--log-level", "lib.*:error"};
    std::vector<char*> argv;
    for (std::string& arg : args) argv.push_back(arg.data());
    if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) >= 0) return true;
    std::fprintf(stderr, "rte_eal_init failed: %s\n", rte_strerror(rte_errno));
    std::abort();
  }();
  static_cast<void>(started);
}

/// A fixture whose tests may use EAL.
class EalTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { start_eal(); }
};

struct FreePool {
  void operator()(rte_mempool* pool) const noexcept { rte_mempool_free(pool); }
};
using PoolPtr = std::unique_ptr<rte_mempool, FreePool>;

/// A pool without per-core caches, so that rte_mempool_avail_count() is exact and cheap.
inline PoolPtr make_pool(unsigned n_mbufs, std::uint16_t data_room_bytes = 2048) {
  static unsigned n_pools = 0;
  start_eal();
  const std::string name = "test_pool_" + std::to_string(n_pools++);
  PoolPtr pool(rte_pktmbuf_pool_create(
      name.c_str(), n_mbufs, 0, 0,
      static_cast<std::uint16_t>(data_room_bytes + RTE_PKTMBUF_HEADROOM), SOCKET_ID_ANY));
  if (!pool) {
    std::fprintf(stderr, "no pool of %u mbufs: %s\n", n_mbufs, rte_strerror(rte_errno));
    std::abort();
  }
  return pool;
}

struct FreeMbuf {
  void operator()(rte_mbuf* mbuf) const noexcept { rte_pktmbuf_free(mbuf); }
};
using MbufPtr = std::unique_ptr<rte_mbuf, FreeMbuf>;

/// An mbuf of one segment that holds these bytes.
inline MbufPtr make_mbuf(rte_mempool* pool, std::span<const std::uint8_t> bytes) {
  MbufPtr mbuf(rte_pktmbuf_alloc(pool));
  char* const data =
      mbuf ? rte_pktmbuf_append(mbuf.get(), static_cast<std::uint16_t>(bytes.size())) : nullptr;
  if (data == nullptr) {
    std::fprintf(stderr, "no mbuf for %zu bytes\n", bytes.size());
    std::abort();
  }
  if (!bytes.empty()) std::memcpy(data, bytes.data(), bytes.size());
  return mbuf;
}

}  // namespace hb::test
