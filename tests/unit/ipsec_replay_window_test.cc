#include "nf_lib/esp/replay_window.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <set>

#include "nf_lib/surviving.h"

namespace hb::ipsec {
namespace {

/// RFC 4303's rules by a set of numbers.
struct Model {
  std::set<std::uint64_t> seen;
  std::uint64_t top = 0;
  bool may_pass(std::uint64_t n, std::uint32_t size) const {
    return n != 0 && (n > top || top - n < size) && seen.count(n) == 0;
  }
  bool mark(std::uint64_t n, std::uint32_t size) {
    if (!may_pass(n, size)) return false;
    seen.insert(n);
    top = std::max(top, n);
    return true;
  }
};

TEST(ReplayWindow, AgreesWithASetOfNumbers) {
  for (const std::uint32_t size : {1u, 31u, 32u, 64u, 100u, 1024u, 4096u}) {
    std::mt19937 rng(size);
    auto window = std::make_unique<ReplayWindow>();
    Model model;
    std::uint64_t near = 1;
    for (int trial = 0; trial < 100'000; ++trial) {
      const unsigned kind = rng() % 100;
      if (kind == 0)
        near += rng() % 20'000;  // a jump past the window
      else if (kind == 1 && near < 0xc00000000)
        near += 0x100000000ull;  // past the low half
      else if (kind < 40)
        ++near;
      const std::uint64_t back = rng() % (size + size / 4 + 2);
      const std::uint64_t n = near > back ? near - back : 0;
      const bool passes = model.may_pass(n, size);
      ASSERT_EQ(window->may_pass(n, size), passes) << "size " << size << " trial " << trial;
      ASSERT_EQ(window->mark(n, size), model.mark(n, size))
          << "size " << size << " trial " << trial;
      if (model.seen.size() > 3 * size + 100)
        model.seen.erase(
            model.seen.begin(),
            model.seen.lower_bound(model.top > 2ull * size ? model.top - 2ull * size : 0));
    }
  }
}

TEST(ReplayWindow, InfersTheHighHalf) {
  for (const std::uint32_t size : {64u, 4096u}) {
    std::mt19937 rng(7);
    for (int trial = 0; trial < 20'000; ++trial) {
      ReplayWindow window;
      const std::uint64_t top =
          (std::uint64_t{rng() % 4} << 32) + (trial % 2 != 0 ? rng() : rng() % 10'000) + size;
      window.start_after(top);
      // Whatever lies in the window or less than 2^31 ahead is told right: appendix A2.
      const std::uint64_t n = trial % 3 == 0 ? top - rng() % size : top + rng() % 0x7fffffff;
      ASSERT_EQ(window.infer(static_cast<std::uint32_t>(n), size), n) << top << ' ' << size;
    }
  }
  ReplayWindow fresh;
  EXPECT_EQ(fresh.infer(0xffffffff, 64), std::nullopt) << "before the first number";
}

TEST(ReplayWindow, StartsAfterWhatHasCome) {
  for (const std::uint64_t top : {1ull, 31ull, 32ull, 5000ull, 0x1234567890ull}) {
    ReplayWindow window;
    window.start_after(top);
    EXPECT_EQ(window.top(), top);
    for (std::uint64_t n = top > 5000 ? top - 5000 : 0; n <= top; ++n)
      ASSERT_FALSE(window.may_pass(n, 4096)) << n;
    for (std::uint64_t n = top + 1; n < top + 100; ++n) ASSERT_TRUE(window.mark(n, 4096)) << n;
    window.start_after(top);
    EXPECT_EQ(window.top(), top + 99) << "never back";
  }
}

TEST(ReservedCounter, NeverGivesANumberTwice) {
  std::atomic<std::uint64_t> word{0};
  std::set<std::uint64_t> seen;
  std::mt19937 rng(3);
  for (int life = 0; life < 1000; ++life) {
    ReservedCounter counter(&word, 1 + rng() % 50);
    ReservedCounter other(&word, 7);
    for (unsigned n = rng() % 200; n != 0; --n)
      ASSERT_TRUE(seen.insert(rng() % 3 == 0 ? other.next() : counter.next()).second);
    if (rng() % 2 != 0) counter.give_back();
    if (rng() % 2 != 0) other.give_back();
  }
  std::atomic<std::uint64_t> exact{0};
  for (std::uint64_t i = 0; i < 100; ++i) {
    ReservedCounter counter(&exact, 1000);
    EXPECT_EQ(counter.next(), i) << "no gap after a clean end";
    counter.give_back();
  }
}

}  // namespace
}  // namespace hb::ipsec
