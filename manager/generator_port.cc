#include "manager/generator_port.h"

#include <fmt/format.h>
#include <rte_cycles.h>
#include <sys/stat.h>

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
  port->rate_pps_ = spec.rate_pps;
  for (std::uint32_t queue = 0; queue < n_tx_queues; ++queue) {
    port->latency_.push_back(std::make_unique<LatencyHistogram>());
    port->samples_.push_back(std::make_unique<GeneratorSample>());
  }
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
  rx.n_ready += pool_.take_as_they_are(rx.ready.data() + fresh, kMaxBurst - fresh);
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
    if (GeneratorSample& sample = *samples_[queue]; sample.is_wanted() && n != 0) {
      // NFs may have left anything in the header of the one that is copied.
      for (std::uint32_t i = 0; i < n; ++i) pool_.rebuild_header(packets[i]);
      sample.take({packets, n});
    }
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

void GeneratorPort::set_rate(std::uint32_t pps) noexcept {
  rate_pps_ = pps;
  for (const RxQueue& rx : rx_) rx.stream->set_rate(pps);
  LatencyHistogram counted;
  add_latency_to(counted);  // since the last time
  before_.add_all(counted);
}

void GeneratorPort::add_latency_to(LatencyHistogram& sum) const noexcept {
  for (const auto& latency : latency_) sum.add_all(*latency);
  sum.subtract(before_);
}

void GeneratorPort::begin_sample(std::uint32_t n_packets) {
  for (const auto& sample : samples_) sample->begin(n_packets);
}

Result<std::uint32_t> GeneratorPort::write_sample(const std::string& path) const {
  struct stat info {};
  // A pipe would keep the control thread waiting for a reader.
  if (::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode))
    return Error{fmt::format("sample file '{}' is no regular file", path),
                 "name one, or one that is yet to be made"};
  pcap_t* const format =
      pcap_open_dead_with_tstamp_precision(DLT_EN10MB, 65535, PCAP_TSTAMP_PRECISION_NANO);
  pcap_dumper_t* const out = pcap_dump_open(format, path.c_str());
  if (out == nullptr) {
    const Error why{fmt::format("sample file '{}' can't be written: {}", path, pcap_geterr(format)),
                    "name a file in a folder that is there"};
    pcap_close(format);
    return why;
  }
  std::uint32_t n = 0;
  for (const auto& sample : samples_) n += sample->write(out);
  const bool whole = pcap_dump_flush(out) == 0;
  pcap_dump_close(out);
  pcap_close(format);
  if (!whole)
    return Error{fmt::format("sample file '{}' can't be written", path), "free some disk"};
  return n;
}

void GeneratorPort::close() noexcept {
  for (RxQueue& rx : rx_) {
    pool_.put_as_they_are(rx.ready.data(), rx.n_ready);
    rx.n_ready = 0;
  }
}

}  // namespace hb
