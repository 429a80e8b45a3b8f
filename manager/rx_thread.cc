#include "manager/rx_thread.h"

#include <rte_ethdev.h>
#include <rte_mbuf_dyn.h>

#include <array>

#include "nf_lib/clock.h"

namespace hb {
namespace {

/// Records of one file that may be unreadable before it is given up.
constexpr std::uint64_t kMaxUnreadable = 1000;

/// Makes one segment of several where they fit the first one's room.
/// @return false if they do not; then only the first segment is left
bool make_single_segment(rte_mbuf* mbuf) noexcept {
  if (mbuf->nb_segs == 1 && mbuf->pkt_len == mbuf->data_len) return true;
  // Neither the length nor the segments can be believed alone: of a record of 64 KiB and more,
  // net_pcap states the length and fills segments with the length modulo 2^16. So the length must
  // fit before rte_pktmbuf_linearize, which reckons in 16 bits, sees the packet.
  std::uint32_t in_segments = 0;
  for (const rte_mbuf* segment = mbuf; segment != nullptr; segment = segment->next)
    in_segments += segment->data_len;
  if (in_segments == mbuf->pkt_len &&
      in_segments <= mbuf->data_len + std::uint32_t{rte_pktmbuf_tailroom(mbuf)} &&
      rte_pktmbuf_linearize(mbuf) == 0)
    return true;
  if (mbuf->next != nullptr) rte_pktmbuf_free(mbuf->next);
  mbuf->next = nullptr;
  mbuf->nb_segs = 1;
  mbuf->pkt_len = mbuf->data_len;
  return false;
}

}  // namespace

RxThread::RxThread(const RxSetup& setup)
    : setup_(setup),
      routes_(setup.view.routes, setup.view.registry, kRxRow),
      publisher_(setup.view.region, setup.context, &ledger_, setup.endpoint_service),
      idle_(setup.busy),
      counters_(setup.ports->size()),
      ended_(setup.ports->size(), false) {}

void RxThread::run() noexcept {
  RxWords& words = setup_.flow->rx[setup_.thread];
  // Acquire: pairs with the control thread's release store; it has published the routes by then.
  while (!setup_.flow->quit.load(std::memory_order_acquire)) {
    const std::uint32_t command = setup_.flow->rx_command.load(std::memory_order_acquire);
    // Release: pairs with the control thread's acquire load: all earlier packets are counted.
    words.seen.store(command, std::memory_order_release);
    bool worked = false;
    if ((command & 1) == 0) {
      for (std::size_t port = 0; port < setup_.ports->size(); ++port) worked |= poll_port(port);
    }
    if (worked)
      idle_.reset();
    else
      idle_.wait();
  }
}

bool RxThread::may_receive(const Port& port) const noexcept {
  if (!port.spec.lossless) return true;
  const FlowControl& flow = *setup_.flow;
  // Every thread keeps to its share, so that together they keep to the bound.
  return flow.on_the_way() + std::uint64_t{kMaxBurst} * flow.n_rx_threads <= flow.lossless_bound;
}

bool RxThread::poll_port(std::size_t port) noexcept {
  const Port& p = (*setup_.ports)[port];
  if (setup_.thread >= p.n_rx_queues || ended_[port] || !may_receive(p)) return false;
  std::array<rte_mbuf*, kMaxBurst> burst;
  const std::uint16_t n =
      rte_eth_rx_burst(p.id, static_cast<std::uint16_t>(setup_.thread), burst.data(), kMaxBurst);
  if (n == 0) {
    if (p.spec.lossless && at_end_of_file(port)) {
      ended_[port] = true;
      // Release: pairs with the control thread's acquire load: the last packets are counted.
      setup_.flow->files_ended.fetch_add(1, std::memory_order_release);
    }
    return false;
  }
  admit(port, burst.data(), n);
  return true;
}

bool RxThread::at_end_of_file(std::size_t port) noexcept {
  rte_eth_stats stats{};
  rte_eth_stats_get((*setup_.ports)[port].id, &stats);
  // The pool is sized so that this can't be: the record is lost, and with it the port's promise.
  if (stats.rx_nombuf != 0) setup_.flow->lost_a_record.store(true, std::memory_order_relaxed);
  // A record that the driver can't read gives an empty poll in the middle of the file; a file that
  // gives nothing else is at its end.
  std::atomic<std::uint64_t>& unreadable = counters_[port].unreadable;
  const bool is_new = stats.ierrors != unreadable.load(std::memory_order_relaxed);
  unreadable.store(stats.ierrors, std::memory_order_relaxed);
  return !is_new || stats.ierrors > kMaxUnreadable;
}

void RxThread::admit(std::size_t port, rte_mbuf** burst, std::uint32_t n) noexcept {
  RxPortCounters& counters = counters_[port];
  std::uint64_t number = counters.packets.load(std::memory_order_relaxed);
  std::uint64_t bytes = 0;
  std::uint64_t too_big = 0;
  const std::uint64_t now = wall_clock_ns();
  // net_pcap gives microseconds; a device that has a clock is made to give nanoseconds.
  const std::uint64_t scale = (*setup_.ports)[port].driver == "net_pcap" ? 1000 : 1;
  const auto version = static_cast<std::uint8_t>(routes_.current_version());
  for (std::uint32_t i = 0; i < n; ++i) {
    rte_mbuf* const mbuf = burst[i];
    bytes += mbuf->pkt_len;
    if (!make_single_segment(mbuf)) too_big |= std::uint64_t{1} << i;
    PacketMeta& meta = packet_meta(mbuf);
    meta = PacketMeta{};
    meta.capture_ns =
        (mbuf->ol_flags & setup_.timestamp_flag) != 0
            ? *RTE_MBUF_DYNFIELD(mbuf, setup_.timestamp_offset, std::uint64_t*) * scale
            : now;
    meta.set_capture_number(++number);
    meta.route_version = version;
    mbuf->port = static_cast<std::uint16_t>(port);  // the platform's number, not DPDK's
    setup_.book->set_out(setup_.view.check.number(mbuf), PacketState::kRx);
  }
  counters.packets.store(number, std::memory_order_relaxed);
  counters.bytes.store(counters.bytes.load(std::memory_order_relaxed) + bytes,
                       std::memory_order_relaxed);
  RxWords& words = setup_.flow->rx[setup_.thread];
  // Counted before it is published: in_flight() never misses a packet. Release pairs with it.
  words.received.store(words.received.load(std::memory_order_relaxed) + n,
                       std::memory_order_release);

  std::array<std::uint8_t, kMaxBurst> types{};
  std::array<std::uint32_t, kMaxBurst> hashes;
  if (setup_.classifier != nullptr) {
    setup_.classifier->classify_burst(std::span(burst, n), std::span(types.data(), n),
                                      std::span(hashes.data(), n));
  } else {
    for (std::uint32_t i = 0; i < n; ++i) {
      const std::span frame(rte_pktmbuf_mtod(burst[i], const std::uint8_t*), burst[i]->data_len);
      hashes[i] = flow_hash(frame, decode_packet(frame));
    }
  }
  std::array<Destination, kMaxBurst> destinations;
  for (std::uint32_t i = 0; i < n; ++i) {
    packet_meta(burst[i]).type = types[i];
    packet_meta(burst[i]).flow_hash = hashes[i];
    destinations[i] = (too_big >> i & 1) != 0 ? drop_packet(burst[i], DropReason::kTooBig, kRxRow)
                                              : routes_.resolve(burst[i], Verdict::next());
  }
  const std::uint64_t live = n == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1;
  publisher_.publish_burst(Place{}, 0, burst, destinations.data(), live);
}

}  // namespace hb
