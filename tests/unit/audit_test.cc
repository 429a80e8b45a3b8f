// The auditor over a real packet pool in a region of plain memory. EAL without hugepages.
#include "manager/audit.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/interprocess/file_mapping.hpp>
#include <boost/interprocess/mapped_region.hpp>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "nf_lib/packet_meta.h"
#include "nf_lib/ring.h"
#include "tests/unit/packet_region.h"

namespace hb::test {
namespace {

namespace bip = boost::interprocess;

constexpr std::uint32_t kPackets = PacketRegion::kPackets;
constexpr ContextId kNf{1};
constexpr EndpointId kEndpoint{1};

class AuditTest : public EalTest {
 protected:
  static void SetUpTestSuite() {
    EalTest::SetUpTestSuite();
    platform_ = new Platform;
    platform_->view.region = PacketRegion::shared().view;
    platform_->pool = std::move(PacketRegion::shared().pool);
    platform_->book = std::make_unique<PacketBook>(kPackets);
    platform_->view.check = PacketCheck(platform_->view.region.layout(), platform_->pool->layout());
  }
  static void TearDownTestSuite() {
    PacketRegion::shared().pool = std::move(platform_->pool);
    delete platform_;
    platform_ = nullptr;
  }
  void SetUp() override {
    ASSERT_NE(platform_, nullptr);
    ASSERT_EQ(platform_->pool->n_free(), kPackets);
  }
  void TearDown() override {
    platform_->instances.clear();
    platform_->view.region.format();
    for (rte_mbuf* const mbuf : out_) {
      platform_->book->take_home(number(mbuf));
      rte_mempool_put(platform_->pool->mempool(), mbuf);
    }
  }

  static std::uint32_t number(const rte_mbuf* mbuf) { return platform_->view.check.number(mbuf); }
  /// A packet out of the pool, as if it had been received.
  rte_mbuf* receive(PacketState state = PacketState::kRx) {
    void* object = nullptr;
    EXPECT_EQ(rte_mempool_get(platform_->pool->mempool(), &object), 0);
    out_.push_back(static_cast<rte_mbuf*>(object));
    platform_->book->set_out(number(out_.back()), state);
    return out_.back();
  }
  static rte_ring* ring(EndpointId to = kEndpoint) { return platform_->view.region.ring(to, kNf); }
  static void put(rte_ring* into, const void* pointer) {
    ASSERT_EQ(rte_ring_sp_enqueue(into, const_cast<void*>(pointer)), 0);
  }
  static AuditReport audit(bool ports_closed = false) {
    return audit_packets(*platform_, ports_closed);
  }
  /// Gives the platform an instance with a page of its own.
  ContextPage* make_instance() {
    char path[] = "/tmp/hb-audit-XXXXXX";
    const int fd = mkstemp(path);
    EXPECT_EQ(ftruncate(fd, sizeof(ContextPage)), 0);
    close(fd);
    bip::mapped_region mapped(bip::file_mapping(path, bip::read_write), bip::read_write);
    auto* const page = static_cast<ContextPage*>(mapped.get_address());
    auto instance = std::make_unique<Instance>();
    instance->pidfd = 0;  // alive; nobody closes it
    instance->page = std::make_unique<ContextFile>(path, "context", std::move(mapped));
    platform_->instances.push_back(std::move(instance));
    return page;
  }
  static void hold(ContextPage* page, std::uint32_t slot, const void* pointer) {
    page->held[slot] = reinterpret_cast<std::uint64_t>(pointer);
  }

