#include "manager/rx_thread.h"

#include <rte_ethdev.h>
#include <rte_mbuf_dyn.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "manager/flow_hash.h"
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

/// A ring that stays full for so long gets what is due to it all the same: there is no keeping
/// others waiting for an NF that has stopped.
constexpr std::uint64_t kReleaseStallNs = 100'000'000;

std::uint64_t first_bits(std::uint32_t n) noexcept {
  return n == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1;
}

}  // namespace

RxThread::RxThread(const RxSetup& setup)
    : setup_(setup),
      routes_(setup.view.routes, setup.view.registry, kRxRow),
      publisher_(setup.view.region, setup.context, &ledger_, setup.endpoint_service),
      idle_(setup.busy),
      counters_(setup.ports->size()),
      ended_(setup.ports->size(), false),
      words_(setup.flow->rx[setup.thread]),
      share_{.thread = setup.thread, .n_threads = setup.flow->n_rx_threads},
      returns_(setup.view, setup.pool, setup.book, setup.flow, setup.flow->rx_returns[setup.thread],
               drops_),
      hold_(setup.hold_capacity),
      congestion_(setup.view) {}

void RxThread::run() noexcept {
  // Acquire: pairs with the control thread's release store; it has published the routes by then.
  while (!setup_.flow->quit.load(std::memory_order_acquire)) {
    if (poll_once())
      idle_.reset();
    else
      idle_.wait();
  }
  drop_held();
  // Nobody publishes any more: an empty pass is the end.
  while (returns_.reclaim(share_)) {
  }
}

bool RxThread::poll_once() noexcept {
  const FlowControl& flow = *setup_.flow;
  // Acquire: pairs with the control thread's release store: the plan is whole.
  const std::uint32_t command = flow.command.load(std::memory_order_acquire);
  if (words_.seen.load(std::memory_order_relaxed) != command) {
    plan_ = &flow.plans[command & 1];
    paced_ = hold_.size();
    stalled_since_ns_ = 0;
    // Release: pairs with the control thread's acquire load: all earlier packets are counted.
    words_.seen.store(command, std::memory_order_release);
  }
  bool worked = returns_.reclaim(share_);
  if (plan_->paused) return worked;
  if (!hold_.empty()) worked |= release();
  for (std::size_t port = 0; port < setup_.ports->size(); ++port) worked |= poll_port(port);
  return worked;
}

bool RxThread::within_bound() const noexcept {
  const FlowControl& flow = *setup_.flow;
  // Every thread keeps to its share, so that together they keep to the bound.
  return flow.on_the_way() + std::uint64_t{kMaxBurst} * flow.n_rx_threads <= flow.lossless_bound;
}

bool RxThread::may_receive(const Port& port) const noexcept {
  return !port.spec.lossless || (hold_.room() >= kMaxBurst && within_bound());
}

