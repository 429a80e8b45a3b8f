// ipsec's table for the device: kernels/esp_table.h, with the gate's configuration behind it.
#pragma once

#include <cstddef>

#include "nfs/ipsec/crypto.h"
#include "nfs/ipsec/sa.h"

namespace hb::ipsec {

/// @param iv_key  for this table alone
SecretVector<std::byte> build_device_table(const SaFile& file, const GateOptions& options,
                                           const Crypto& crypto, const IvKey& iv_key);

}  // namespace hb::ipsec
