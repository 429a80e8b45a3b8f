// Instance: packets between the platform and the NF.
#include <rte_hash_crc.h>
#include <rte_ip.h>
#include <rte_memory.h>

#include <cstdio>
#include <cstring>

#include "nf_lib/clock.h"
#include "nf_lib/idle.h"
#include "onvm_compat/drop_reasons.h"
#include "onvm_compat/flow_director.h"
#include "onvm_compat/instance.h"
#include "onvm_compat/process.h"
#include "onvm_compat/toeplitz.h"

namespace hb::onvm {
namespace {

constexpr std::uintptr_t kFreedBit = 1;  // mbufs are aligned to lines
constexpr std::uint32_t kDrainAtOnce = 512;

void* tagged(rte_mbuf* mbuf, bool freed) noexcept {
  return reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(mbuf) | (freed ? kFreedBit : 0));
}

}  // namespace

void Instance::process_burst(std::span<rte_mbuf* const> burst,
                             std::span<Verdict> verdicts) noexcept {
  in_burst_ = true;
  for (std::size_t i = 0; i < burst.size(); ++i) verdicts[i] = arrive(burst[i]);
  FlowDirector::get().publish();  // before the packets get to where their chain is looked up
  in_burst_ = false;
}

Verdict Instance::arrive(rte_mbuf* mbuf) noexcept {
  PacketTable& packets = process_.packets();
  const std::uint32_t number = packets.number(mbuf);
  const bool fresh_from_port = carried_word(mbuf) == 0;
  if (!enter(mbuf)) return Verdict::drop(kMalformed);
  nf_.stats.rx = nf_.stats.rx + 1;
  onvm_pkt_meta& meta = packets.meta(number);
  // What OpenNetVM's RX does for flows of the flow director, the first of its NFs does here.
  if (fresh_from_port && FlowDirector::get().enter_chain(mbuf, nf_.service_id, meta))
    return judge(mbuf, number);
  if (abandoned_.load(std::memory_order_relaxed)) return Verdict::drop(kLeaving);
  packets.set_holder(number, slot_);
  if (polled_by_nf_.load(std::memory_order_relaxed)) {
    // It can't be full: the held area is smaller. The NF may have the packet at once; what it does
    // with it comes back by tx_q, and that is looked at after this burst.
    if (rte_ring_mp_enqueue(nf_.rx_q, mbuf) != 0) {
      packets.set_holder(number, 0);
      nf_.stats.rx_drop = nf_.stats.rx_drop + 1;
      return Verdict::drop(kQueueFull);
    }
    return Verdict::hold();
  }
  const nf_pkt_handler_fn handle = nf_.function_table->pkt_handler;
  if (handle == nullptr) meta.action = ONVM_NF_ACTION_DROP;  // it lives by its user actions
  if (handle != nullptr && handle(mbuf, &meta, ctx_.load(std::memory_order_relaxed)) != 0) {
    nf_.stats.act_buffer = nf_.stats.act_buffer + 1;
    nf_.stats.tx_buffer = nf_.stats.tx_buffer + 1;
    return Verdict::hold();
  }
  if (!is_plain(mbuf)) {
    unplain_[n_unplain_++] = mbuf;
    return Verdict::hold();
  }
  packets.set_holder(number, 0);
  return judge(mbuf, number);
}

/// Makes a packet that came from another process one that DPDK's functions can be let loose on.
/// @return false if its data do not lie within it
bool Instance::enter(rte_mbuf* mbuf) noexcept {
  PacketTable& packets = process_.packets();
  mbuf->buf_addr = reinterpret_cast<std::byte*>(mbuf) + packets.check().pool().mbuf_bytes;
  mbuf->buf_len = static_cast<std::uint16_t>(packets.check().pool().headroom +
                                             packets.check().pool().data_room);
  rte_mbuf_refcnt_set(mbuf, 1);
  mbuf->nb_segs = 1;
  mbuf->next = nullptr;
  mbuf->ol_flags = 0;
  mbuf->priv_size = 0;
  mbuf->pool = process_.packet_pool();
  if (!packets.check().data_ok(mbuf)) return false;
  onvm_pkt_meta& meta = packets.meta(packets.number(mbuf));
  unpack_carried(carried_word(mbuf), meta);
  if (carried_word(mbuf) == 0) meta.chain_index = 1;  // as OpenNetVM's RX leaves it
  meta.action = ONVM_NF_ACTION_TONF;                  // how it came here
  meta.destination = nf_.service_id;
  onvm_ft_ipv4_5tuple key;
  if (onvm_ft_fill_key(&key, mbuf) == 0) {
    mbuf->hash.rss = flow_hash(key);
    mbuf->ol_flags |= RTE_MBUF_F_RX_RSS_HASH;
  } else {
    mbuf->hash.rss = packet_meta(mbuf).flow_hash;
  }
  return true;
}

