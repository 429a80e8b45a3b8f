#include "nf_lib/burst_loop.h"

#include <gtest/gtest.h>

#include <functional>
#include <numeric>

#include "tests/unit/planned_nf.h"
#include "tests/unit/small_platform.h"

namespace hb::test {
namespace {

using World = SmallPlatform;
using Numbers = std::vector<std::uint32_t>;

/// An NF made of functions.
class FunctionNf final : public NetworkFunction {
 public:
  std::function<void(std::span<rte_mbuf* const>, std::span<Verdict>)> on_burst;
  std::function<void()> on_tick, on_flush;
  void process_burst(std::span<rte_mbuf* const> burst,
                     std::span<Verdict> verdicts) noexcept override {
    on_burst(burst, verdicts);
  }
  void tick(std::uint64_t /*now_ns*/) noexcept override { on_tick(); }
  void flush() noexcept override { on_flush(); }
};

class BurstLoopTest : public ::testing::Test {
 protected:
  BurstLoopTest() : world_({.n_packets = 2048, .ring_size = 1024, .fill_size = 128}) {}

  void feed(std::uint32_t first, std::uint32_t n, Plan plan = Plan::kNext,
            ContextId from = World::kProducer) {
    for (std::uint32_t i = first; i < first + n; ++i) {
      set_plan(world_.packet(i), plan);
      world_.put(world_.ring(World::kNfEndpoint, from), world_.packet(i));
    }
  }
  /// Polls until nothing waits.
  void run(NetworkFunction& nf) {
    while (loop_.poll(nf) != 0) {
    }
  }
  [[nodiscard]] Numbers sent(EndpointId to) const { return world_.contents(to, World::kNf); }
  [[nodiscard]] Numbers dropped(DropReason reason, std::uint32_t service = World::kInstance.value) {
    return dropped(static_cast<std::uint8_t>(reason), service);
  }
  [[nodiscard]] Numbers dropped(std::uint8_t reason, std::uint32_t service) {
    Numbers out;
    for (const std::uint32_t number : sent(kReclaimer)) {
      const PacketMeta& meta = packet_meta(world_.packet(number));
      if (meta.drop_reason == reason && meta.drop_service == service) out.push_back(number);
    }
    return out;
  }
  static Numbers range(std::uint32_t first, std::uint32_t n) {
    Numbers out(n);
    std::iota(out.begin(), out.end(), first);
    return out;
  }

