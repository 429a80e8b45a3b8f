#include "manager/stall_clock.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <future>
#include <thread>

namespace hb {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPeriod{50};

TEST(StallClock, OnlyCountsWhilePacketsWaitAndNothingMoves) {
  StallClock clock;
  EXPECT_FALSE(clock.is_stalled(7, true)) << "it has moved since the start";
  EXPECT_TRUE(clock.is_stalled(7, true));
  EXPECT_FALSE(clock.is_stalled(7, false));
  EXPECT_FALSE(clock.is_stalled(7, true)) << "what waits now may have come just now";
  EXPECT_TRUE(clock.is_stalled(7, true));
  EXPECT_FALSE(clock.is_stalled(8, true));
}

TEST(StallClock, AddsUpASleepingProcessTime) {
  StallClock clock;
  const TaskLook asleep{.state = 'S', .cpu = milliseconds(10)};
  clock.is_stalled(1, true);
  for (int look = 1; look <= 4; ++look) {
    ASSERT_TRUE(clock.is_stalled(1, true));
    EXPECT_EQ(clock.add(kPeriod, asleep), look * kPeriod);
  }
  clock.is_stalled(2, true);
  clock.is_stalled(2, true);
  EXPECT_EQ(clock.add(kPeriod, asleep), kPeriod) << "progress starts it anew";
}

TEST(StallClock, AProcessThatGetsNoCpuIsNotHung) {
  StallClock clock;
  clock.is_stalled(1, true);
  milliseconds stalled{0};
  for (int look = 0; look < 100; ++look)
    stalled = clock.add(kPeriod, {.state = 'R', .cpu = milliseconds(500)});
  EXPECT_EQ(stalled, milliseconds(0));
}

TEST(StallClock, AnEndlessLoopCountsByItsCpuTime) {
  StallClock clock;
  clock.is_stalled(1, true);
  clock.add(kPeriod, {.state = 'R', .cpu = milliseconds(500)});
  EXPECT_EQ(clock.add(kPeriod, {.state = 'R', .cpu = milliseconds(530)}), milliseconds(30));
  EXPECT_EQ(clock.add(kPeriod, {.state = 'R', .cpu = milliseconds(900)}), milliseconds(80))
      << "at most the time between two looks";
}

TEST(LookAtTask, SeesThisProcess) {
  const auto look = look_at_task(getpid());
  ASSERT_TRUE(look);
  EXPECT_EQ(look->state, 'R');
  EXPECT_FALSE(look_at_task(0x7ffffff0));
}

TEST(LookAtTask, SeesTheThreadThatIsNamed) {
  std::promise<int> number;
  std::promise<void> end;
  const std::jthread sleeper([&] {
    number.set_value(gettid());
    end.get_future().wait();
  });
  const int thread = number.get_future().get();
  while (look_at_task(getpid(), thread)->state != 'S') {
  }
  EXPECT_EQ(look_at_task(getpid(), 0x7ffffff0)->state, 'R') << "no such thread: the main one";
  end.set_value();
}

TEST(LookAtTask, AProcessMayGoWhileItIsLookedAt) {
  for (int process = 0; process < 200; ++process) {
    const pid_t pid = fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) _exit(0);
    const std::jthread reaper([pid] { waitpid(pid, nullptr, 0); });
    while (look_at_task(pid)) {
    }
  }
}

}  // namespace
}  // namespace hb