bool RxThread::poll_port(std::size_t port) noexcept {
  const Port& p = (*setup_.ports)[port];
  if (setup_.thread >= p.n_rx_queues || ended_[port] || !may_receive(p)) return false;
  std::array<rte_mbuf*, kMaxBurst> burst;
  const std::uint16_t n = receive_burst(p, static_cast<std::uint16_t>(setup_.thread), burst.data());
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

/// Makes what a driver has received one segment with a header that can be believed: it may have
/// lain in a queue of the device for long.
/// @return packets that do not fit one segment
std::uint64_t RxThread::take_from_driver(rte_mbuf* const* burst, std::uint32_t n) const noexcept {
  for (std::uint32_t i = 0; i < n; ++i) {
    __builtin_prefetch(&packet_meta(burst[i]), 1);
    setup_.book->prefetch(setup_.view.check.number(burst[i]));
  }
  std::uint64_t too_big = 0;
  for (std::uint32_t i = 0; i < n; ++i) {
    setup_.pool->rebuild_received(burst[i]);
    if (!make_single_segment(burst[i])) too_big |= std::uint64_t{1} << i;
  }
  return too_big;
}

void RxThread::admit(std::size_t port, rte_mbuf** burst, std::uint32_t n) noexcept {
  const Port& p = (*setup_.ports)[port];
  RxPortCounters& counters = counters_[port];
  const std::uint64_t now = wall_clock_ns();
  std::uint64_t bytes = 0;
  for (std::uint32_t i = 0; i < n; ++i) bytes += burst[i]->pkt_len;
  const std::uint64_t too_big = p.generator == nullptr ? take_from_driver(burst, n) : 0;
  std::uint64_t number = counters.packets.load(std::memory_order_relaxed);
  counters.packets.store(number + n, std::memory_order_relaxed);
  add_to(counters.bytes, bytes);
  // Counted before it is published: in_flight() never misses a packet. Release pairs with it.
  words_.admitted.store(words_.admitted.load(std::memory_order_relaxed) + n,
                        std::memory_order_release);
  std::array<std::uint8_t, kMaxBurst> types;
  std::array<std::uint32_t, kMaxBurst> hashes;
  const std::uint64_t moved_flows = classify(burst, n, types.data(), hashes.data());
  // net_pcap gives microseconds; a device that has a clock is made to give nanoseconds.
  const std::uint64_t scale = p.driver == "net_pcap" ? 1000 : 1;
  const std::span<rte_mbuf* const> next =
      p.generator == nullptr ? std::span<rte_mbuf* const>()
                             : p.generator->next(static_cast<std::uint16_t>(setup_.thread));
  for (std::uint32_t i = 0; i < n; ++i) {
    if (i < next.size()) {
      __builtin_prefetch(&packet_meta(next[i]), 1);
      setup_.book->prefetch(setup_.view.check.number(next[i]));
    }
    rte_mbuf* const mbuf = burst[i];
    PacketMeta meta{};
    meta.capture_ns =
        (mbuf->ol_flags & setup_.timestamp_flag) != 0
            ? *RTE_MBUF_DYNFIELD(mbuf, setup_.timestamp_offset, std::uint64_t*) * scale
            : now;
    meta.set_capture_number(++number);
    meta.type = types[i];
    meta.route_version = plan_->version;
    meta.flow_hash = hashes[i];
    packet_meta(mbuf) = meta;
    // The platform's number, not DPDK's; a line in which nothing changes is not written.
    if (mbuf->port != port) mbuf->port = static_cast<std::uint16_t>(port);
  }

  std::uint64_t live = first_bits(n);
  std::uint64_t dropped = too_big;
  for (std::uint64_t rest = too_big; rest != 0; rest &= rest - 1)
    drop_packet(burst[std::countr_zero(rest)], DropReason::kTooBig, kRxRow);
  live &= ~too_big;
  if (plan_->affected != 0 || plan_->flows_change || held_types_ != 0) {
    const std::uint64_t held = choose_held(types.data(), n, moved_flows) & live;
    hold(burst, types.data(), held);
    live &= ~held;
  }
  if (setup_.overload_early && !(*setup_.ports)[port].spec.lossless) {
    if (const std::uint64_t congested = congestion_.look(*plan_); congested != 0) {
      for (std::uint64_t rest = live; rest != 0; rest &= rest - 1) {
        const int i = std::countr_zero(rest);
        const std::uint64_t slow = plan_->path[types[i]] & congested;
        if (slow == 0) continue;
        drop_packet(burst[i], DropReason::kOverloadEarly,
                    static_cast<std::uint32_t>(std::countr_zero(slow)));
        dropped |= std::uint64_t{1} << i;
      }
      live &= ~dropped;
    }
  }
  drop(burst, dropped);
  std::array<Destination, kMaxBurst> to;
  auto all = static_cast<Destination>(kReclaimer.value);
  if (std::memcmp(types.data(), types.data() + 1, n - 1) == 0)  // mostly all are of one type
    all = routes_.resolve_received(types[0], plan_->version, static_cast<std::uint32_t>(port));
  if (all != kReclaimer.value) {
    to.fill(all);
  } else {
    for (std::uint64_t rest = live; rest != 0; rest &= rest - 1) {
      const int i = std::countr_zero(rest);
      to[i] = routes_.resolve(burst[i], Verdict::next());
    }
  }
  send(burst, to.data(), live);
}

/// Finds type and flow hash of each packet.
/// @return a bit for each packet whose type was another before flows changed
std::uint64_t RxThread::classify(rte_mbuf* const* burst, std::uint32_t n, std::uint8_t* types,
                                 std::uint32_t* hashes) const noexcept {
  std::fill_n(types, n, kDefaultType);
  if (plan_->classifier == nullptr && !plan_->flows_change) {
    flow_hash_burst(std::span(burst, n), hashes);
    return 0;
  }
  std::array<DecodedPacket, kMaxBurst> packets;
  decode_burst(std::span(burst, n), packets.data());
  const std::span<const DecodedPacket> decoded(packets.data(), n);
  if (plan_->classifier != nullptr)
    plan_->classifier->classify_decoded(decoded, std::span(types, n));
  std::uint64_t moved_flows = 0;
  if (plan_->flows_change) {
    std::array<std::uint8_t, kMaxBurst> before{};
    if (plan_->classifier_before != nullptr)
      plan_->classifier_before->classify_decoded(decoded, std::span(before.data(), n));
    for (std::uint32_t i = 0; i < n; ++i) moved_flows |= std::uint64_t{types[i] != before[i]} << i;
  }
  for (std::uint32_t i = 0; i < n; ++i)
    hashes[i] = flow_hash(
        std::span(rte_pktmbuf_mtod(burst[i], const std::uint8_t*), burst[i]->data_len), packets[i]);
  return moved_flows;
}

/// Packets that may not go yet: of types whose routes change, of flows whose type changes, and of
/// types of which others still wait.
std::uint64_t RxThread::choose_held(const std::uint8_t* types, std::uint32_t n,
                                    std::uint64_t moved_flows) const noexcept {
  const std::uint64_t may_not = plan_->affected | held_types_;
  std::uint64_t which = moved_flows;
  for (std::uint32_t i = 0; i < n; ++i) which |= (may_not >> types[i] & 1) << i;
  return which;
}

/// Puts packets into the hold queue, and drops those that do not fit.
/// @param types  of the burst, as classify() found them: whoever scribbles can write to a packet's
void RxThread::hold(rte_mbuf* const* burst, const std::uint8_t* types,
                    std::uint64_t which) noexcept {
  std::uint64_t no_room = 0;
  std::uint64_t n = 0;
  for (std::uint64_t rest = which; rest != 0; rest &= rest - 1) {
    const int i = std::countr_zero(rest);
    rte_mbuf* const mbuf = burst[i];
    if (hold_.room() == 0) {
      drop_packet(mbuf, DropReason::kReloadHold, kRxRow);
      no_room |= std::uint64_t{1} << i;
      continue;
    }
    setup_.book->set_out(setup_.view.check.number(mbuf), PacketState::kWaits);
    hold_.push(mbuf);
    held_types_ |= std::uint64_t{1} << types[i];
    add_to(held_[types[i]], 1);
    ++n;
  }
  // Release: pairs with holding(): what waits has been admitted.
  words_.holding.store(words_.holding.load(std::memory_order_relaxed) + n,
                       std::memory_order_release);
  drop(burst, no_room);
}

/// Lets the first packets of the hold queue go, when they may. Those that were there when the drain
/// ended go as the rings have room, so that the change of routes loses none; what came behind them
/// is the traffic of now, which gets the room that there is.
bool RxThread::release() noexcept {
  if (plan_->affected != 0 || plan_->flows_change) return false;
  bool worked = false;
  while (!hold_.empty()) {
    std::array<rte_mbuf*, kMaxBurst> packets;
    std::array<Destination, kMaxBurst> to;
    const std::uint32_t n = n_to_release(packets.data(), to.data());
    if (n == 0) return worked;
    hold_.pop(n);
    paced_ -= std::min(paced_, n);
    stalled_since_ns_ = 0;
    // Lowered before they are published: on_the_way() never misses a packet.
    words_.holding.store(words_.holding.load(std::memory_order_relaxed) - n,
                         std::memory_order_release);
    send(packets.data(), to.data(), first_bits(n));
    worked = true;
  }
  held_types_ = 0;
  return worked;
}

/// The first packets of the hold queue, as many as may go now, and where they go.
std::uint32_t RxThread::n_to_release(rte_mbuf** packets, Destination* to) noexcept {
  const std::uint32_t n = std::min(hold_.size(), kMaxBurst);
  bool bound_checked = false;
  for (std::uint32_t i = 0; i < n; ++i) {
    rte_mbuf* const mbuf = packets[i] = hold_.at(i);
    // Whoever scribbles may have written over its port while it waited.
    const std::size_t port = std::min<std::size_t>(mbuf->port, setup_.ports->size() - 1);
    if ((*setup_.ports)[port].spec.lossless && !bound_checked) {
      if (!within_bound()) return i;
      bound_checked = true;
    }
    packet_meta(mbuf).route_version = plan_->version;
    to[i] = routes_.resolve(mbuf, Verdict::next());
    if (i >= paced_ || to[i] == kReclaimer.value) continue;
    const auto before = static_cast<std::uint32_t>(std::count(to, to + i, to[i]));
    const RegionView& region = publisher_.region();
    const RingId id = region.ring_id(EndpointId(to[i]), setup_.context);
    const bool fits = room(region.ring(id), region.planned_size(id)) > before;
    if (fits) continue;
    if (i != 0) return i;
    const std::uint64_t now = monotonic_ns();
    if (stalled_since_ns_ == 0) stalled_since_ns_ = now;
    if (now - stalled_since_ns_ < kReleaseStallNs) return 0;
    paced_ = 0;
  }
  return n;
}

/// Counts packets as stamped, publishes them, and frees what is to be dropped.
void RxThread::send(rte_mbuf* const* packets, const Destination* to, std::uint64_t live) noexcept {
  if (live == 0) return;
  const std::uint8_t version = plan_->version;
  for (std::uint64_t rest = live; rest != 0; rest &= rest - 1)
    setup_.book->set_out(setup_.view.check.number(packets[std::countr_zero(rest)]),
                         PacketState::kRx, version);
  std::atomic<std::uint64_t>& stamped = words_.stamped[version];
  const std::uint64_t n =
      stamped.load(std::memory_order_relaxed) + static_cast<std::uint64_t>(std::popcount(live));
  // Release: pairs with outstanding(): counted before anybody can return it.
  stamped.store(n, std::memory_order_release);
  const std::uint64_t rest = publisher_.publish_forward(Place{}, 0, packets, to, live);
  if (rest == 0) return;
  stamped.store(n - static_cast<std::uint64_t>(std::popcount(rest)), std::memory_order_release);
  drop(packets, rest);
}

/// Frees packets that nobody else has seen; their metadata says why.
void RxThread::drop(rte_mbuf* const* packets, std::uint64_t which) noexcept {
  if (which == 0) return;
  std::array<void*, kMaxBurst> freed;
  std::uint32_t n = 0;
  for (; which != 0; which &= which - 1) {
    rte_mbuf* const mbuf = packets[std::countr_zero(which)];
    const PacketMeta& meta = packet_meta(mbuf);
    // Whoever scribbles may have written over it already.
    drops_.add(std::min<std::uint32_t>(meta.drop_service, kMaxServices),
               std::min<std::uint32_t>(meta.drop_reason, DropCounters::kReasons - 1));
    setup_.book->take_home(setup_.view.check.number(mbuf));
    setup_.pool->rebuild_header(mbuf);
    freed[n++] = mbuf;
  }
  // After the drops were counted: a packet is never missing from both. Release pairs with
  // in_flight().
  words_.admitted.store(words_.admitted.load(std::memory_order_relaxed) - n,
                        std::memory_order_release);
  rte_mempool_put_bulk(setup_.pool->mempool(), freed.data(), n);
}

/// What still waits when the platform ends.
void RxThread::drop_held() noexcept {
  while (!hold_.empty()) {
    std::array<rte_mbuf*, kMaxBurst> packets;
    const std::uint32_t n = std::min(hold_.size(), kMaxBurst);
    for (std::uint32_t i = 0; i < n; ++i) {
      packets[i] = hold_.at(i);
      drop_packet(packets[i], DropReason::kShutdown, kRxRow);
    }
    hold_.pop(n);
    words_.holding.store(hold_.size(), std::memory_order_release);
    drop(packets.data(), first_bits(n));
  }
}

}  // namespace hb
