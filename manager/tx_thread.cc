#include "manager/tx_thread.h"

#include <rte_ethdev.h>
#include <rte_mempool.h>

#include <algorithm>
#include <bit>
#include <span>

#include "manager/ring_check.h"
#include "nf_lib/packet_meta.h"

namespace hb {
namespace {

/// A context that has not taken any fresh packet yet has a sixteenth of what is left: most never
/// do, but one that answers each packet of a burst finds what it needs.
constexpr std::uint64_t kFirstShare = 16;
constexpr std::uint64_t kLeastFirstFill = 8;
/// Fresh packets of a context: all that it can hold, and a burst that lies ready.
constexpr std::uint32_t kFreshOfContext = kHeldSlots + kMaxBurst;

/// A device whose queue is full is asked this often again before its packets are dropped.
constexpr int kTxRetries = 64;

/// The context of the lowest bit that is set in a word of a set of contexts.
ContextId context_of(std::uint32_t word, std::uint64_t bits) noexcept {
  return ContextId(word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits)));
}

/// Around each burst of the TX thread.
class TxBurst {
 public:
  explicit TxBurst(std::atomic<std::uint64_t>& bursts) noexcept : bursts_(bursts) {
    bursts_.store(bursts_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    // Pairs with the audit's fence: who sees anything of the burst sees the odd count.
    std::atomic_thread_fence(std::memory_order_release);
  }
  // Release: pairs with tx_rests(): with an even count all of the burst is seen.
  ~TxBurst() {
    bursts_.store(bursts_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }
  TxBurst(const TxBurst&) = delete;
  TxBurst& operator=(const TxBurst&) = delete;

 private:
  std::atomic<std::uint64_t>& bursts_;
};

}  // namespace

TxThread::TxThread(const TxSetup& setup)
    : setup_(setup), idle_(setup.busy), counters_(setup.ports->size()) {}

void TxThread::run() noexcept {
  for (;;) {
    // Read before the rings are: once it is set nobody else publishes, so an empty pass is the end.
    // Acquire: pairs with the control thread's release store.
    const bool quit = setup_.flow->quit.load(std::memory_order_acquire);
    if (poll_once()) {
      idle_.reset();
    } else {
      if (quit) return;
      idle_.wait();
    }
  }
}

bool TxThread::poll_once() noexcept {
  bool worked = false;
  const Registry& registry = *setup_.view.registry;
  for (std::size_t port = 0; port < setup_.ports->size(); ++port) {
    worked |= drain_endpoint(registry.ports[port].endpoint,
                             [&](rte_mbuf** packets, std::uint32_t n) { send(port, packets, n); });
  }
  worked |= drain_endpoint(kReclaimer.value,
                           [&](rte_mbuf** packets, std::uint32_t n) { reclaim(packets, n); });
  for (std::uint32_t word = 0; word < fill_contexts.size(); ++word) {
    // Acquire: pairs with the control thread's release store, made once the context is set up.
    std::uint64_t wanted = fill_contexts[word].load(std::memory_order_acquire);
    const std::uint64_t filled = filling_[word].load(std::memory_order_relaxed);
    if (wanted != filled) {
      for (std::uint64_t given = wanted & ~filled; given != 0; given &= given - 1)
        begin_filling(context_of(word, given));
      for (std::uint64_t back = filled & ~wanted; back != 0; back &= back - 1)
        empty_fill_ring(context_of(word, back));
      filling_[word].store(wanted, std::memory_order_release);  // pairs with filling()
    }
    for (; wanted != 0; wanted &= wanted - 1) worked |= fill(context_of(word, wanted));
  }
  return worked;
}

template <typename F>
bool TxThread::drain_endpoint(std::uint32_t endpoint, F&& handle) noexcept {
  bool worked = false;
  const EndpointEntry& entry = setup_.view.registry->endpoints[endpoint];
  const RegionView& region = setup_.view.region;
  for (std::uint32_t word = 0; word < kMaxContexts / 64; ++word) {
    // Acquire: pairs with the control thread's release store when it lets a context produce.
    std::uint64_t active = entry.producers[word].load(std::memory_order_acquire);
    for (; active != 0; active &= active - 1) {
      const ContextId from = context_of(word, active);
      const RingId id = region.ring_id(EndpointId(endpoint), from);
      rte_ring* const ring = region.ring(id);
      // An NF can write here; a ring that it broke is left alone, the manager goes on.
      if (!has_packets(ring) || !ring_is_usable(ring, region.planned_size(id))) continue;
      const Window window = peek(ring, region.planned_size(id));
      if (window.n == 0) continue;
      // Other cores wrote them last, and what the book says of them: they are on their way while
      // those before them are dealt with.
      prefetch_behind(window, region.planned_size(id), [this](const void* mbuf) {
        prefetch_mbuf(mbuf);
        setup_.book->prefetch(setup_.view.check.number(mbuf));
      });
      std::array<rte_mbuf*, kMaxBurst> packets;
      const TxBurst burst(setup_.flow->tx.bursts);
      const Taken taken = take(window, packets.data());
      // Before the slots are given back: what has returned is missing from no count.
      std::atomic<std::uint64_t>& returned = setup_.flow->tx.returned_filled;
      returned.store(returned.load(std::memory_order_relaxed) + taken.fresh,
                     std::memory_order_release);
      commit(ring, window);
      handle(packets.data(), taken.n);
      worked = true;
    }
  }
  return worked;
}

TxThread::Taken TxThread::take(const Window& window, rte_mbuf** out) noexcept {
  Taken taken;
  std::uint64_t received = 0;
  TxWords& words = setup_.flow->tx;
  // Packets of a burst nearly always have one version.
  std::uint8_t version = 0;
  std::uint64_t of_version = 0;
  const auto count_version = [&] {
    if (of_version == 0) return;
    std::atomic<std::uint64_t>& returned = words.returned[version];
    // Release: pairs with outstanding(): a packet counted here has been counted as stamped.
    returned.store(returned.load(std::memory_order_relaxed) + of_version,
                   std::memory_order_release);
    of_version = 0;
  };
  for (std::uint32_t i = 0; i < window.n; ++i) {
    rte_mbuf* const mbuf = window.packets[i];
    const std::uint32_t number = setup_.view.check.number(mbuf);
    if (number == PacketCheck::kNotAPacket) {
      add_to(words.bad_pointers, 1);
      continue;
    }
    const BookEntry was = setup_.book->entry(number);
    switch (was.state) {
      case PacketState::kHome:
      case PacketState::kWaits:  // an RX thread has it
        add_to(words.double_returns, 1);
        continue;
      case PacketState::kRx:
        if (was.version != version) {
          count_version();
          version = was.version;
        }
        ++of_version;
        ++received;
        break;
      case PacketState::kFilled:
        ++taken.fresh;
        --fresh_[was.version].out;
        break;
    }
    setup_.book->take_home(number);
    setup_.pool->rebuild_header(mbuf);
    out[taken.n++] = mbuf;
  }
  count_version();
  // Release: pairs with in_flight(): a packet counted as returned has been counted as received.
  words.returned_rx.store(words.returned_rx.load(std::memory_order_relaxed) + received,
                          std::memory_order_release);
  return taken;
}

void TxThread::send(std::size_t port, rte_mbuf** packets, std::uint32_t n) noexcept {
  TxPortCounters& counters = counters_[port];
  std::array<rte_mbuf*, kMaxBurst> good;
  std::uint32_t n_good = 0;
  std::uint64_t bytes = 0;
  for (std::uint32_t i = 0; i < n; ++i) {
    rte_mbuf* const mbuf = packets[i];
    if (setup_.view.check.data_ok(mbuf)) {
      bytes += mbuf->pkt_len;
      good[n_good++] = mbuf;
    } else {
      drops_.add(kMaxServices, static_cast<std::uint32_t>(DropReason::kBadPacket));
      give_back(&packets[i], 1);
    }
  }
  const std::uint16_t id = (*setup_.ports)[port].id;
  std::uint32_t sent = 0;
  for (int tries = 0; sent < n_good && tries < kTxRetries; ++tries)
    sent += rte_eth_tx_burst(id, 0, good.data() + sent, static_cast<std::uint16_t>(n_good - sent));
  for (std::uint32_t i = sent; i < n_good; ++i) bytes -= good[i]->pkt_len;
  add_to(counters.packets, sent);
  add_to(counters.bytes, bytes);
  if (sent < n_good) {
    add_to(counters.dropped, n_good - sent);
    give_back(good.data() + sent, n_good - sent);
  }
}

void TxThread::reclaim(rte_mbuf** packets, std::uint32_t n) noexcept {
  for (std::uint32_t i = 0; i < n; ++i) count_drop(packet_meta(packets[i]));
  give_back(packets, n);
}

/// Any NF may have written the reason, or over it: what names nobody, or nothing that the one it
/// names has declared, is the platform's `bad_verdict`, so that every drop is counted somewhere.
void TxThread::count_drop(const PacketMeta& meta) noexcept {
  const Registry& registry = *setup_.view.registry;
  const std::uint32_t reason = meta.drop_reason;
  const std::uint32_t who = meta.drop_service;
  // Acquire: pairs with the control thread's release store.
  const bool is_instance = who < setup_.flow->n_instances.load(std::memory_order_acquire);
  bool makes_sense = false;
  if (reason >= kNfReasons)
    makes_sense = is_instance && reason - kNfReasons <
                                     registry.services[registry.instances[who].service].n_reasons;
  else if (is_nf_reason(reason) || reason == static_cast<std::uint32_t>(DropReason::kLostInCrash))
    makes_sense = is_instance;
  else
    makes_sense = reason != 0 && reason < static_cast<std::uint32_t>(DropReason::kCount) &&
                  who <= kMaxServices;
  if (makes_sense)
    drops_.add(who, reason);
  else
    drops_.add(is_instance ? who : kMaxServices,
               static_cast<std::uint32_t>(DropReason::kBadVerdict));
}

void TxThread::give_back(rte_mbuf** packets, std::uint32_t n) noexcept {
  rte_mempool_put_bulk(setup_.pool->mempool(), reinterpret_cast<void* const*>(packets), n);
}

void TxThread::begin_filling(ContextId context) noexcept {
  const rte_ring* const ring = setup_.view.region.ring(setup_.view.region.fill_ring_id(context));
  fresh_[context.value].first_tail = __atomic_load_n(&ring->cons.tail, __ATOMIC_RELAXED);
  fresh_[context.value].originates = false;
}

/// @param size  of the ring, as planned
/// @return how many packets to put there now, 0 to kMaxBurst
std::uint32_t TxThread::n_to_fill(ContextId context, const rte_ring* ring,
                                  std::uint32_t size) noexcept {
  Fresh& fresh = fresh_[context.value];
  const std::uint32_t taken = __atomic_load_n(&ring->cons.tail, __ATOMIC_RELAXED);
  fresh.originates |= taken != fresh.first_tail;
  const TxWords& words = setup_.flow->tx;
  const std::uint64_t out = words.filled.load(std::memory_order_relaxed) -
                            words.returned_filled.load(std::memory_order_relaxed);
  const std::uint64_t left =
      setup_.flow->fresh_bound - std::min<std::uint64_t>(out, setup_.flow->fresh_bound);
  std::uint64_t n = kMaxBurst;
  if (!fresh.originates) {
    if (taken != ring->prod.tail) return 0;
    n = std::clamp<std::uint64_t>(left / kFirstShare, kLeastFirstFill, kMaxBurst);
  }
  if (n > left || fresh.out + n > kFreshOfContext || n > room(ring, size)) return 0;
  return static_cast<std::uint32_t>(n);
}

bool TxThread::fill(ContextId context) noexcept {
  const RegionView& region = setup_.view.region;
  const RingId id = region.fill_ring_id(context);
  rte_ring* const ring = region.ring(id);
  const std::uint32_t n = n_to_fill(context, ring, region.planned_size(id));
  std::array<rte_mbuf*, kMaxBurst> packets;
  if (n == 0 || rte_mempool_get_bulk(setup_.pool->mempool(),
                                     reinterpret_cast<void**>(packets.data()), n) != 0)
    return false;
  TxWords& words = setup_.flow->tx;
  const TxBurst burst(words.bursts);
  for (rte_mbuf* const mbuf : std::span(packets.data(), n)) {
    rte_pktmbuf_reset(mbuf);
    mbuf->port = 0;  // as if it had come in there, for routes that end in a paired port
    setup_.book->set_out(setup_.view.check.number(mbuf), PacketState::kFilled,
                         static_cast<std::uint8_t>(context.value));
  }
  fresh_[context.value].out += n;
  add_to(words.filled, n);
  publish(ring, region.planned_size(id), packets.data(), n);
  return true;
}

void TxThread::empty_fill_ring(ContextId context) noexcept {
  const RegionView& region = setup_.view.region;
  const RingId id = region.fill_ring_id(context);
  rte_ring* const ring = region.ring(id);
  TxWords& words = setup_.flow->tx;
  while (ring_is_usable(ring, region.planned_size(id))) {
    const Window window = peek(ring, region.planned_size(id));
    if (window.n == 0) break;
    std::array<rte_mbuf*, kMaxBurst> packets;
    const TxBurst burst(words.bursts);
    const Taken taken = take(window, packets.data());
    commit(ring, window);
    // Nobody has originated them. Release: pairs with originated_in_flight(): whoever sees that
    // they are not out any more sees that they don't wait in the ring either.
    words.filled.store(words.filled.load(std::memory_order_relaxed) - taken.fresh,
                       std::memory_order_release);
    give_back(packets.data(), taken.n);
  }
}

void TxThread::empty_fill_rings() noexcept {
  for (std::uint32_t context = 0; context < setup_.view.region.layout().n_contexts; ++context)
    empty_fill_ring(ContextId(context));
}

}  // namespace hb
