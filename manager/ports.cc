#include "manager/ports.h"

#include <fmt/format.h>
#include <rte_ethdev.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

namespace hb {
namespace {

/// What an Ethernet header, two VLAN tags and a checksum add to a packet of the MTU.
constexpr std::uint32_t kFrameOverheadBytes =
    RTE_ETHER_HDR_LEN + 2 * RTE_VLAN_HLEN + RTE_ETHER_CRC_LEN;
constexpr std::uint32_t kUsualPacketBytes = 2048;
/// A pcap file's header, and the header of each record.
constexpr std::uint64_t kPcapFileHeaderBytes = 24;
constexpr std::uint64_t kPcapRecordHeaderBytes = 16;

Error failed(const PortSpec& spec, const char* step, int status) {
  return Error{.what = fmt::format("--port '{}': {} failed: {}", spec.text, step,
                                   rte_strerror(status < 0 ? -status : status)),
               .fix = "DPDK's own lines above may say more"};
}

rte_eth_conf device_config(const PortOptions& options, const rte_eth_dev_info& info,
                           std::uint16_t n_rx_queues) {
  rte_eth_conf config{};
  if (options.max_packet_bytes > kUsualPacketBytes)
    config.rxmode.mtu = std::clamp<std::uint32_t>(options.max_packet_bytes - kFrameOverheadBytes,
                                                  info.min_mtu, info.max_mtu);
  if (n_rx_queues > 1) {
    const std::uint64_t wanted = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;
    config.rx_adv_conf.rss_conf.rss_hf = wanted & info.flow_type_rss_offloads;
    if (config.rx_adv_conf.rss_conf.rss_hf != 0) config.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
  }
  return config;
}

/// Promiscuous and link up; a driver that has no such operation has nothing to switch.
Result<void> go_up(const Port& port) {
  if (const int status = rte_eth_promiscuous_enable(port.id); status != 0 && status != -ENOTSUP)
    return failed(port.spec, "promiscuous mode", status);
  if (const int status = rte_eth_dev_set_link_up(port.id); status != 0 && status != -ENOTSUP)
    return failed(port.spec, "setting the link up", status);
  return {};
}

Result<void> start_port(Port& port, const PortOptions& options) {
  rte_eth_dev_info info{};
  if (const int status = rte_eth_dev_info_get(port.id, &info); status != 0)
    return failed(port.spec, "reading the device's limits", status);
  port.driver = info.driver_name != nullptr ? info.driver_name : "";
  port.socket = rte_eth_dev_socket_id(port.id);
  // net_tap refuses any number of RX queues but that of its TX queues.
  const std::uint16_t most = port.driver == "net_tap" ? std::uint16_t{1} : info.max_rx_queues;
  port.n_rx_queues = std::min(std::max<std::uint16_t>(options.n_rx_queues, 1), most);
  const rte_eth_conf config = device_config(options, info, port.n_rx_queues);
  // A file has one order, and a kernel's interface one queue worth having.
  const bool parallel = port.spec.kind == PortKind::kPci || port.spec.kind == PortKind::kGen ||
                        port.spec.kind == PortKind::kNull;
  if (parallel && info.max_tx_queues >= options.n_tx_queues) port.n_tx_queues = options.n_tx_queues;
  if (const int status =
          rte_eth_dev_configure(port.id, port.n_rx_queues, port.n_tx_queues, &config);
      status != 0)
    return failed(port.spec, "configuring it", status);
  port.n_rx_desc = options.n_rx_desc;
  port.n_tx_desc = options.n_tx_desc;
  if (const int status =
          rte_eth_dev_adjust_nb_rx_tx_desc(port.id, &port.n_rx_desc, &port.n_tx_desc);
      status != 0)
    return failed(port.spec, "adjusting its queues' length", status);
  const auto node = static_cast<unsigned>(port.socket);
  for (std::uint16_t queue = 0; queue < port.n_rx_queues; ++queue) {
    if (const int status =
            rte_eth_rx_queue_setup(port.id, queue, port.n_rx_desc, node, nullptr, options.pool);
        status != 0)
      return failed(port.spec, "setting up an RX queue", status);
  }
  for (std::uint16_t queue = 0; queue < port.n_tx_queues; ++queue) {
    if (const int status = rte_eth_tx_queue_setup(port.id, queue, port.n_tx_desc, node, nullptr);
        status != 0)
      return failed(port.spec, "setting up a TX queue", status);
  }
  if (!port.spec.generator.sizes.empty() && options.packets != nullptr) {
    Result<std::shared_ptr<GeneratorPort>> generator = GeneratorPort::make(
        port.spec.generator, *options.packets, port.n_rx_queues, port.n_tx_queues);
    if (!generator)
      return Error{fmt::format("--port '{}': {}", port.spec.text, generator.error().what),
                   generator.error().fix};
    port.generator = std::move(*generator);
  }
  if (const int status = rte_eth_dev_start(port.id); status != 0)
    return failed(port.spec, "starting it", status);
  if (const Result<void> up = go_up(port); !up) return up;
  rte_eth_dev_get_mtu(port.id, &port.mtu);
  if (const int status = rte_eth_macaddr_get(port.id, &port.mac); status != 0)
    return failed(port.spec, "reading its MAC address", status);
  return {};
}

/// net_pcap does not notice a full disk: pcap_dump() has no result. The file's size shows it.
Result<void> check_written(const Port& port, const rte_eth_stats& stats) {
  struct stat info {};
  if (port.spec.tx_file.empty()) return {};
  if (::stat(port.spec.tx_file.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) return {};
  const std::uint64_t expected =
      kPcapFileHeaderBytes + stats.opackets * kPcapRecordHeaderBytes + stats.obytes;
  const auto written = static_cast<std::uint64_t>(info.st_size);
  if (written == expected) return {};
  return Error{.what = fmt::format("output file '{}' has {} bytes instead of {}", port.spec.tx_file,
                                   written, expected),
               .fix = "check that the disk is not full and that nothing else writes this file"};
}

Result<void> close_port(const Port& port) {
  rte_eth_stats stats{};
  const bool has_stats = rte_eth_stats_get(port.id, &stats) == 0;
  if (port.generator) port.generator->close();
  const int stopped = rte_eth_dev_stop(port.id);
  const int closed = rte_eth_dev_close(port.id);
  if (stopped != 0) return failed(port.spec, "stopping it", stopped);
  if (closed != 0) return failed(port.spec, "closing it", closed);
  return has_stats ? check_written(port, stats) : Result<void>{};
}

}  // namespace

Result<std::vector<Port>> open_ports(const std::vector<PortSpec>& specs,
                                     const PortOptions& options) {
  std::vector<Port> ports;
  for (const PortSpec& spec : specs) {
    Port port;
    port.spec = spec;
    Result<void> started;
    if (const int status = rte_eth_dev_get_port_by_name(spec.device.c_str(), &port.id); status != 0)
      started =
          Error{.what = fmt::format("--port '{}': DPDK has no device '{}'", spec.text, spec.device),
                .fix = spec.kind == PortKind::kPci ? "bind it to vfio-pci first (dpdk-devbind.py)"
                                                   : "DPDK's own lines above may say why"};
    else if (started = start_port(port, options); !started)
      rte_eth_dev_close(port.id);
    if (!started) {
      static_cast<void>(close_ports(ports));  // the first error is the one to report
      return started.error();
    }
    ports.push_back(port);
  }
  return ports;
}

Result<void> close_ports(std::vector<Port>& ports) {
  Result<void> first;
  for (const Port& port : ports) {
    const Result<void> closed = close_port(port);
    if (!closed && first) first = closed;
  }
  ports.clear();
  return first;
}

}  // namespace hb
