#include "nf_lib/restart_backoff.h"

#include <gtest/gtest.h>

namespace hb {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(RestartBackoff, StartsAtOnceAfterAHealthyLife) {
  RestartBackoff backoff;
  EXPECT_EQ(backoff.on_death(seconds(60)), milliseconds(0));
  EXPECT_EQ(backoff.on_death(seconds(10)), milliseconds(0));
}

TEST(RestartBackoff, DoublesUpToTenSecondsWhileLivesAreShort) {
  RestartBackoff backoff;
  EXPECT_EQ(backoff.on_death(seconds(3)), milliseconds(0));
  for (const int ms : {100, 200, 400, 800, 1600, 3200, 6400, 10'000, 10'000})
    EXPECT_EQ(backoff.on_death(seconds(3)), milliseconds(ms));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(backoff.on_death(seconds(3)), seconds(10));
}

TEST(RestartBackoff, IsForgottenAfterAHealthyLife) {
  RestartBackoff backoff;
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(backoff.on_death(seconds(1)));
  EXPECT_EQ(backoff.on_death(seconds(10)), milliseconds(0));
  EXPECT_EQ(backoff.on_death(seconds(1)), milliseconds(100));
}

TEST(RestartBackoff, FiveDeathsSoonAfterTheStartAreACrashLoop) {
  RestartBackoff backoff;
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(backoff.on_death(milliseconds(1999)));
  EXPECT_EQ(backoff.on_death(milliseconds(5)), std::nullopt);
}

TEST(RestartBackoff, ALongerLifeBreaksTheLoop) {
  RestartBackoff backoff;
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(backoff.on_death(milliseconds(100)));
    ASSERT_TRUE(backoff.on_death(seconds(2)));
  }
}

TEST(RestartBackoff, WaitsNoLongerThanItIsTold) {
  RestartBackoff backoff(milliseconds(150), RestartBackoff::kLoop);
  for (const int ms : {0, 100, 150, 150}) EXPECT_EQ(backoff.on_death(seconds(3)), milliseconds(ms));
}

TEST(RestartBackoff, WithoutALimitNoLoopIsACrashLoop) {
  RestartBackoff backoff(milliseconds(0), 0);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(backoff.on_death(milliseconds(1)), milliseconds(0));
}

}  // namespace
}  // namespace hb
