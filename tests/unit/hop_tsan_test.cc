// A hop with a thread at each place: producer, NF, consumer. Every packet arrives, once, in order;
// built with -fsanitize=thread it shows that rings and NF loop have no data race.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <thread>

#include "nf_lib/burst_loop.h"
#include "tests/unit/small_platform.h"

namespace hb::test {
namespace {

using World = SmallPlatform;

constexpr std::uint32_t kPackets = 1'000'000;
constexpr auto kLimit = std::chrono::seconds(240);

/// Reads and writes what the producer wrote; every 100th packet is dropped.
class StampNf final : public NetworkFunction {
 public:
  void process_burst(std::span<rte_mbuf* const> burst,
                     std::span<Verdict> verdicts) noexcept override {
    for (std::size_t i = 0; i < burst.size(); ++i) {
      PacketMeta& meta = packet_meta(burst[i]);
      meta.capture_ns = ~std::uint64_t{meta.flow_hash};
      verdicts[i] = meta.flow_hash % 100 == 99 ? Verdict::drop(0) : Verdict::next();
    }
  }
};

TEST(Hop, IsExactInOrderAndFreeOfRacesBetweenThreads) {
  // The consumer gives packets back to the producer by a ring of their own: the other producer's
  // fill ring. All indices wrap at 2^32 on the way. The NF commits after it publishes, so for a
  // moment packets that are back already still take up slots of its input ring.
  constexpr std::uint32_t kInUse = 1000;
  World world(
      {.n_packets = kInUse, .ring_size = 1024, .fill_size = 1024, .first_index = 0u - 5000});
  rte_ring* const back =
      world.view.region.ring(world.view.region.fill_ring_id(World::kOtherProducer));
  for (std::uint32_t i = 0; i < kInUse; ++i) world.put(back, world.packet(i));
  BurstLoop loop(world.view, world.page(), World::kNf, World::kNfEndpoint, World::kService,
                 World::kInstance);

  const auto deadline = std::chrono::steady_clock::now() + kLimit;
  const auto late = [&] { return std::chrono::steady_clock::now() > deadline; };
  std::atomic<bool> stop{false};
  std::jthread producer([&] {
    rte_ring* const ring = world.ring(World::kNfEndpoint, World::kProducer);
    std::uint32_t next = 0;
    while (next < kPackets && !late()) {
      const Window window =
          peek(back, back->size, std::min({room(ring, ring->size), kMaxBurst, kPackets - next}));
      std::array<rte_mbuf*, kMaxBurst> packets;
      for (std::uint32_t i = 0; i < window.n; ++i) {
        packets[i] = window.packets[i];
        PacketMeta& meta = packet_meta(packets[i]);
        meta = PacketMeta{};
        meta.flow_hash = next++;
      }
      commit(back, window);
      if (window.n != 0)
        publish(ring, ring->size, packets.data(), window.n);
      else
        std::this_thread::yield();
    }
  });
  std::jthread middle([&] {
    StampNf nf;
    while (!stop.load(std::memory_order_relaxed))
      if (loop.poll(nf) == 0) std::this_thread::yield();
  });

  std::uint32_t expected = 0;
  std::uint32_t expected_dropped = 99;
  std::uint32_t n_disordered = 0;
  std::uint32_t n_unstamped = 0;
  const auto take = [&](EndpointId from, auto&& look_at) {
    rte_ring* const ring = world.ring(from, World::kNf);
    const Window window = peek(ring, ring->size);
    std::array<rte_mbuf*, kMaxBurst> packets;
    for (std::uint32_t i = 0; i < window.n; ++i) {
      packets[i] = window.packets[i];
      look_at(packet_meta(packets[i]));
    }
    commit(ring, window);
    if (window.n != 0) publish(back, back->size, packets.data(), window.n);
    return window.n;
  };
  for (std::uint32_t n = 0; n < kPackets && !late();) {
    const std::uint32_t before = n;
    n += take(World::port(0), [&](const PacketMeta& meta) {
      n_disordered += meta.flow_hash != expected;
      n_unstamped += meta.capture_ns != ~std::uint64_t{meta.flow_hash};
      expected = meta.flow_hash + 1;
      if (expected % 100 == 99) ++expected;
    });
    n += take(kReclaimer, [&](const PacketMeta& meta) {
      n_disordered += meta.flow_hash != expected_dropped || meta.drop_reason != kNfReasons;
      expected_dropped = meta.flow_hash + 100;
    });
    if (n == before) std::this_thread::yield();
  }
  EXPECT_FALSE(late());
  stop = true;
  producer.join();
  middle.join();
  EXPECT_EQ(n_disordered, 0u);
  EXPECT_EQ(n_unstamped, 0u);
  EXPECT_EQ(rte_ring_count(back), kInUse);
  EXPECT_EQ(world.page()->counters.bad_pointers.load(), 0u);
  EXPECT_EQ(world.page()->bursts.load() % 2, 0u);
}

}  // namespace
}  // namespace hb::test
