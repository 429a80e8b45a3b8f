// Every crash point of an NF's burst, literally: the process is stopped after each instruction, and
// the manager's recovery has to account for every packet from what is in shared memory then.
#include <gtest/gtest.h>

#include "tests/unit/crash_world.h"

namespace hb::test {
namespace {

using World = SmallPlatform;

/// Packets first, first + 1, ... into the NF's ring from that producer, with these plans.
void feed(const World& world, ContextId from, std::uint32_t first,
          std::initializer_list<Plan> plans) {
  for (const Plan plan : plans) {
    rte_mbuf* const mbuf = world.packet(first++);
    set_plan(mbuf, plan);
    world.put(world.ring(World::kNfEndpoint, from), mbuf);
  }
}
void feed_same(const World& world, ContextId from, std::uint32_t first, std::uint32_t n,
               Plan plan) {
  for (std::uint32_t i = 0; i < n; ++i) feed(world, from, first + i, {plan});
}
/// Lets an empty ring's indices be n further on.
void move_on(rte_ring* ring, std::uint32_t n) {
  SmallPlatform::start_at(ring, ring->cons.tail + n);
}

using enum Plan;

std::vector<CrashScenario> scenarios() {
  return {
      {"OneDestination", [](World& world, BurstLoop&,
                            PlannedNf&) { feed_same(world, World::kProducer, 0, 6, kPort0); }},
      {"ThreeDestinationsInterleavedAndDrops",
       [](World& world, BurstLoop&, PlannedNf&) {
         feed(world, World::kProducer, 0,
              {kPort0, kPort1, kPort2, kDrop, kPort1, kPort0, kNext, kPort2, kDrop, kPort1});
       }},
      {"DestinationNearlyFull",
       [](World& world, BurstLoop&, PlannedNf&) {
         for (std::uint32_t i = 0; i < 12; ++i)
           world.put(world.ring(World::port(0), World::kNf), world.packet(80 + i));
         feed(world, World::kProducer, 0,
              {kPort0, kPort1, kPort0, kPort0, kPort1, kPort0, kDrop, kPort0});
       }},
      {"DestinationFull",
       [](World& world, BurstLoop&, PlannedNf&) {
         for (std::uint32_t i = 0; i < 15; ++i)
           world.put(world.ring(World::port(0), World::kNf), world.packet(80 + i));
         feed(world, World::kProducer, 0, {kPort0, kPort1, kPort0});
       }},
      {"BurstsThatWrapAtTheRingsEnd",
       [](World& world, BurstLoop&, PlannedNf&) {
         move_on(world.ring(World::kNfEndpoint, World::kProducer), 12);
         move_on(world.ring(World::port(0), World::kNf), 14);
         move_on(world.ring(World::port(1), World::kNf), 15);
         feed(world, World::kProducer, 0,
              {kPort0, kPort1, kPort0, kPort1, kPort1, kPort0, kPort0, kPort1, kPort0});
       }},
      {"TwoSourcesOneAfterTheOther",
       [](World& world, BurstLoop&, PlannedNf&) {
         feed(world, World::kProducer, 0, {kPort0, kPort1, kPort0});
         feed(world, World::kOtherProducer, 40, {kPort1, kPort0, kPort1});
       }},
      {"HoldingSome",
       [](World& world, BurstLoop&, PlannedNf&) {
         feed(world, World::kProducer, 0, {kHold, kPort0, kHold, kPort1, kPort0, kHold});
       }},
      {"ReleasingToTwoDestinations",
       [](World& world, BurstLoop& loop, PlannedNf& nf) {
         feed_same(world, World::kProducer, 20, 7, kHold);
         loop.poll(nf);
         feed(world, World::kProducer, 0, {kPort0, kHold, kPort1});
       },
       {},
       {.release_in_burst = 2, .keep = 3}},
      {"ReleasingTwiceInARow",
       [](World& world, BurstLoop& loop, PlannedNf& nf) {
         feed_same(world, World::kProducer, 20, 6, kHold);
         loop.poll(nf);
         feed(world, World::kProducer, 0, {kPort0, kPort1});
       },
       {},
       {.release_in_burst = 2, .in_two_calls = true}},
      {"ReleasingIntoANearlyFullRing",
       [](World& world, BurstLoop& loop, PlannedNf& nf) {
         feed_same(world, World::kProducer, 20, 6, kHold);
         loop.poll(nf);
         for (std::uint32_t i = 0; i < 14; ++i)
           world.put(world.ring(World::port(0), World::kNf), world.packet(80 + i));
         feed(world, World::kProducer, 0, {kPort0, kPort1});
       },
       {},
       {.release_in_burst = 2}},
      {"ReleasingInTwoBursts",
       [](World& world, BurstLoop& loop, PlannedNf& nf) {
         feed_same(world, World::kProducer, 20, 4, kHold);
         loop.poll(nf);
         feed(world, World::kProducer, 0, {kHold, kPort2, kHold});
         feed(world, World::kOtherProducer, 40, {kPort0, kHold});
       },
       {},
       {.release_in_burst = 3}},
      {"OriginatingFromTheFillRing",
       [](World& world, BurstLoop&, PlannedNf&) {
         move_on(world.fill_ring(), 13);
         for (std::uint32_t i = 0; i < 10; ++i) world.put(world.fill_ring(), world.packet(60 + i));
         feed(world, World::kProducer, 0, {kPort0, kPort2, kPort0});
       },
       {},
       {.originate_in_burst = 1, .n_originated = 5}},
      {"ReleasingAndOriginatingInOneBurst",
       [](World& world, BurstLoop& loop, PlannedNf& nf) {
         feed_same(world, World::kProducer, 20, 4, kHold);
         loop.poll(nf);
         for (std::uint32_t i = 0; i < 10; ++i) world.put(world.fill_ring(), world.packet(60 + i));
         feed(world, World::kProducer, 0, {kPort0, kHold, kPort2, kPort0});
       },
       {},
       {.release_in_burst = 2, .originate_in_burst = 2, .n_originated = 4}},
      {"BadPointersInTheRing",
       [](World& world, BurstLoop&, PlannedNf&) {
         rte_ring* const ring = world.ring(World::kNfEndpoint, World::kProducer);
         world.put(ring, nullptr);
         feed(world, World::kProducer, 0, {kPort0, kPort1});
         world.put(ring, world.page());
         feed(world, World::kProducer, 2, {kHold, kPort0, kPort1});
         world.put(ring, reinterpret_cast<std::byte*>(world.packet(90)) + 1);
       }},
      {"OriginatingBesideBadPointers",
       [](World& world, BurstLoop&, PlannedNf&) {
         world.put(world.fill_ring(), nullptr);
         for (std::uint32_t i = 0; i < 3; ++i) world.put(world.fill_ring(), world.packet(60 + i));
         world.put(world.fill_ring(), world.page());
         world.put(world.fill_ring(), world.packet(63));
         feed(world, World::kProducer, 0, {kPort0, kPort2});
       },
       {},
       {.originate_in_burst = 1, .n_originated = 8}},
      {"OnlyBadPointers",
       [](World& world, BurstLoop&, PlannedNf&) {
         world.put(world.ring(World::kNfEndpoint, World::kProducer), nullptr);
       }},
      {"SixtyFourPackets",
       [](World& world, BurstLoop&, PlannedNf&) {
         feed_same(world, World::kProducer, 0, 63, kPort1);
         feed(world, World::kProducer, 63, {kPort2});
       },
       {.ring_size = 128}},
  };
}

class CrashPoint : public ::testing::TestWithParam<std::tuple<CrashScenario, std::uint32_t, bool>> {
 protected:
  static CrashScenario scenario() {
    CrashScenario scenario = std::get<0>(GetParam());
    scenario.options.first_index = std::get<1>(GetParam());
    scenario.idempotent = std::get<2>(GetParam());
    return scenario;
  }
};

TEST_P(CrashPoint, EveryPacketIsInOnePlaceAfterARecoveryFromIt) {
  const CrashReport report = CrashWorld(scenario()).recover_at_every_step();
  if (!report.traceable) GTEST_SKIP() << "this process may not ptrace its child";
  EXPECT_TRUE(report.clean()) << report.first_error << "; over all points " << report.n_lost
                              << " lost, " << report.n_twice << " twice, " << report.n_wrong
                              << " other errors";
  EXPECT_GT(report.n_steps, 100u);
  EXPECT_GT(report.n_points, 5u);
  RecordProperty("instructions", static_cast<int>(report.n_steps));
  RecordProperty("crash_points", static_cast<int>(report.n_points));
}

INSTANTIATE_TEST_SUITE_P(OfAnNf, CrashPoint,
                         // The second start lets the 32-bit indices wrap within the first burst.
                         ::testing::Combine(::testing::ValuesIn(scenarios()),
                                            ::testing::Values(0u, 0xfffffffdu), ::testing::Bool()),
                         [](const auto& test) {
                           return std::get<0>(test.param).name +
                                  (std::get<1>(test.param) == 0 ? "" : "AtTheIndexWrap") +
                                  (std::get<2>(test.param) ? "Idempotent" : "");
                         });

/// The same with SIGKILL, so that nothing depends on the process still being there.
TEST(CrashPointByKill, EveryPacketIsInOnePlaceAfterARecoveryFromIt) {
  constexpr std::uint32_t kKills = 5;
  for (const CrashScenario& scenario : scenarios()) {
    if (scenario.options.ring_size > 16) continue;  // thousands of steps for each kill
    const CrashReport report = CrashWorld(scenario).kill_for_real(kKills);
    if (!report.traceable) GTEST_SKIP() << "this process may not ptrace its child";
    EXPECT_TRUE(report.clean()) << report.first_error;
    EXPECT_EQ(report.n_points, kKills);
  }
}

/// Where nothing is held or originated, an idempotent NF's crash loses nothing.
TEST(CrashPointIdempotent, LosesNothing) {
  for (CrashScenario& scenario : scenarios()) {
    if (scenario.name != "ThreeDestinationsInterleavedAndDrops" &&
        scenario.name != "DestinationNearlyFull" && scenario.name != "TwoSourcesOneAfterTheOther")
      continue;
    scenario.idempotent = true;
    const CrashReport report = CrashWorld(scenario).recover_at_every_step();
    if (!report.traceable) GTEST_SKIP() << "this process may not ptrace its child";
    EXPECT_TRUE(report.clean()) << report.first_error;
    EXPECT_EQ(report.most_recovered, 0u) << scenario.name;
  }
}

CrashReport with_hidden_page(const char* name) {
  for (CrashScenario& scenario : scenarios()) {
    if (scenario.name != name) continue;
    scenario.hide_page = true;
    return CrashWorld(scenario).recover_at_every_step();
  }
  return {};
}

/// What the checks are worth: without the ledger they must fail.
TEST(CrashPointCheck, FindsPacketsTwiceWhenThereIsNoLedger) {
  const CrashReport report = with_hidden_page("ThreeDestinationsInterleavedAndDrops");
  if (!report.traceable) GTEST_SKIP() << "this process may not ptrace its child";
  EXPECT_GT(report.n_twice, 0u);
}

TEST(CrashPointCheck, FindsPacketsLostWhenThereIsNoHeldArea) {
  const CrashReport report = with_hidden_page("HoldingSome");
  if (!report.traceable) GTEST_SKIP() << "this process may not ptrace its child";
  EXPECT_GT(report.n_lost, 0u);
}

}  // namespace
}  // namespace hb::test