Verdict Instance::judge(rte_mbuf* mbuf, std::uint32_t number) noexcept {
  onvm_pkt_meta& meta = process_.packets().meta(number);
  Verdict verdict = Verdict::drop(kUnknownAction);
  switch (meta.action) {
    case ONVM_NF_ACTION_DROP:
      nf_.stats.act_drop = nf_.stats.act_drop + 1;
      verdict = Verdict::drop(kDropped);
      break;
    case ONVM_NF_ACTION_NEXT:
      nf_.stats.act_next = nf_.stats.act_next + 1;
      verdict = follow_chain(mbuf, meta);
      break;
    case ONVM_NF_ACTION_TONF:
      nf_.stats.act_tonf = nf_.stats.act_tonf + 1;
      verdict = to_service(mbuf, meta);
      break;
    case ONVM_NF_ACTION_OUT:
      nf_.stats.act_out = nf_.stats.act_out + 1;
      verdict = meta.destination < loop_->n_ports() ? Verdict::to_port(meta.destination)
                                                    : Verdict::drop(kNoPort);
      break;
    default:
      break;
  }
  if (verdict.kind() == HB_VERDICT_DROP)
    nf_.stats.tx_drop = nf_.stats.tx_drop + (verdict.argument() != kDropped);
  else
    nf_.stats.tx = nf_.stats.tx + 1;
  meta.src = nf_.instance_id;
  carried_word(mbuf) = pack_carried(meta);
  if (mbuf->port >= loop_->n_ports()) mbuf->port = 0;  // rte_pktmbuf_alloc leaves it invalid
  return verdict;
}

Verdict Instance::follow_chain(rte_mbuf* mbuf, onvm_pkt_meta& meta) noexcept {
  onvm_pkt_meta hop = meta;
  if (!FlowDirector::get().next_hop(mbuf, hop)) return Verdict::next();
  meta = hop;
  switch (meta.action) {
    case ONVM_NF_ACTION_TONF:
      return to_service(mbuf, meta);
    case ONVM_NF_ACTION_OUT:
      return meta.destination < loop_->n_ports() ? Verdict::to_port(meta.destination)
                                                 : Verdict::drop(kNoPort);
    case ONVM_NF_ACTION_NEXT:
      return Verdict::next();
    default:
      return Verdict::drop(kDropped);
  }
}

Verdict Instance::to_service(rte_mbuf* mbuf, const onvm_pkt_meta& meta) noexcept {
  // Packets that go round between NFs would keep them from ever being empty.
  if (draining_ && (meta.destination == nf_.service_id || packet_meta(mbuf).capture_number() == 0))
    return Verdict::drop(kLeaving);
  const std::uint32_t service = process_.service_of(meta.destination);
  return service < kMaxServices ? Verdict::to_service(ServiceId(service))
                                : Verdict::drop(kNoService);
}

// --- packets that come back --------------------------------------------------------------------

void Instance::inbox(rte_mbuf* mbuf, bool freed) noexcept {
  // Larger than all that one context can have at a time: full only if packets are freed twice.
  rte_ring_mp_enqueue(inbox_, tagged(mbuf, freed));
}

std::uint32_t Instance::drain() noexcept {
  FlowDirector::get().publish();
  for (std::uint32_t i = 0; i < n_unplain_; ++i) take_back(unplain_[i], false);
  n_unplain_ = 0;
  void* entry = nullptr;
  std::uint32_t n = 0;
  while (n < kDrainAtOnce && rte_ring_sc_dequeue(nf_.tx_q, &entry) == 0) {
    take_back(static_cast<rte_mbuf*>(entry), false);
    ++n;
  }
  for (std::uint32_t i = 0; i < kDrainAtOnce && rte_ring_sc_dequeue(inbox_, &entry) == 0; ++i) {
    const auto bits = reinterpret_cast<std::uintptr_t>(entry);
    take_back(reinterpret_cast<rte_mbuf*>(bits & ~kFreedBit), (bits & kFreedBit) != 0);
    ++n;
  }
  release_collected();
  return n;
}

