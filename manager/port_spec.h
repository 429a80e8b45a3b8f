// --port SPEC: what it says, checked before EAL starts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "manager/generator.h"
#include "nf_lib/result.h"

namespace hb {

enum class PortKind : std::uint8_t {
  kPcap,      ///< pcap:rx=FILE[,tx=FILE]
  kTap,       ///< tap:NAME
  kAfPacket,  ///< af_packet:IFACE
  kNull,      ///< null[:size=BYTES]
  kGen,       ///< gen:size=BYTES|imix[,flows=N][,payload=FILE][,rate=PPS]
  kPci,       ///< pci:BDF
  kVdev,      ///< vdev:STRING
};

/// One --port option.
struct PortSpec {
  PortKind kind = PortKind::kNull;
  std::string text;         ///< as the user gave it
  std::string device;       ///< DPDK's name of the device, by which ports.h finds it
  std::string eal_arg;      ///< for rte_eal_init: "--vdev=net_pcap0,..." or "--allow=0000:03:00.0"
  bool lossless = false;    ///< a file: nothing of it may be lost, and an empty poll is its end
  std::string rx_file;      ///< kPcap: what is read; kGen: where payloads come from, or empty
  std::string tx_file;      ///< kPcap only; empty when what is sent is only counted
  GeneratorSpec generator;  ///< kGen and kNull only
};

/// Checks one SPEC and everything it names that can be checked without EAL: input files are
/// readable Ethernet captures, the output file's folder can be written, interfaces exist.
///
/// A pcap input may be pcap or pcapng, with microseconds or nanoseconds.
/// @param index             number of the port, from 0; part of the device's name
/// @param max_packet_bytes  --mbuf-size: bound of null's size=
/// @return an error that names the option's value
Result<PortSpec> parse_port_spec(const std::string& text, unsigned index,
                                 std::uint32_t max_packet_bytes);

/// All --port options, in the order given, and what only shows between them: an interface, a device
/// or an output file that is used twice, an output file that is also an input.
Result<std::vector<PortSpec>> parse_port_specs(const std::vector<std::string>& texts,
                                               std::uint32_t max_packet_bytes);

/// The ports' part of EAL's command line. Without any kPci port it has "--no-pci".
std::vector<std::string> port_eal_args(const std::vector<PortSpec>& specs);

}  // namespace hb
