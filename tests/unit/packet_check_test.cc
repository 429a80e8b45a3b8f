#include <gtest/gtest.h>

#include <random>
#include <unordered_map>

#include "nf_lib/mbuf_check.h"

namespace hb::test {
namespace {

struct Shape {
  std::uint64_t page_bytes;
  std::uint64_t n_pages;  ///< of the packet part
  std::uint32_t stride, first_bytes, first_page, size;
};

constexpr std::uint64_t kBase = 0x7000'0000'0000;

struct Checked {
  RegionLayout region{};
  PoolLayout pool{};
  PacketCheck check;
  [[nodiscard]] std::uint64_t address(std::uint32_t number) const {
    return kBase + region.packets + (pool.first_page + number / pool.per_page) * region.page_bytes +
           pool.first_bytes + std::uint64_t{number % pool.per_page} * pool.stride_bytes;
  }
  [[nodiscard]] std::uint32_t number(std::uint64_t address) const {
    return check.number(reinterpret_cast<const void*>(address));
  }
};

Checked make(const Shape& shape) {
  Checked made;
  made.region.page_bytes = shape.page_bytes;
  made.region.packets = 3 * shape.page_bytes;
  made.region.packet_bytes = shape.n_pages * shape.page_bytes;
  made.pool.stride_bytes = shape.stride;
  made.pool.first_bytes = shape.first_bytes;
  made.pool.first_page = shape.first_page;
  made.pool.per_page = static_cast<std::uint32_t>(shape.page_bytes / shape.stride);
  made.pool.size = shape.size;
  made.pool.data_room = 2048;
  made.pool.headroom = 128;
  made.pool.mbuf_bytes = sizeof(rte_mbuf);
  made.check = PacketCheck(made.region, made.pool, kBase);
  return made;
}

/// Brute force: every address from a page before the packets to a page behind them.
TEST(PacketCheck, KnowsEveryPacketAndNoOtherAddress) {
  for (const Shape& shape : {
           Shape{4096, 3, 320, 0, 0, 30},      // the last page is not full
           Shape{4096, 3, 320, 64, 0, 36},     // objects start behind a header, pages are full
           Shape{4096, 5, 192, 64, 2, 50},     // the pool's first block is not the first page
           Shape{4096, 4, 4032, 64, 1, 3},     // one packet a page
           Shape{4096, 2, 4096, 0, 0, 2},      // without a gap
           Shape{65536, 3, 2496, 64, 1, 51},   // the usual stride, which does not divide the page
           Shape{65536, 2, 10112, 64, 0, 12},  // jumbo frames
       }) {
    const Checked made = make(shape);
    std::unordered_map<std::uint64_t, std::uint32_t> packets;
    for (std::uint32_t i = 0; i < shape.size; ++i) packets[made.address(i)] = i;
    const std::uint64_t first = kBase + made.region.packets - shape.page_bytes;
    const std::uint64_t end = first + (shape.n_pages + 2) * shape.page_bytes;
    for (std::uint64_t at = first; at < end; ++at) {
      const auto known = packets.find(at);
      const std::uint32_t expected =
          known == packets.end() ? PacketCheck::kNotAPacket : known->second;
      ASSERT_EQ(made.number(at), expected) << "page " << shape.page_bytes << ", stride "
                                           << shape.stride << ", offset " << at - kBase;
    }
  }
}

/// The division by multiplication is exact up to the largest page that hardware has.
TEST(PacketCheck, IsExactInPagesOfOneGibibyte) {
  std::mt19937_64 rng(1 << 30);
  for (const std::uint32_t stride : {64u, 192u, 2368u, 2496u, 9216u, 65536u, 65600u}) {
    const auto per_page = static_cast<std::uint32_t>((1ull << 30) / stride);
    const std::uint32_t size = per_page + per_page / 2;
    const Checked made = make({1ull << 30, 3, stride, stride == 64 ? 0u : 64u, 1, size});
    const auto check = [&](std::uint32_t number) {
      const std::uint64_t at = made.address(number);
      ASSERT_EQ(made.number(at), number) << "stride " << stride;
      for (const std::uint64_t off :
           {std::uint64_t{1}, std::uint64_t{stride} - 1, 1 + rng() % (stride - 1)}) {
        ASSERT_FALSE(made.check.is_packet(reinterpret_cast<const void*>(at + off)))
            << "stride " << stride << ", packet " << number << " + " << off;
      }
    };
    for (const std::uint32_t number : {0u, 1u, per_page - 1, per_page, per_page + 1, size - 1})
      check(number);
    for (int trial = 0; trial < 20'000; ++trial) check(static_cast<std::uint32_t>(rng() % size));
    EXPECT_EQ(made.number(made.address(size)), PacketCheck::kNotAPacket);
  }
}

TEST(PacketCheck, RefusesPointersFromElsewhere) {
  const Checked made = make({4096, 3, 320, 0, 1, 20});
  for (const std::uint64_t at :
       {std::uint64_t{0}, std::uint64_t{1}, kBase, kBase + made.region.packets, ~std::uint64_t{0},
        kBase + (std::uint64_t{1} << 40), made.address(0) - 4096, made.address(0) - 320})
    EXPECT_EQ(made.number(at), PacketCheck::kNotAPacket) << at;
}

TEST(PacketCheck, OfNothingKnowsNoPacket) {
  const PacketCheck nothing;
  EXPECT_FALSE(nothing.is_packet(nullptr));
  EXPECT_FALSE(nothing.is_packet(&nothing));
}

TEST(PacketCheck, DataMustLieInTheBuffer) {
  const Checked made = make({4096, 3, 320, 0, 0, 20});
  rte_mbuf mbuf{};
  const auto ok = [&](std::uint16_t offset, std::uint16_t data, std::uint32_t packet) {
    mbuf.data_off = offset;
    mbuf.data_len = data;
    mbuf.pkt_len = packet;
    return made.check.data_ok(&mbuf);
  };
  EXPECT_TRUE(ok(128, 2048, 2048));
  EXPECT_TRUE(ok(0, 2176, 2176));
  EXPECT_TRUE(ok(2176, 0, 0));
  EXPECT_FALSE(ok(128, 2049, 2049));
  EXPECT_FALSE(ok(2177, 0, 0));
  EXPECT_FALSE(ok(65535, 65535, 65535));
  EXPECT_FALSE(ok(128, 64, 65));  // says it has more segments
  EXPECT_FALSE(ok(128, 64, 65536 + 64));
}

}  // namespace
}  // namespace hb::test
