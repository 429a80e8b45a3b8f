// Keys as the device's work-items use them: kernels/esp_table.h.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/esp_table.h"
#include "nf_lib/esp/sa.h"

namespace hb::ipsec {

/// The keys of an SA as configured.
struct KeyMaterial {
  std::span<const std::uint8_t> cipher;   ///< 16 or 32 bytes
  std::span<const std::uint8_t, 4> salt;  ///< kAesGcm
  std::span<const std::uint8_t> auth;     ///< of the CBC algorithms, at most 64 bytes
};

void make_cipher_tables(HbEspCipherTables& tables);

/// AES round keys (FIPS 197 section 5.2): 4 * (n_rounds + 1) words.
void expand_aes(std::span<const std::uint8_t> key, const HbEspCipherTables& tables,
                std::uint32_t* words);

/// Fills in all but the IVs' base, which depends on when the SA was first seen.
/// @param sa  zero; in secret memory
void fill_device_sa(HbEspDeviceSa& sa, const SaParameters& parameters, const GateOptions& options,
                    const KeyMaterial& keys, const HbEspCipherTables& tables);

/// Fills in everything in front of the SAs.
/// @param header  zero
void fill_device_header(HbEspTable& header, std::uint32_t n_sas, std::uint64_t total_bytes,
                        std::span<const std::uint8_t, 16> iv_key);

}  // namespace hb::ipsec
