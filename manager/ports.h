// The Ethernet ports: opened after EAL has started, closed before the packet pool is counted.
//
// What net_pcap does (DPDK 22.11.11, measured with libpcap 1.10.3), for those who poll a file port:
//   - Capture time: the mbuf's RX timestamp field (rte_mbuf_dyn_rx_timestamp_register, which the
//     driver calls when EAL probes it) holds MICROseconds since 1970, with the flag set on every
//     packet; nanosecond captures, pcap or pcapng, lose their last three digits.
//   - End of file: a burst of 0 and no change of rte_eth_stats' ierrors and rx_nombuf. A burst also
//     ends early after a bad record (a file that is cut short: ierrors 1, then 0 for ever; a pcapng
//     record of an interface with another link type: ierrors 1, and the next burst goes on).
//   - Without a free mbuf the record that was just read is lost: rx_nombuf when the first segment
//     is missing, ierrors when a later one is.
//   - A record longer than the data room comes in several segments, 31 mbufs for 65,535 bytes and
//     2048 bytes of room. Above 131,071 bytes pkt_len exceeds the segments' sum: such a packet must
//     be freed, rte_pktmbuf_linearize() refuses it, and sending it is a crash.
//   - Records of 0 to 13 bytes arrive as they are. Descriptor counts mean nothing; no mbuf is held.
//   - Output: pcap with nanoseconds; the time is that of sending; bytes as they are, 0 and beyond
//     1514 too, but several segments are cut at 16,128 bytes. A full disk goes unnoticed:
//     close_ports() compares the file's size. Without tx= packets are counted and freed.
// net_tap fills its RX descriptors with mbufs when it starts, takes as many RX as TX queues, and
// logs errors about a multiq qdisc where the kernel has none: it works without.
#pragma once

#include <rte_ethdev.h>
#include <rte_ether.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "manager/generator_port.h"
#include "manager/port_spec.h"
#include "nf_lib/result.h"

namespace hb {

/// What all ports are opened with.
struct PortOptions {
  std::uint16_t n_rx_queues = 1;  ///< RX threads; a device with fewer queues gets as many as it has
  std::uint16_t n_tx_queues = 1;  ///< TX threads; only devices that send in parallel get as many
  std::uint16_t n_rx_desc = 1024;
  std::uint16_t n_tx_desc = 1024;
  std::uint32_t max_packet_bytes = 2048;  ///< --mbuf-size; above 2048 the MTU is raised to fit
  rte_mempool* pool = nullptr;            ///< where drivers put received packets
  /// The same, for gen: and null ports, which need no driver for theirs. Without it net_null makes
  /// those of null, and there is no gen:.
  const PacketPool* packets = nullptr;
};

/// An open port. Its number on the command line is its index in the vector.
struct Port {
  std::uint16_t id = 0;  ///< DPDK's port id; may differ from the number
  PortSpec spec;
  int socket = 0;                 ///< NUMA node of the device, or SOCKET_ID_ANY
  std::uint16_t n_rx_queues = 1;  ///< 1..PortOptions::n_rx_queues
  std::uint16_t n_tx_queues = 1;  ///< 1 or PortOptions::n_tx_queues
  std::uint16_t n_rx_desc = 0;    ///< of each queue, after the driver's adjustment
  std::uint16_t n_tx_desc = 0;
  std::uint16_t mtu = 0;
  rte_ether_addr mac{};
  std::string driver;
  std::shared_ptr<GeneratorPort> generator;  ///< of a gen: or null port; null: a driver's
};

/// Takes up to kMaxBurst packets that have come in. The queue's RX thread.
/// @return how many
inline std::uint16_t receive_burst(const Port& port, std::uint16_t queue,
                                   rte_mbuf** burst) noexcept {
  if (port.generator == nullptr) return rte_eth_rx_burst(port.id, queue, burst, kMaxBurst);
  const std::uint16_t n = port.generator->receive(queue, burst);
  // Relaxed, as in rte_eth_rx_burst: what it points to is reached through it alone.
  void* const watcher = __atomic_load_n(&rte_eth_fp_ops[port.id].rxq.clbk[queue], __ATOMIC_RELAXED);
  if (watcher == nullptr) return n;
  return rte_eth_call_rx_callbacks(port.id, queue, burst, n, kMaxBurst, watcher);
}

/// Sends packets; those of a port with a generator may have any header, data_ok() apart. The
/// queue's TX thread.
/// @return how many have gone
inline std::uint32_t send_burst(const Port& port, std::uint16_t queue, rte_mbuf** packets,
                                std::uint32_t n) noexcept {
  if (port.generator == nullptr)
    return rte_eth_tx_burst(port.id, queue, packets, static_cast<std::uint16_t>(n));
  void* const watcher = __atomic_load_n(&rte_eth_fp_ops[port.id].txq.clbk[queue], __ATOMIC_RELAXED);
  if (watcher != nullptr) {
    for (std::uint32_t i = 0; i < n; ++i) port.generator->pool().rebuild_header(packets[i]);
    rte_eth_call_tx_callbacks(port.id, queue, packets, static_cast<std::uint16_t>(n), watcher);
  }
  port.generator->send(queue, packets, n);
  return n;
}

/// Configures and starts the port of each spec: promiscuous, link up.
/// On an error, the ports opened so far are closed again. Control thread only.
Result<std::vector<Port>> open_ports(const std::vector<PortSpec>& specs,
                                     const PortOptions& options);

/// Stops and closes all ports and empties the vector; then no driver holds a packet, and output
/// files are complete. RX and TX threads must have ended.
/// @return an error naming the first port that did not stop; the others are closed all the same
Result<void> close_ports(std::vector<Port>& ports);

}  // namespace hb