  World world_;
  BurstLoop loop_{world_.view,        world_.page(),   World::kNf,
                  World::kNfEndpoint, World::kService, World::kInstance};
};

TEST_F(BurstLoopTest, NextFollowsTheRouteOfThePacketsType) {
  feed(0, 9);
  for (std::uint32_t i = 0; i < 9; ++i) packet_meta(world_.packet(i)).type = i % 3;
  PlannedNf nf;
  run(nf);
  EXPECT_EQ(sent(World::port(0)), (Numbers{0, 3, 6}));
  EXPECT_EQ(sent(World::port(1)), (Numbers{1, 4, 7}));
  EXPECT_EQ(sent(World::port(2)), (Numbers{2, 5, 8}));
}

TEST_F(BurstLoopTest, ANewTypeDecidesThePath) {
  feed(0, 2);
  FunctionNf nf;
  nf.on_burst = [](std::span<rte_mbuf* const> burst, std::span<Verdict> verdicts) {
    packet_meta(burst[1]).type = 2;
    std::ranges::fill(verdicts, Verdict::next());
  };
  run(nf);
  EXPECT_EQ(sent(World::port(0)), Numbers{0});
  EXPECT_EQ(sent(World::port(2)), Numbers{1});
}

TEST_F(BurstLoopTest, VerdictsNameServicesPortsAndReasons) {
  feed(0, 8);
  FunctionNf nf;
  nf.on_burst = [](std::span<rte_mbuf* const>, std::span<Verdict> verdicts) {
    const std::array<Verdict, 8> wanted = {Verdict::to_port(1),
                                           Verdict::to_service(World::kService),
                                           Verdict::drop(0),
                                           Verdict::drop(31),
                                           Verdict::to_port(World::kPorts),
                                           Verdict::to_service(ServiceId(7)),
                                           Verdict::drop(32),
                                           Verdict(200, 0)};
    std::ranges::copy(wanted, verdicts.begin());
  };
  loop_.poll(nf);
  EXPECT_EQ(sent(World::port(1)), Numbers{0});
  EXPECT_EQ(sent(World::kNfEndpoint), Numbers{1});
  EXPECT_EQ(dropped(kNfReasons, World::kService.value), Numbers{2});
  EXPECT_EQ(dropped(kNfReasons + 31, World::kService.value), Numbers{3});
  EXPECT_EQ(dropped(DropReason::kBadVerdict), (Numbers{4, 6, 7}));
  EXPECT_EQ(dropped(DropReason::kMissingNf, 7), Numbers{5});
}

TEST_F(BurstLoopTest, PollTakesOneBurstFromEachProducer) {
  feed(0, 100, Plan::kPort0);
  feed(200, 3, Plan::kPort0, World::kOtherProducer);
  PlannedNf nf;
  EXPECT_EQ(loop_.poll(nf), 2u);
  Numbers expected = range(0, kMaxBurst);
  for (const std::uint32_t number : range(200, 3)) expected.push_back(number);
  EXPECT_EQ(sent(World::port(0)), expected);
  EXPECT_EQ(loop_.poll(nf), 1u);
  EXPECT_EQ(loop_.poll(nf), 0u);
}

TEST_F(BurstLoopTest, DoesNotLookAtProducersThatAreNotActive) {
  world_.registry->endpoints[World::kNfEndpoint.value].producers[0] = 1u << World::kProducer.value;
  feed(0, 1, Plan::kPort0, World::kOtherProducer);
  PlannedNf nf;
  EXPECT_EQ(loop_.poll(nf), 0u);
}

TEST_F(BurstLoopTest, WhatDoesNotFitIsDroppedAsRingFullInOrder) {
  for (std::uint32_t i = 0; i < 1020; ++i)
    world_.put(world_.ring(World::port(0), World::kNf), world_.packet(1000 + i));
  feed(0, 6, Plan::kPort0);
  PlannedNf nf;
  run(nf);
  const Numbers there = sent(World::port(0));
  EXPECT_EQ(Numbers(there.end() - 3, there.end()), (Numbers{0, 1, 2}));
  EXPECT_EQ(dropped(DropReason::kRingFull, kMaxServices), (Numbers{3, 4, 5}));
}

TEST_F(BurstLoopTest, BadPointersAreCountedAndTheOthersGoOn) {
  rte_ring* const ring = world_.ring(World::kNfEndpoint, World::kProducer);
  world_.put(ring, nullptr);
  feed(0, 1, Plan::kPort0);
  world_.put(ring, reinterpret_cast<std::byte*>(world_.packet(5)) + 8);
  world_.put(ring, world_.page());
  feed(1, 1, Plan::kPort1);
  PlannedNf nf;
  run(nf);
  EXPECT_EQ(sent(World::port(0)), Numbers{0});
  EXPECT_EQ(sent(World::port(1)), Numbers{1});
  EXPECT_EQ(world_.page()->counters.bad_pointers.load(), 3u);
  EXPECT_EQ(ring->cons.tail, ring->prod.tail);
}

TEST_F(BurstLoopTest, AnNfNeverSeesAnEmptyBurst) {
  world_.put(world_.ring(World::kNfEndpoint, World::kProducer), nullptr);
  PlannedNf nf;
  EXPECT_EQ(loop_.poll(nf), 1u);
  EXPECT_EQ(nf.n_bursts(), 0u);
  EXPECT_EQ(loop_.poll(nf), 0u);
}

TEST_F(BurstLoopTest, HeldPacketsStayUntilTheyAreReleased) {
  feed(0, 3, Plan::kHold);
  PlannedNf nf({.release_in_burst = 2});
  nf.use(loop_);
  run(nf);
  EXPECT_EQ(loop_.n_held(), 3u);
  EXPECT_TRUE(sent(World::port(0)).empty());
  feed(10, 1, Plan::kPort2);
  run(nf);
  EXPECT_EQ(loop_.n_held(), 0u);
  EXPECT_EQ(sent(World::port(0)), (Numbers{0, 2}));
  EXPECT_EQ(sent(World::port(1)), Numbers{1});
  for (const auto& slot : world_.page()->held) ASSERT_EQ(slot.load(), 0u);
}

TEST_F(BurstLoopTest, TheHeldAreaTakesSoManyAndNoMore) {
  feed(0, 1020, Plan::kHold);
  PlannedNf nf;
  run(nf);
  feed(1020, 6, Plan::kHold);
  run(nf);
  EXPECT_EQ(loop_.n_held(), kHeldSlots);
  EXPECT_EQ(dropped(DropReason::kHeldFull), (Numbers{1024, 1025}));
}

TEST_F(BurstLoopTest, ReleaseTakesMoreThanABurstAndUsesTheCurrentRoutes) {
  feed(0, 200, Plan::kHold);
  PlannedNf nf;
  run(nf);
  // A new table, in which everything goes to port 2.
  RouteTable& table = world_.routes->table[1];
  for (auto& row : table.next) row[World::kService.value] = make_hop(HopKind::kPort, 2);
  world_.routes->current = 1;
  const std::vector<Verdict> verdicts(200, Verdict::next());
  loop_.release(nf.held(), verdicts);
  EXPECT_EQ(sent(World::port(2)), range(0, 200));
  EXPECT_EQ(loop_.n_held(), 0u);
  EXPECT_EQ(packet_meta(world_.packet(0)).route_version, 1);
}

TEST_F(BurstLoopTest, ReleaseIgnoresPacketsThatAreNotHeld) {
  feed(0, 2, Plan::kHold);
  PlannedNf nf;
  run(nf);
  const std::array<rte_mbuf*, 4> asked = {world_.packet(7), world_.packet(1), nullptr,
                                          reinterpret_cast<rte_mbuf*>(world_.page())};
  const std::array<Verdict, 4> verdicts = {};
  loop_.release(asked, verdicts);
  EXPECT_EQ(sent(World::port(0)), Numbers{1});
  EXPECT_EQ(loop_.n_held(), 1u);
}

TEST_F(BurstLoopTest, APacketNamedTwiceIsReleasedOnce) {
  feed(0, 3, Plan::kHold);
  PlannedNf nf;
  run(nf);
  const std::array<rte_mbuf*, 4> asked = {world_.packet(0), world_.packet(1), world_.packet(0),
                                          world_.packet(0)};
  const std::array<Verdict, 4> verdicts = {};
  loop_.release(asked, verdicts);
  EXPECT_EQ(sent(World::port(0)), (Numbers{0, 1}));
  EXPECT_EQ(loop_.n_held(), 1u);
  feed(10, 2, Plan::kHold);
  run(nf);
  EXPECT_EQ(loop_.n_held(), 3u);
}

TEST_F(BurstLoopTest, HoldInAReleaseKeepsThePacket) {
  feed(0, 2, Plan::kHold);
  PlannedNf nf;
  run(nf);
  const std::array<Verdict, 2> verdicts = {Verdict::hold(), Verdict::drop(1)};
  loop_.release(nf.held(), verdicts);
  EXPECT_EQ(loop_.n_held(), 1u);
  EXPECT_EQ(dropped(kNfReasons + 1, World::kService.value), Numbers{1});
}

TEST_F(BurstLoopTest, TickAndFlushRunInsideABurst) {
  FunctionNf nf;
  std::uint64_t in_tick = 0, in_flush = 0;
  nf.on_tick = [&] { in_tick = world_.page()->bursts.load(); };
  nf.on_flush = [&] {
    in_flush = world_.page()->bursts.load();
    EXPECT_EQ(world_.page()->flushed.load(), 0u);
  };
  loop_.tick(nf, 1);
  loop_.flush(nf, 4);
  EXPECT_EQ(in_tick % 2, 1u);
  EXPECT_EQ(in_flush % 2, 1u);
  EXPECT_EQ(world_.page()->bursts.load(), 4u);
  EXPECT_EQ(world_.page()->flushed.load(), 4u);
}

TEST_F(BurstLoopTest, FlushCanReleaseWhatIsHeld) {
  feed(0, 5, Plan::kHold);
  PlannedNf holder;
  run(holder);
  FunctionNf nf;
  nf.on_flush = [&] { loop_.release(holder.held(), std::vector<Verdict>(5, Verdict::to_port(1))); };
  loop_.flush(nf, 1);
  EXPECT_EQ(sent(World::port(1)), range(0, 5));
}

TEST_F(BurstLoopTest, OriginatedPacketsComeFromTheFillRingWithFreshMetadata) {
  for (std::uint32_t i = 0; i < 4; ++i) {
    packet_meta(world_.packet(i)).type = 3;
    packet_meta(world_.packet(i)).drop_reason = 9;
    world_.put(world_.fill_ring(), world_.packet(i));
  }
  world_.routes->current = 7;
  std::array<rte_mbuf*, kMaxBurst> fresh{};
  ASSERT_EQ(loop_.originate(std::span(fresh.data(), 3)), 3u);
  EXPECT_EQ(packet_meta(fresh[0]).type, 0);
  EXPECT_EQ(packet_meta(fresh[0]).drop_reason, 0);
  EXPECT_EQ(packet_meta(fresh[0]).route_version, kJudgedByCurrent);
  EXPECT_NE(packet_meta(fresh[0]).capture_ns, 0u);
  EXPECT_EQ(loop_.originate(fresh), 0u) << "the last ones have not been sent";
  const std::array<Verdict, 3> verdicts = {Verdict::to_port(2), Verdict::next(), Verdict::hold()};
  loop_.send_originated(verdicts);
  EXPECT_EQ(sent(World::port(2)), Numbers{0});
  EXPECT_EQ(sent(World::port(0)), (Numbers{1, 2})) << "what can't be held goes along";
  EXPECT_EQ(world_.contents(world_.fill_ring()), Numbers{3});
  EXPECT_EQ(loop_.originate(fresh), 1u);
}

TEST_F(BurstLoopTest, OriginatingFromAnEmptyFillRingGivesNothing) {
  std::array<rte_mbuf*, 4> fresh{};
  EXPECT_EQ(loop_.originate(fresh), 0u);
  loop_.send_originated({});
  EXPECT_TRUE(sent(World::port(0)).empty());
}

TEST_F(BurstLoopTest, BadPointersInTheFillRingAreNotOriginated) {
  world_.put(world_.fill_ring(), nullptr);
  std::array<rte_mbuf*, 4> fresh{};
  EXPECT_EQ(loop_.originate(fresh), 0u);
  world_.put(world_.fill_ring(), world_.page());
  world_.put(world_.fill_ring(), world_.packet(3));
  ASSERT_EQ(loop_.originate(fresh), 1u) << "nothing was left unsent";
  EXPECT_EQ(fresh[0], world_.packet(3));
  const std::array<Verdict, 1> verdicts = {Verdict::to_port(2)};
  loop_.send_originated(verdicts);
  EXPECT_EQ(sent(World::port(2)), Numbers{3});
  EXPECT_TRUE(world_.contents(world_.fill_ring()).empty());
  EXPECT_EQ(world_.page()->counters.bad_pointers.load(), 2u);
}

TEST_F(BurstLoopTest, FindsServicesAndTypesByName) {
  EXPECT_EQ(loop_.find_service("middle"), World::kService);
  EXPECT_FALSE(loop_.find_service("other").has_value());
  EXPECT_EQ(loop_.find_type("type4"), 4);
  EXPECT_FALSE(loop_.find_type("type9").has_value());
  EXPECT_FALSE(loop_.find_service("").has_value());
}

}  // namespace
}  // namespace hb::test
