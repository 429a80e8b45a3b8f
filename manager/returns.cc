#include "manager/returns.h"

#include <rte_mempool.h>

namespace hb {

bool Returns::reclaim(ContextShare share) noexcept {
  return drain_endpoint(kReclaimer.value, share, Headers::kRebuilt,
                        [this](rte_mbuf** packets, std::uint32_t n) {
                          for (std::uint32_t i = 0; i < n; ++i) count_drop(packet_meta(packets[i]));
                          give_back(packets, n);
                        });
}

Returns::Taken Returns::take(const Window& window, std::uint32_t size, Headers headers,
                             rte_mbuf** out) noexcept {
  Taken taken;
  // Other cores wrote them last, and what the book says of them: those behind are on their way
  // while these are dealt with, one by one, since a core waits for a dozen lines at most.
  Behind behind(window, size);
  const auto prefetch = [this, headers](const void* mbuf) {
    if (headers == Headers::kRebuilt)
      prefetch_mbuf_to_write(mbuf);
    else
      prefetch_mbuf(mbuf);
    book_->prefetch(view_.check.number(mbuf));
  };
  for (std::uint32_t i = 0; i < window.n; ++i) {
    behind.prefetch_one(prefetch);
    rte_mbuf* const mbuf = window.packets[i];
    const std::uint32_t number = view_.check.number(mbuf);
    if (number == PacketCheck::kNotAPacket) {
      add_to(words_.bad_pointers, 1);
      continue;
    }
    const BookEntry was = book_->entry(number);
    if (was.state == PacketState::kHome || was.state == PacketState::kWaits) {
      add_to(words_.double_returns, 1);  // it is home, or an RX thread has it
      continue;
    }
    book_->take_home(number);
    if (headers == Headers::kRebuilt) pool_->rebuild_header(mbuf);
    taken.was[taken.n()] = was;
    out[taken.n()] = mbuf;
    ++(was.state == PacketState::kRx ? taken.received : taken.filled);
  }
  behind.prefetch_rest(prefetch);
  return taken;
}

void Returns::count(const Taken& taken) noexcept {
  for (std::uint32_t i = 0; i < taken.n();) {
    // Packets of a burst nearly always have one origin and one version.
    const BookEntry was = taken.was[i];
    const std::uint32_t first = i;
    while (i < taken.n() && taken.was[i] == was) ++i;
    add((was.state == PacketState::kRx ? words_.returned : words_.fresh)[was.version], i - first);
  }
  add(words_.received, taken.received);
}

/// Any NF may have written the reason, or over it: what names nobody, or nothing that the one it
/// names has declared, is the platform's `bad_verdict`, so that every drop is counted somewhere.
void Returns::count_drop(const PacketMeta& meta) noexcept {
  const Registry& registry = *view_.registry;
  const std::uint32_t reason = meta.drop_reason;
  const std::uint32_t who = meta.drop_service;
  // Acquire: pairs with the control thread's release store.
  const bool is_instance = who < flow_->n_instances.load(std::memory_order_acquire);
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

void Returns::give_back(rte_mbuf** packets, std::uint32_t n) noexcept {
  rte_mempool_put_bulk(pool_->mempool(), reinterpret_cast<void* const*>(packets), n);
}

}  // namespace hb
