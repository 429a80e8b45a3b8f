#include "nf_lib/ledger.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>

namespace hb::test {
namespace {

LedgerRecord record(std::uint32_t n) {
  return {.source = Place::ring(n),
          .source_tail = n + 1,
          .destination = Place::queue(n + 2),
          .destination_tail = n + 3,
          .done = n + 4,
          .mask = ~std::uint64_t{n}};
}
bool same(const LedgerRecord& a, const LedgerRecord& b) {
  return a.source == b.source && a.source_tail == b.source_tail && a.destination == b.destination &&
         a.destination_tail == b.destination_tail && a.done == b.done && a.mask == b.mask;
}

TEST(Ledger, NamesNothingBeforeTheFirstWrite) {
  const auto ledger = std::make_unique<Ledger>();
  LedgerRecord read{};
  EXPECT_FALSE(ledger->read(read));
}

/// A page fresh from the kernel is all zero bytes.
TEST(Ledger, OfZeroBytesNamesNothing) {
  alignas(Ledger) std::byte bytes[sizeof(Ledger)];
  std::memset(bytes, 0, sizeof(bytes));
  LedgerRecord read{};
  EXPECT_FALSE(reinterpret_cast<const Ledger*>(bytes)->read(read));
  EXPECT_EQ(reinterpret_cast<const Ledger*>(bytes)->held_generation(), 0u);
}

TEST(Ledger, NamesTheLastRecord) {
  const auto ledger = std::make_unique<Ledger>();
  for (std::uint32_t n = 0; n < 5; ++n) {
    ledger->write(record(n));
    LedgerRecord read{};
    ASSERT_TRUE(ledger->read(read));
    EXPECT_TRUE(same(read, record(n))) << n;
  }
}

/// The record before the last stays whole while the next is written: at every byte of that write
/// the ledger still names it.
TEST(Ledger, KeepsTheNamedRecordWhileTheNextIsWritten) {
  const auto ledger = std::make_unique<Ledger>();
  ledger->write(record(1));
  const auto before = std::make_unique<Ledger>();
  std::memcpy(static_cast<void*>(before.get()), ledger.get(), sizeof(Ledger));
  ledger->write(record(2));
  // Which bytes did the second write change, but for the sequence word, which is last?
  auto* const old_bytes = reinterpret_cast<std::byte*>(before.get());
  const auto* const new_bytes = reinterpret_cast<const std::byte*>(ledger.get());
  std::size_t n_changed = 0;
  for (std::size_t at = 0; at < 128 + 2 * sizeof(LedgerRecord); ++at) {
    if (old_bytes[at] == new_bytes[at]) continue;
    old_bytes[at] = new_bytes[at];
    ++n_changed;
    LedgerRecord read{};
    ASSERT_TRUE(before->read(read));
    ASSERT_TRUE(same(read, record(1))) << "byte " << at;
  }
  EXPECT_GT(n_changed, 5u);
}

TEST(Ledger, GenerationCountsReleases) {
  const auto ledger = std::make_unique<Ledger>();
  ledger->bump_held_generation();
  ledger->bump_held_generation();
  EXPECT_EQ(ledger->held_generation(), 2u);
}

TEST(Place, KeepsKindAndIndex) {
  EXPECT_EQ(Place::ring(77).kind(), PlaceKind::kRing);
  EXPECT_EQ(Place::ring(77).index(), 77u);
  EXPECT_EQ(Place::queue(77).kind(), PlaceKind::kQueue);
  EXPECT_EQ(Place::queue(77).index(), 77u);
  EXPECT_EQ(Place::held().kind(), PlaceKind::kHeld);
  EXPECT_EQ(Place{}.kind(), PlaceKind::kNone);
  EXPECT_NE(Place::ring(0), Place::queue(0));
  EXPECT_NE(Place::ring(0), Place{});
}

}  // namespace
}  // namespace hb::test