/// One packet that the NF is done with. Only the instance that holds it can let go of it.
void Instance::take_back(rte_mbuf* mbuf, bool freed) noexcept {
  PacketTable& packets = process_.packets();
  if (mbuf == nullptr) return;
  std::uint32_t number = packets.number(mbuf);
  if (number == PacketTable::kNotAPacket && rte_mem_virt2memseg_list(mbuf) == nullptr) {
    // No mbuf of any pool: generators send arrays that a failed allocation has left half filled.
    nf_.stats.tx_drop = nf_.stats.tx_drop + 1;
    return;
  }
  if (number != PacketTable::kNotAPacket) {
    const Slot holder = packets.holder(number);
    if (holder == 0) return;  // it was sent or freed before
    if (holder != slot_) {
      if (Instance* const other = process_.instance(holder)) other->inbox(mbuf, freed);
      return;
    }
  }
  Verdict verdict = Verdict::drop(kFreed);
  if (!freed) {
    if (number == PacketTable::kNotAPacket || !is_plain(mbuf)) {
      mbuf = make_plain(mbuf);
      if (mbuf == nullptr) return;
      number = packets.number(mbuf);
    }
    verdict = packets.check().data_ok(mbuf) ? judge(mbuf, number) : Verdict::drop(kMalformed);
  }
  collect(mbuf, number, verdict);
}

void Instance::collect(rte_mbuf* mbuf, std::uint32_t number, Verdict verdict) noexcept {
  process_.packets().set_holder(number, 0);
  if (n_collected_ == collected_.size()) release_collected();
  collected_[n_collected_] = mbuf;
  collected_verdicts_[n_collected_++] = verdict;
}

/// An NF that has ended its own loop leaves packets in rx_q, and the held area may be full of them:
/// then nothing more is taken from the platform's rings, and the manager would wait for ever.
void Instance::let_go_of_unread() noexcept {
  for (void* entry = nullptr; rte_ring_sc_dequeue(nf_.rx_q, &entry) == 0;) {
    auto* const mbuf = static_cast<rte_mbuf*>(entry);
    const std::uint32_t number = process_.packets().number(mbuf);
    if (number != PacketTable::kNotAPacket) collect(mbuf, number, Verdict::drop(kLeaving));
  }
  release_collected();
}

void Instance::release_collected() noexcept {
  if (n_collected_ != 0) loop_->tick(*this, 0);
}

/// BurstLoop calls it inside a burst: publishing is allowed.
void Instance::tick(std::uint64_t /*now_ns*/) noexcept {
  loop_->release(std::span(collected_.data(), n_collected_),
                 std::span<const Verdict>(collected_verdicts_.data(), n_collected_));
  n_collected_ = 0;
}

/// One reference, one segment, its data in its own buffer: what the platform passes on.
bool Instance::is_plain(const rte_mbuf* mbuf) const noexcept {
  return rte_mbuf_refcnt_read(mbuf) == 1 && mbuf->nb_segs == 1 && RTE_MBUF_DIRECT(mbuf);
}

/// @return the packet to send instead, which this instance holds; nullptr: none could be made, and
///         the original has been freed
rte_mbuf* Instance::make_plain(rte_mbuf* mbuf) noexcept {
  // Whoever else refers to its buffer goes on doing so: a copy travels. A foreign or attached mbuf,
  // or one of several segments, has its data elsewhere anyway.
  rte_mbuf* const copy = copy_of(mbuf);
  rte_pktmbuf_free(mbuf);
  if (copy == nullptr) nf_.stats.tx_drop = nf_.stats.tx_drop + 1;
  return copy;
}

rte_mbuf* Instance::copy_of(rte_mbuf* mbuf) noexcept {
  const PoolLayout& pool = process_.packets().check().pool();
  rte_mbuf* copy = nullptr;
  if (mbuf->pkt_len > pool.data_room || !allocate(&copy, 1)) return nullptr;
  auto* const bytes = rte_pktmbuf_mtod(copy, std::byte*);
  const void* const data = rte_pktmbuf_read(mbuf, 0, mbuf->pkt_len, bytes);
  if (data == nullptr) {
    take_back(copy, true);
    return nullptr;
  }
  if (data != bytes) std::memcpy(bytes, data, mbuf->pkt_len);
  copy->data_len = static_cast<std::uint16_t>(mbuf->pkt_len);
  copy->pkt_len = mbuf->pkt_len;
  copy->port = mbuf->port;
  copy->hash = mbuf->hash;
  *onvm_get_pkt_meta(copy) = *onvm_get_pkt_meta(mbuf);
  if (process_.packets().number(mbuf) != PacketTable::kNotAPacket)
    packet_meta(copy).type = packet_meta(mbuf).type;
  return copy;
}