  inline static Platform* platform_ = nullptr;
  std::vector<rte_mbuf*> out_;
};

TEST_F(AuditTest, AllPacketsAtHomeAreInThePool) {
  const AuditReport report = audit(true);
  EXPECT_TRUE(report.ok);
  EXPECT_TRUE(report.quiesced);
  EXPECT_EQ(report.pool, kPackets);
  EXPECT_EQ(report.in_flight(), 0u);
}

TEST_F(AuditTest, PlacesPacketsInEachKindOfPlace) {
  for (int i = 0; i < 5; ++i) put(ring(), receive());
  peek(ring(), ring()->size, 2);
  put(ring(kReclaimer), receive());
  rte_ring* const fill = platform_->view.region.ring(platform_->view.region.fill_ring_id(kNf));
  for (int i = 0; i < 3; ++i) put(fill, receive(PacketState::kFilled));
  ContextPage* const page = make_instance();
  hold(page, 0, receive());
  hold(page, kHeldSlots - 1, receive());
  const RegionView& region = platform_->view.region;
  const auto units =
      static_cast<u32>((reinterpret_cast<std::byte*>(receive()) - region.base()) / 64);
  HbQueueControl* const control = region.queue_control(1);
  control->drained.value = 0xffffffff;  // slots 0xffffffff % n and 0; the first is a dummy
  control->filled.value = 1;
  region.slots(1)[0] = HB_SLOT(units, 64, 256);

  const AuditReport report = audit();
  EXPECT_TRUE(report.ok) << to_json(report).dump();
  EXPECT_TRUE(report.quiesced);
  EXPECT_EQ(report.burst, 2u);
  EXPECT_EQ(report.ring, 4u);
  EXPECT_EQ(report.held, 2u);
  EXPECT_EQ(report.slot, 1u);
  EXPECT_EQ(report.pool, kPackets - 12);
  EXPECT_EQ(report.in_flight(), 9u) << "what waits to be originated is nobody's yet";
  EXPECT_EQ(report.port, 0u);
}

TEST_F(AuditTest, PacketsThatAPortHasAreLostOnlyOnceItIsClosed) {
  const PacketState home = PacketState::kHome;
  receive(home);
  receive(home);
  EXPECT_TRUE(audit(false).ok);
  EXPECT_EQ(audit(false).port, 2u);
  EXPECT_FALSE(audit(true).ok);
  EXPECT_EQ(audit(true).lost, 2u);
}

TEST_F(AuditTest, FindsAPacketThatIsNowhere) {
  put(ring(), receive());
  receive();
  const AuditReport report = audit();
  EXPECT_FALSE(report.ok);
  EXPECT_EQ(report.lost, 1u);
  EXPECT_EQ(report.ring, 1u);
}

TEST_F(AuditTest, FindsAPacketInTwoRings) {
  rte_mbuf* const mbuf = receive();
  put(ring(), mbuf);
  put(ring(kReclaimer), mbuf);
  const AuditReport report = audit();
  EXPECT_FALSE(report.ok);
  EXPECT_EQ(report.duplicate, 1u);
  EXPECT_EQ(report.lost, 0u);
}

TEST_F(AuditTest, FindsAPacketThatWasReturnedAndIsStillInARing) {
  rte_mbuf* const mbuf = receive();
  platform_->book->take_home(number(mbuf));
  put(ring(), mbuf);
  const AuditReport report = audit();
  EXPECT_FALSE(report.ok);
  EXPECT_EQ(report.duplicate, 1u);
}

TEST_F(AuditTest, FindsAHeldPacketThatIsInARingToo) {
  rte_mbuf* const mbuf = receive();
  put(ring(), mbuf);
  hold(make_instance(), 3, mbuf);
  EXPECT_EQ(audit().duplicate, 1u);
}

TEST_F(AuditTest, AHeldPacketInTheBurstsWindowIsHeld) {
  rte_mbuf* const mbuf = receive();
  put(ring(), mbuf);
  put(ring(), receive());
  peek(ring(), ring()->size);
  hold(make_instance(), 3, mbuf);
  const AuditReport report = audit();
  EXPECT_TRUE(report.ok);
  EXPECT_EQ(report.held, 1u);
  EXPECT_EQ(report.burst, 1u);
}

TEST_F(AuditTest, WhatADeadProcessHeldHasBeenRecovered) {
  ContextPage* const page = make_instance();
  rte_mbuf* const mbuf = receive();
  put(ring(kReclaimer), mbuf);
  hold(page, 0, mbuf);
  platform_->instances.back()->pidfd = -1;
  EXPECT_TRUE(audit().ok);
}

TEST_F(AuditTest, IsNotQuiescedWhileAnNfIsInsideABurst) {
  ContextPage* const page = make_instance();
  page->bursts = 7;
  EXPECT_FALSE(audit().quiesced);
  page->bursts = 8;
  EXPECT_TRUE(audit().quiesced);
}

TEST_F(AuditTest, APacketThatIsBeingTakenBackIsNotInTwoPlaces) {
  put(ring(), receive());
  platform_->book->take_home(number(out_.back()));  // and the ring's slot is not given back yet
  platform_->flow.tx_returns[0].bursts = 7;
  AuditReport report = audit();
  EXPECT_FALSE(report.quiesced);
  EXPECT_TRUE(report.ok);
  platform_->flow.tx_returns[0].bursts = 8;
  report = audit();
  EXPECT_TRUE(report.quiesced);
  EXPECT_EQ(report.duplicate, 1u);
}

TEST_F(AuditTest, FindsPointersThatNameNoPacket) {
  put(ring(), nullptr);
  put(ring(), reinterpret_cast<std::byte*>(receive()) + 64);
  hold(make_instance(), 0, platform_);
  const AuditReport report = audit();
  EXPECT_FALSE(report.ok);
  EXPECT_EQ(report.foreign, 3u);
  EXPECT_EQ(report.lost, 1u);
}

TEST_F(AuditTest, FindsRingsAndQueuesWhoseIndicesAreImpossible) {
  ring()->prod.tail = 1000;
  ring(kReclaimer)->cons.head = 7;
  platform_->view.region.queue_control(0)->filled.value = 1000;
  EXPECT_EQ(audit().foreign, 3u);
}

TEST_F(AuditTest, ReportsItselfAsJson) {
  receive();
  const nlohmann::json json = to_json(audit());
  EXPECT_EQ(json["ok"], false);
  EXPECT_EQ(json["lost"], 1);
  EXPECT_EQ(json["placed"]["pool"], kPackets - 1);
}

/// What a wild write does to a packet's header costs nothing but that packet.
TEST_F(AuditTest, AHeaderIsRebuiltFromThePacketsAddress) {
  rte_mbuf* const mbuf = receive();
  const rte_mbuf good = *mbuf;
  std::memset(static_cast<void*>(mbuf), 0xee, sizeof(*mbuf));
  platform_->pool->rebuild_header(mbuf);
  EXPECT_EQ(mbuf->buf_addr, good.buf_addr);
  EXPECT_EQ(mbuf->buf_len, good.buf_len);
  EXPECT_EQ(mbuf->pool, good.pool);
  EXPECT_EQ(mbuf->next, nullptr);
  EXPECT_EQ(mbuf->nb_segs, 1);
  EXPECT_EQ(rte_mbuf_refcnt_read(mbuf), 1);
  EXPECT_EQ(mbuf->ol_flags, 0u);
  EXPECT_EQ(rte_mbuf_iova_get(mbuf), rte_mbuf_iova_get(&good));
}

TEST_F(AuditTest, EveryPacketOfThePoolHasANumberOfItsOwn) {
  std::vector<bool> seen(kPackets);
  for (std::uint32_t i = 0; i < kPackets; ++i) {
    const std::uint32_t n = number(receive());
    ASSERT_LT(n, kPackets);
    EXPECT_FALSE(seen[n]);
    seen[n] = true;
  }
}

}  // namespace
}  // namespace hb::test
