// Capture files that --port names, checked before EAL starts.
#pragma once

#include <string>

#include "nf_lib/result.h"

namespace hb {

/// It is a readable capture of Ethernet packets: pcap or pcapng.
Result<void> check_rx_file(const std::string& path);

/// It can be written, or created, and is not the input file.
/// @param rx_path  the same port's input file
Result<void> check_tx_file(const std::string& path, const std::string& rx_path);

}  // namespace hb