// --- fresh packets ------------------------------------------------------------------------------

namespace {

/// Takes held fresh packets inside a burst of its own.
class Taker final : public NetworkFunction {
 public:
  Taker(BurstLoop& loop, std::span<rte_mbuf*> out) : loop_(loop), out_(out) {}
  void process_burst(std::span<rte_mbuf* const> /*burst*/,
                     std::span<Verdict> /*verdicts*/) noexcept override {}
  void tick(std::uint64_t /*now_ns*/) noexcept override { n_ = loop_.originate_held(out_); }
  [[nodiscard]] std::uint32_t n() const noexcept { return n_; }

 private:
  BurstLoop& loop_;
  std::span<rte_mbuf*> out_;
  std::uint32_t n_ = 0;
};

/// setup() may ask for more than lies ready: so long it waits for the manager to bring some.
constexpr std::uint64_t kSetupWaitNs = 1'000'000'000;

}  // namespace

bool Instance::allocate(rte_mbuf** out, std::uint32_t n) noexcept {
  PacketTable& packets = process_.packets();
  std::uint32_t got = 0;
  Idle idle;
  std::uint64_t deadline = 0;
  while (got < n) {
    const std::span<rte_mbuf*> rest(out + got, std::min(n - got, kMaxBurst));
    std::uint32_t more = 0;
    if (in_burst_) {
      more = loop_->originate_held(rest);
    } else {
      Taker taker(*loop_, rest);
      loop_->tick(taker, 0);
      more = taker.n();
    }
    for (std::uint32_t i = 0; i < more; ++i) {
      rte_mbuf* const mbuf = out[got + i];
      mbuf->data_off = RTE_PKTMBUF_HEADROOM;
      mbuf->data_len = 0;
      mbuf->pkt_len = 0;
      mbuf->port = 0;
      carried_word(mbuf) = 0;
      enter(mbuf);
      packets.meta(packets.number(mbuf)) = onvm_pkt_meta{};
      packets.set_holder(packets.number(mbuf), slot_);
    }
    got += more;
    if (more != 0) continue;
    const std::uint64_t now = monotonic_ns();
    if (deadline == 0) deadline = setting_up_ ? now + kSetupWaitNs : now;
    if (now >= deadline || loop_->n_held() == kHeldSlots) {
      if (setting_up_) warn_of_missing();  // not on the hot path: it wants them all
      for (std::uint32_t i = 0; i < got; ++i) inbox(out[i], true);
      return false;
    }
    idle.wait();
  }
  return true;
}

std::optional<bool> Instance::allocate_before_loop(rte_mbuf** out, std::uint32_t n) {
  const std::lock_guard lock(before_loop_);
  if (loop_has_begun()) return std::nullopt;
  onvm_nf_local_ctx* const main = process_.main_context();
  if (!become_ready(main != nullptr && main->nf == &nf_ ? main : nullptr)) return false;
  drain();  // what was freed makes room
  setting_up_ = true;
  const bool got = allocate(out, n);
  setting_up_ = false;
  return got;
}

void Instance::warn_of_missing() const noexcept {
  const PlatformView& view = process_.attachment().view();
  const std::uint32_t has = loop_->n_held();
  if (has == kHeldSlots)
    std::fprintf(stderr, "warning: %s asks for more packets than the %u it can have at a time\n",
                 nf_.tag, kHeldSlots);
  else if (view.registry->lossless != 0)
    std::fprintf(stderr,
                 "warning: %s has %u packets and gets no more: with file ports all NFs together "
                 "have %u fresh ones at a time\n",
                 nf_.tag, has, view.region.layout().ring_size / 2);
  else
    std::fprintf(stderr,
                 "warning: %s has %u packets and gets no more: others are on their way or other "
                 "NFs have them; give the manager a larger --pool\n",
                 nf_.tag, has);
}

std::uint32_t Instance::n_allocatable() const noexcept {
  const RegionView& region = process_.attachment().view().region;
  return rte_ring_count(region.ring(region.fill_ring_id(registration_.context)));
}

}  // namespace hb::onvm
