// What the device has of an SA, for tests of the kernel's functions on the host.
#pragma once

#include <span>

#include "nf_lib/esp/device_keys.h"
#include "nfs/ipsec/sa.h"

namespace hb::test {

struct DeviceKeys {
  explicit DeviceKeys(const ipsec::SaConfig& config) {
    ipsec::make_cipher_tables(ciphers);
    ipsec::fill_device_sa(sa, config, {},
                          {.cipher = std::span(config.cipher_key).first(config.cipher_key_bytes),
                           .salt = config.salt,
                           .auth = std::span(config.auth_key).first(config.auth_key_bytes)},
                          ciphers);
  }

  HbEspCipherTables ciphers{};
  HbEspDeviceSa sa{};
};

}  // namespace hb::test
