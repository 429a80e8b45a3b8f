#include "nfs/ipsec/device_table.h"

#include <cstring>

#include "nf_lib/esp/device_keys.h"
#include "nf_lib/esp/gate_image.h"
#include "nfs/ipsec/engine.h"

namespace hb::ipsec {

SecretVector<std::byte> build_device_table(const SaFile& file, const GateOptions& options,
                                           const Crypto& crypto, const IvKey& iv_key) {
  const std::vector<std::byte> config = pack_gate(gate_config(file, options, crypto));
  const std::size_t config_at = sizeof(HbEspTable) + file.sas.size() * sizeof(HbEspDeviceSa);
  SecretVector<std::byte> table(config_at + config.size());
  auto& header = *reinterpret_cast<HbEspTable*>(table.data());
  // AES's first round keys are the key itself.
  fill_device_header(header, static_cast<u32>(file.sas.size()), table.size(),
                     std::span(iv_key.round_keys).first<IvKey::kSeedBytes>());
  auto* const sas = reinterpret_cast<HbEspDeviceSa*>(table.data() + sizeof(HbEspTable));
  for (std::size_t i = 0; i < file.sas.size(); ++i) {
    const SaConfig& sa = file.sas[i];
    fill_device_sa(sas[i], sa, options,
                   {.cipher = std::span(sa.cipher_key).first(sa.cipher_key_bytes),
                    .salt = sa.salt,
                    .auth = std::span(sa.auth_key).first(sa.auth_key_bytes)},
                   header.ciphers);
  }
  std::memcpy(table.data() + config_at, config.data(), config.size());
  return table;
}

}  // namespace hb::ipsec
