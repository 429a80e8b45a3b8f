#include "manager/tx_thread.h"

#include <rte_ethdev.h>
#include <rte_mempool.h>

#include <algorithm>
#include <bit>
#include <span>

#include "manager/ring_check.h"

namespace hb {
namespace {

/// A context that has not taken any fresh packet yet has a sixteenth of what is left: most never
/// do, but one that answers each packet of a burst finds what it needs.
constexpr std::uint64_t kFirstShare = 16;
constexpr std::uint64_t kLeastFirstFill = 8;
/// Fresh packets of a context: all that it can hold, and a burst that lies ready.
constexpr std::uint32_t kFreshOfContext = kHeldSlots + kMaxBurst;

/// The context of the lowest bit that is set in a word of a set of contexts.
ContextId context_of(std::uint32_t word, std::uint64_t bits) noexcept {
  return ContextId(word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits)));
}

/// A device whose queue is full is asked this often again before its packets are dropped.
constexpr int kTxRetries = 64;

}  // namespace

TxThread::TxThread(const TxSetup& setup)
    : setup_(setup),
      idle_(setup.busy),
      words_(setup.flow->tx_returns[setup.thread]),
      counters_(setup.ports->size()),
      returns_(setup.view, setup.pool, setup.book, setup.flow, words_, drops_),
      own_{.thread = setup.thread, .n_threads = setup.flow->n_tx_threads} {
  for (std::uint32_t context = 0; context < kMaxContexts; ++context)
    own_bits_[context / 64] |= std::uint64_t{own_.has(ContextId(context))} << context % 64;
}

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
    const Port& p = (*setup_.ports)[port];
    const std::uint32_t n_queues = p.n_tx_queues;
    if (setup_.thread >= n_queues) continue;
    worked |= returns_.drain_endpoint(
        registry.ports[port].endpoint, ContextShare{.thread = setup_.thread, .n_threads = n_queues},
        p.generator == nullptr ? Returns::Headers::kRebuilt : Returns::Headers::kLeft,
        [&](rte_mbuf** packets, std::uint32_t n) { send(port, packets, n); });
  }
  if (setup_.flow->n_rx_threads == 0) worked |= returns_.reclaim(own_);
  for (std::uint32_t word = 0; word < filling_.size(); ++word) {
    // Acquire: pairs with the control thread's release store, made once the context is set up.
    std::uint64_t wanted =
        setup_.flow->fill_contexts[word].load(std::memory_order_acquire) & own_bits_[word];
    if (wanted != filling_[word]) follow(word, wanted);
    for (; wanted != 0; wanted &= wanted - 1) worked |= fill(context_of(word, wanted));
  }
  return worked;
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
      setup_.pool->rebuild_header(mbuf);
      returns_.give_back(&packets[i], 1);
    }
  }
  const auto queue = static_cast<std::uint16_t>(setup_.thread);
  std::uint32_t sent = 0;
  for (int tries = 0; sent < n_good && tries < kTxRetries; ++tries)
    sent += send_burst((*setup_.ports)[port], queue, good.data() + sent, n_good - sent);
  for (std::uint32_t i = sent; i < n_good; ++i) bytes -= good[i]->pkt_len;
  add_to(counters.packets, sent);
  add_to(counters.bytes, bytes);
  if (sent < n_good) {
    add_to(counters.dropped, n_good - sent);
    returns_.give_back(good.data() + sent, n_good - sent);
  }
}

/// Begins to fill, and empties, what the control thread wants.
void TxThread::follow(std::uint32_t word, std::uint64_t wanted) noexcept {
  for (std::uint64_t given = wanted & ~filling_[word]; given != 0; given &= given - 1)
    begin_filling(context_of(word, given));
  for (std::uint64_t back = filling_[word] & ~wanted; back != 0; back &= back - 1)
    empty_fill_ring(context_of(word, back));
  // Other TX threads have other bits of the word. Release: pairs with is_filling().
  setup_.flow->filling[word].fetch_xor(filling_[word] ^ wanted, std::memory_order_release);
  filling_[word] = wanted;
}

