// An RX thread between a gen: port and a port's ring, step by step. EAL without hugepages.
#include "manager/rx_thread.h"

#include <gtest/gtest.h>
#include <rte_dev.h>

#include <memory>
#include <vector>

#include "manager/route_tables.h"
#include "tests/unit/packet_region.h"

namespace hb::test {
namespace {

constexpr ContextId kRx{1};
constexpr EndpointId kPort{1};

class RxThreadTest : public EalTest {
 protected:
  void SetUp() override {
    PacketRegion& packets = PacketRegion::shared();
    packet_meta_offset = rte_mbuf_dynfield_register(&kPacketMetaField);
    packets.view.format();
    const auto specs = parse_port_specs({"gen:size=64"}, PacketRegion::kDataRoom);
    ASSERT_TRUE(specs) << specs.error().line();
    device_ = specs->at(0).device;
    ASSERT_EQ(rte_eal_hotplug_add("vdev", device_.c_str(), "size=14"), 0);
    auto ports =
        open_ports(*specs, {.pool = packets.pool->mempool(), .packets = packets.pool.get()});
    ASSERT_TRUE(ports) << ports.error().line();
    ports_ = std::move(*ports);
    registry_->n_ports = 1;
    const auto table = std::make_unique<RouteTable>();
    table->port_endpoint[0] = static_cast<std::uint16_t>(kPort.value);
    for (auto& row : table->next) row[kRxRow] = make_hop(HopKind::kPort, 0);
    publish_routes(*routes_, 0, *table);
    flow_->plans[0].paused = false;
    const PlatformView view{.region = packets.view,
                            .registry = registry_.get(),
                            .routes = routes_.get(),
                            .check = PacketCheck(packets.view.layout(), packets.pool->layout())};
    rx_ = std::make_unique<RxThread>(RxSetup{.context = kRx,
                                             .view = view,
                                             .ports = &ports_,
                                             .pool = packets.pool.get(),
                                             .book = &book_,
                                             .flow = flow_.get()});
  }
  void TearDown() override {
    flow_->quit = true;
    rx_->run();  // what it still holds goes back
    const RegionView& region = PacketRegion::shared().view;
    rte_ring* const ring = region.ring(kPort, kRx);
    for (void* object = nullptr; rte_ring_sc_dequeue(ring, &object) == 0;) {
      auto* const mbuf = static_cast<rte_mbuf*>(object);
      PacketRegion::shared().pool->put_as_they_are(&mbuf, 1);
    }
    EXPECT_TRUE(close_ports(ports_).ok());
    rte_eal_hotplug_remove("vdev", device_.c_str());
    EXPECT_EQ(PacketRegion::shared().pool->n_free(), PacketRegion::kPackets);
  }

  /// What RX does from its next pass on.
  void follow(std::uint64_t affected) {
    const std::uint32_t next = flow_->command.load() + 1;
    flow_->plans[next & 1] = {.paused = false, .affected = affected};
    flow_->command.store(next);
  }

  std::unique_ptr<Registry> registry_ = std::make_unique<Registry>();
  std::unique_ptr<RouteTables> routes_ = std::make_unique<RouteTables>();
  std::unique_ptr<FlowControl> flow_ = std::make_unique<FlowControl>();
  PacketBook book_{PacketRegion::kPackets};
  std::vector<Port> ports_;
  std::string device_;
  std::unique_ptr<RxThread> rx_;
};

/// Any process can write to it while it waits.
TEST_F(RxThreadTest, AHeldPacketsPortIsNotBelieved) {
  follow(1);
  ASSERT_TRUE(rx_->poll_once());
  const HoldQueue& held = rx_->hold_queue();
  ASSERT_EQ(held.size(), kMaxBurst);
  for (std::uint32_t i = 0; i < held.size(); ++i) held.at(i)->port = 0xffff;
  follow(0);
  EXPECT_TRUE(rx_->poll_once());
  EXPECT_EQ(rte_ring_count(PacketRegion::shared().view.ring(kPort, kRx)), kMaxBurst - 1)
      << "as many as its slots hold";
}

}  // namespace
}  // namespace hb::test
