#include "manager/generator_port.h"

#include <rte_cycles.h>

#include <algorithm>

#include "nf_lib/clock.h"
#include "nf_lib/packet_meta.h"
#include "nf_lib/ring.h"

namespace hb {

Result<std::shared_ptr<GeneratorPort>> GeneratorPort::make(const GeneratorSpec& spec,
                                                           const PacketPool& pool,
                                                           std::uint32_t n_rx_queues,
                                                           std::uint32_t n_tx_queues) {
  std::shared_ptr<GeneratorPort> port(new GeneratorPort(pool));
  if (!spec.payload_file.empty()) {
    Result<std::vector<std::uint8_t>> payload = load_payloads(spec.payload_file);
    if (!payload) return payload.error();
    // A short one is repeated until a packet of any size finds enough of it.
    const std::size_t once = payload->size();
    while (payload->size() < *std::ranges::max_element(spec.sizes))
      for (std::size_t i = 0; i < once; ++i) payload->push_back((*payload)[i]);
    port->payload_ = std::move(*payload);
  }
  port->rx_.resize(n_rx_queues);
  for (std::uint32_t queue = 0; queue < n_rx_queues; ++queue)
    port->rx_[queue].stream =
        std::make_unique<GeneratorQueue>(spec, port->payload_, queue, n_rx_queues);
  if (spec.is_blank) return port;
  for (std::uint32_t queue = 0; queue < n_tx_queues; ++queue)
    port->latency_.push_back(std::make_unique<LatencyHistogram>());
  return port;
}

std::uint16_t GeneratorPort::receive(std::uint16_t queue, rte_mbuf** burst) noexcept {
  RxQueue& rx = rx_[queue];
  if (rx.n_ready == 0) rx.n_ready = pool_.take_as_they_are(rx.ready.data(), kMaxBurst);
  const std::uint32_t n = rx.stream->allowed(rx.n_ready, rte_rdtsc());
  if (n == 0) return 0;
  std::copy_n(rx.ready.begin(), n, burst);
  std::copy(rx.ready.begin() + n, rx.ready.begin() + rx.n_ready, rx.ready.begin());
  rx.n_ready -= n;
  const std::uint32_t fresh = rx.n_ready;  // where those begin that come from the pool now
  rx.n_ready += pool_.take_as_they_are(rx.ready.data() + fresh, n);
  for (std::uint32_t i = 0; i < n; ++i) {
    // The core that had them last has them in its cache: a burst's time is what it takes.
    if (fresh + i < rx.n_ready) {
      rte_prefetch0(rx.ready[fresh + i]);
      __builtin_prefetch(pool_.received_bytes(rx.ready[fresh + i]), 1);
    }
    const std::uint16_t bytes = rx.stream->make(pool_.received_bytes(burst[i]));
    pool_.make_received(burst[i], bytes);
  }
  return static_cast<std::uint16_t>(n);
}

void GeneratorPort::send(std::uint16_t queue, rte_mbuf* const* packets, std::uint32_t n) noexcept {
  if (!latency_.empty()) {
    LatencyHistogram& latency = *latency_[queue];
    const std::uint64_t now = wall_clock_ns();
    for (std::uint32_t i = 0; i < n;) {
      // Packets that came in together have one time.
      const std::uint64_t then = packet_meta(packets[i]).capture_ns;
      const std::uint32_t first = i;
      while (++i < n && packet_meta(packets[i]).capture_ns == then) {
      }
      latency.add(now > then ? now - then : 0, i - first);
    }
  }
  pool_.put_as_they_are(packets, n);
}

void GeneratorPort::close() noexcept {
  for (RxQueue& rx : rx_) {
    pool_.put_as_they_are(rx.ready.data(), rx.n_ready);
    rx.n_ready = 0;
  }
}

}  // namespace hb
