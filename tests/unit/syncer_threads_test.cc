// Everything of the device path at once, each part on threads of its own: producers, CPUSyncers,
// launching threads, the kernel as host threads, a consumer. Built with -fsanitize=thread it shows
// that the slot protocol has no data race. Links hb_gpu_host, GTest.
#include "tests/kernels/host_device.h"  // first: it decides how kernels/platform.h reads

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <thread>

#include "gpu_host/slice_runner.h"
#include "gpu_host/syncer.h"
#include "tests/unit/plain_platform.h"

namespace hb::test {
namespace {

constexpr std::uint32_t kPerProducer = 1500;
constexpr std::uint32_t kLaps = 4;
constexpr auto kLimit = std::chrono::seconds(120);

TEST(GpuPath, IsExactInOrderAndFreeOfRacesWithAllItsThreads) {
  PlainPlatform platform({.pool_size = 2 * kPerProducer, .work_group_size = 4, .n_rounds = 2});
  const RegionView& region = platform.view.region;
  std::array<ContextPage, 2> pages;
  Syncer first(platform.view, ContextId(3), &pages[0]);
  Syncer second(platform.view, ContextId(4), &pages[1]);

  // Two slices, one for each producer; each CPUSyncer has one of the slice's two work-groups, but
  // the packets of a producer all come to one of them, as a flow's do.
  TableVersions versions(4);
  std::vector<std::unique_ptr<SliceRunner>> runners;
  for (std::uint32_t slice = 0; slice < 2; ++slice) {
    const KernelEntry* kernel = find_kernel(slice == 0 ? "forward" : "nids");
    SliceSpec spec;
    spec.slice = slice;
    spec.work_groups = {2 * slice, 2 * slice + 1};
    spec.kernel = kernel;
    spec.table = std::make_shared<HostTable>(kernel->self_test().table);
    runners.push_back(std::make_unique<SliceRunner>(
        region, spec, std::make_unique<HostSlice>(region, spec, 30, 100), versions,
        [](const Error&) {}));
    ShareSpec share{.slice = slice,
                    .service = ServiceId(5 + slice),
                    .instance = InstanceId(7 + slice),
                    .endpoint = EndpointId(1 + slice),
                    .work_groups = {2 * slice, 2 * slice + 1},
                    .doorbell = &runners.back()->doorbell()};
    ASSERT_TRUE((slice == 0 ? first : second).add(share));
    runners.back()->start();
  }

  std::atomic<std::uint32_t> received{0};
  std::atomic<bool> stop{false};
  const auto deadline = std::chrono::steady_clock::now() + kLimit;
  const auto late = [&] { return std::chrono::steady_clock::now() > deadline; };
  std::vector<std::jthread> threads;
  for (Syncer* syncer : {&first, &second}) {
    threads.emplace_back([&stop, syncer] {
      while (!stop.load(std::memory_order_relaxed))
        if (!syncer->poll()) std::this_thread::yield();
    });
  }
  for (std::uint32_t producer = 0; producer < 2; ++producer) {
    threads.emplace_back([&, producer] {
      for (std::uint32_t lap = 0; lap < kLaps; ++lap) {
        // Acquire: pairs with the consumer's release, so the last lap's packets are ours again.
        while (received.load(std::memory_order_acquire) < lap * 2 * kPerProducer && !late())
          std::this_thread::yield();
        for (std::uint32_t i = 0; i < kPerProducer && !late(); ++i) {
          rte_mbuf* const mbuf = platform.packet(producer * kPerProducer + i);
          platform.reset(mbuf);
          packet_meta(mbuf).flow_hash = i;
          packet_meta(mbuf).type = static_cast<std::uint8_t>(producer);
          std::memset(platform.data(mbuf), static_cast<int>(lap), 64);
          while (!platform.send(1 + producer, 1 + producer, mbuf) && !late())
            std::this_thread::yield();
        }
      }
    });
  }
  std::array<std::uint32_t, 2> next{};
  std::uint32_t n_dropped = 0;
  std::uint32_t n_disordered = 0;
  for (std::uint32_t n = 0; n < 2 * kPerProducer * kLaps && !late();) {
    bool any = false;
    for (std::uint32_t producer = 0; producer < 2; ++producer) {
      n_dropped += platform.receive(0, 3 + producer) != nullptr;
      rte_mbuf* const mbuf = platform.receive(3 + producer, 3 + producer);
      if (mbuf == nullptr) continue;
      n_disordered += packet_meta(mbuf).flow_hash != next[producer];
      next[producer] = (next[producer] + 1) % kPerProducer;
      ++n;
      received.store(n, std::memory_order_release);
      any = true;
    }
    if (!any) std::this_thread::yield();
  }
  EXPECT_EQ(received.load(), 2 * kPerProducer * kLaps);
  EXPECT_EQ(n_dropped, 0u);
  EXPECT_EQ(n_disordered, 0u);

  first.begin_remove(0);
  second.begin_remove(1);
  while ((!first.is_removed(0) || !second.is_removed(1)) && !late()) std::this_thread::yield();
  EXPECT_FALSE(late());
  stop = true;
  threads.clear();
  for (const auto& runner : runners) runner->stop();
  EXPECT_EQ(pages[0].counters.slice_tx[0].load(), kPerProducer * kLaps);
  EXPECT_EQ(pages[1].counters.slice_tx[1].load(), kPerProducer * kLaps);
}

}  // namespace
}  // namespace hb::test
