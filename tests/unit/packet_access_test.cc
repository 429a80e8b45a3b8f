// The accessors of kernels/packet.h, on the host: every access is checked against the slot.
#define HB_KERNEL_ON_HOST
#include "kernels/packet.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace hb::test {
namespace {

constexpr u32 kFirst = 128, kLimit = 1024, kStride = 2048;

class PacketAccess : public ::testing::Test {
 protected:
  PacketAccess() : region_(3 * kStride, 0xee) {
    round_.region = region_.data();
    round_.slots = &slot_;
    round_.results = &result_;
    round_.region_bytes = region_.size();
    round_.packet_first = kFirst;
    round_.packet_limit = kLimit;
    round_.n_lanes = 1;
  }
  HbPacket packet(u32 offset, u32 length) {
    slot_ = HB_SLOT(kStride / 64, length, offset);
    return hb_packet(&round_, 0);
  }
  u64 answer(const HbPacket& packet) {
    hb_answer(&round_, 0, &packet, HB_VERDICT_NEXT, 0);
    return result_;
  }
  static constexpr u64 kRefused = HB_RESULT(HB_VERDICT_DROP, 0, 0, 0, 0, HB_DROP_REFUSED_ACCESS);

  std::vector<u8> region_;
  HbRound round_{};
  u64 slot_ = 0;
  u64 result_ = 0;
};

TEST_F(PacketAccess, NumbersAreInNetworkOrder) {
  HbPacket p = packet(301, 60);
  hb_store32(&p, 3, 0x01020304);
  EXPECT_EQ(region_[kStride + 304], 1);
  EXPECT_EQ(hb_load32(&p, 3), 0x01020304u);
  EXPECT_EQ(hb_load16(&p, 4), 0x0203u);
  EXPECT_EQ(hb_load8(&p, 6), 4u);
  hb_store16(&p, 58, 0xabcd);
  hb_store8(&p, 0, 7);
  EXPECT_EQ(hb_load16(&p, 58), 0xabcdu);
  EXPECT_EQ(answer(p), HB_RESULT_UNCHANGED(slot_, 0));
}

TEST_F(PacketAccess, WhatIsOutsideReadsZeroWritesNothingAndDropsThePacket) {
  for (const u32 at : {57u, 60u, 61u, 0x7fffffffu, 0xfffffffcu, 0xffffffffu}) {
    HbPacket p = packet(300, 60);
    EXPECT_EQ(hb_load32(&p, at), 0u) << at;
    EXPECT_EQ(answer(p), kRefused) << at;
    p = packet(300, 60);
    hb_store32(&p, at, 0x55555555);
    EXPECT_EQ(answer(p), kRefused) << at;
  }
  EXPECT_EQ(std::count(region_.begin(), region_.end(), 0xee), std::ssize(region_));
}

TEST_F(PacketAccess, SlotsThatNameNoPacketCantBeTouched) {
  for (const auto& [offset, length] : std::initializer_list<std::pair<u32, u32>>{
           {kFirst - 1, 10}, {kLimit - 9, 10}, {0, 0}, {0xffff, 0xffff}, {kLimit + 1, 0}}) {
    HbPacket p = packet(offset, length);
    EXPECT_EQ(hb_length(&p), 0u);
    EXPECT_FALSE(hb_grow_front(&p, 1));
    EXPECT_EQ(answer(p), kRefused);
  }
  slot_ = HB_SLOT(region_.size() / 64, 10, kFirst);  // behind the region
  HbPacket beyond = hb_packet(&round_, 0);
  EXPECT_EQ(answer(beyond), kRefused);
  slot_ = 0;
  const HbPacket dummy = hb_packet(&round_, 0);
  EXPECT_FALSE(hb_is_packet(&dummy));
  EXPECT_EQ(answer(dummy), 0u);
}

TEST_F(PacketAccess, APacketGrowsAsFarAsDeclaredAndItsBufferHasRoom) {
  round_.grows_front = 20;
  round_.grows_back = 16;
  HbPacket p = packet(300, 60);
  EXPECT_TRUE(hb_grow_front(&p, 20));
  EXPECT_TRUE(hb_grow_back(&p, 16));
  EXPECT_EQ(answer(p), HB_RESULT(HB_VERDICT_NEXT, 0, 96, 280, 0, 0));
  EXPECT_FALSE(hb_grow_front(&p, 1));
  EXPECT_EQ(answer(p), kRefused);
  p = packet(kFirst + 4, kLimit - kFirst - 8);
  EXPECT_TRUE(hb_grow_front(&p, 4));
  EXPECT_TRUE(hb_grow_back(&p, 4));
  EXPECT_FALSE(hb_grow_back(&p, 1));
  p = packet(300, 60);
  EXPECT_TRUE(hb_cut_front(&p, 10));
  EXPECT_TRUE(hb_cut_back(&p, 30));
  EXPECT_EQ(answer(p), HB_RESULT(HB_VERDICT_NEXT, 0, 30, 310, 0, 0));
  EXPECT_FALSE(hb_cut_front(&p, 31));
}

TEST_F(PacketAccess, TheTableEndsWhereItEnds) {
  const std::vector<u32> table = {7, 8, 9};
  round_.table = reinterpret_cast<const u8*>(table.data());
  round_.table_bytes = 11;  // its last word is not whole
  EXPECT_EQ(hb_table32(&round_, 1), 8u);
  EXPECT_EQ(hb_table32(&round_, 2), 0u);
  EXPECT_EQ(hb_table32(&round_, 0xffffffff), 0u);
}

TEST_F(PacketAccess, NoSequenceOfAccessesLeavesTheBuffer) {
  std::mt19937 random(5);
  round_.grows_front = 64;
  round_.grows_back = 64;
  for (int trial = 0; trial < 100'000; ++trial) {
    std::fill(region_.begin(), region_.end(), 0xee);
    HbPacket p = packet(random() % 1100, random() % 1100);
    for (int step = 0; step < 6; ++step) {
      const u32 n = random() % 4 == 0 ? random() : random() % 200;
      switch (random() % 6) {
        case 0:
          hb_store32(&p, n, 0);
          break;
        case 1:
          hb_store8(&p, n, 0);
          break;
        case 2:
          hb_grow_front(&p, n);
          break;
        case 3:
          hb_grow_back(&p, n);
          break;
        case 4:
          hb_cut_front(&p, n);
          break;
        default:
          hb_cut_back(&p, n);
          break;
      }
    }
    if (trial % 100 != 0) continue;  // looking at every byte takes longer than the accesses
    for (u32 i = 0; i < region_.size(); ++i) {
      const bool in_buffer = i >= kStride + kFirst && i < kStride + kLimit;
      ASSERT_TRUE(in_buffer || region_[i] == 0xee) << "trial " << trial << " byte " << i;
    }
  }
}

}  // namespace
}  // namespace hb::test