void TxThread::begin_filling(ContextId context) noexcept {
  const rte_ring* const ring = setup_.view.region.ring(setup_.view.region.fill_ring_id(context));
  fresh_[context.value].first_tail = __atomic_load_n(&ring->cons.tail, __ATOMIC_RELAXED);
  fresh_[context.value].originates = false;
}

/// Packets of the pool that were made for the context: in its fill ring, or not yet home.
std::uint64_t TxThread::fresh_out(ContextId context) const noexcept {
  const std::uint64_t back =
      setup_.flow->returned([context](const ReturnWords& words) -> const auto& {
        return words.fresh[context.value];
      });
  return fresh_[context.value].filled - back;
}

/// @param size  of the ring, as planned
/// @return how many packets to put there now, 0 to kMaxBurst
std::uint32_t TxThread::n_to_fill(ContextId context, const rte_ring* ring,
                                  std::uint32_t size) noexcept {
  Fresh& fresh = fresh_[context.value];
  const std::uint32_t taken = __atomic_load_n(&ring->cons.tail, __ATOMIC_RELAXED);
  fresh.originates |= taken != fresh.first_tail;
  // Another TX thread may be about to give a burst as well.
  const std::uint64_t out =
      setup_.flow->filled_out() + std::uint64_t{kMaxBurst} * (setup_.flow->n_tx_threads - 1);
  const std::uint64_t left =
      setup_.flow->fresh_bound - std::min<std::uint64_t>(out, setup_.flow->fresh_bound);
  std::uint64_t n = kMaxBurst;
  if (!fresh.originates) {
    if (taken != ring->prod.tail) return 0;
    n = std::clamp<std::uint64_t>(left / kFirstShare, kLeastFirstFill, kMaxBurst);
  }
  if (n > left || fresh_out(context) + n > kFreshOfContext || n > room(ring, size)) return 0;
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
  const ReturnBurst burst(words_);
  for (rte_mbuf* const mbuf : std::span(packets.data(), n)) {
    rte_pktmbuf_reset(mbuf);
    mbuf->port = 0;  // as if it had come in there, for routes that end in a paired port
    setup_.book->set_out(setup_.view.check.number(mbuf), PacketState::kFilled,
                         static_cast<std::uint8_t>(context.value));
  }
  fresh_[context.value].filled += n;
  // Release: pairs with filled_out().
  words_.given.store(words_.given.load(std::memory_order_relaxed) + n, std::memory_order_release);
  publish(ring, region.planned_size(id), packets.data(), n);
  return true;
}

void TxThread::empty_fill_ring(ContextId context) noexcept {
  const RegionView& region = setup_.view.region;
  const RingId id = region.fill_ring_id(context);
  rte_ring* const ring = region.ring(id);
  while (ring_is_usable(ring, region.planned_size(id))) {
    const Window window = peek(ring, region.planned_size(id));
    if (window.n == 0) break;
    std::array<rte_mbuf*, kMaxBurst> packets;
    const ReturnBurst burst(words_);
    const Returns::Taken taken =
        returns_.take(window, region.planned_size(id), Returns::Headers::kRebuilt, packets.data());
    commit(ring, window);
    // Nobody has originated them. Release: pairs with filled_out(): whoever sees that they are not
    // out any more sees that they don't wait in the ring either.
    words_.given.store(words_.given.load(std::memory_order_relaxed) - taken.filled,
                       std::memory_order_release);
    returns_.count(taken);
    returns_.give_back(packets.data(), taken.n());
  }
}

void TxThread::empty_fill_rings() noexcept {
  for (std::uint32_t context = 0; context < setup_.view.region.layout().n_contexts; ++context)
    if (own_.has(ContextId(context))) empty_fill_ring(ContextId(context));
}

}  // namespace hb
