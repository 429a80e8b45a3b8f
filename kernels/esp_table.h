// ipsec's table on the device: keys in the form in which a work-item uses them. Made by the NF's
// control process, completed and checked by gpu_host. Behind it, for the host alone, lies the
// configuration from which the NF's gate is made (nf_lib/esp/gate_image.h).
#ifndef HB_KERNELS_ESP_TABLE_H
#define HB_KERNELS_ESP_TABLE_H

#include "esp_layout.h"

#define HB_ESP_TABLE_MAGIC 0x50534548u  // "HESP"
#define HB_ESP_TABLE_VERSION 2u
#define HB_ESP_MAX_SAS 4096u
/// Work-items of a group: what local memory holds a row for.
#define HB_ESP_MAX_LANES 256u

/// Look-up tables that every packet needs, and that a work-group takes into its local memory.
typedef struct HbEspCipherTables {
  u32 encrypt[256];  ///< AES T-table: S-box and MixColumns of a column's first byte
  u32 decrypt[256];  ///< the same of the inverse cipher
  u32 inverse_sbox[64];
  u32 reduce[16];  ///< GHASH: what four bits shifted out add to the upper 16 bits
} HbEspCipherTables;
#define HB_ESP_CIPHER_WORDS (256u + 256u + 64u + 16u)

/// One SA. Words of keys and hashes are numbers, as their standards write them.
typedef struct HbEspDeviceSa {
  HbEspSa wire;
  u32 encrypt_keys[60];  ///< AES round keys; at a multiple of 16 bytes
  u32 decrypt_keys[60];  ///< of the equivalent inverse cipher, FIPS 197 section 5.3.5
  u32 hmac_inner[8];     ///< hash state after the key xor ipad
  u32 hmac_outer[8];
  u32 ghash[16][4];  ///< multiples of the hash key by polynomials of four bits
  u64 iv_base;       ///< GCM: added to the sequence number gives the IV; gpu_host's to fill in
  u32 n_rounds;      ///< of AES: 10 or 14
  u32 salt;
  u32 reserved[4];
} HbEspDeviceSa;

typedef struct HbEspTable {
  u32 magic;
  u32 version;
  u32 n_sas;
  u32 reserved;
  u64 sas_offset;     ///< HbEspDeviceSa[n_sas]
  u64 config_offset;  ///< for the host; to the end
  u64 total_bytes;
  u32 reserved2[2];
  u32 iv_keys[44];  ///< AES-128 round keys from which CBC's IVs are made; at a multiple of 16 bytes
  u32 reserved3[8];
  HbEspCipherTables ciphers;
} HbEspTable;

HB_STATIC_ASSERT(sizeof(HbEspCipherTables) == HB_ESP_CIPHER_WORDS * 4, esp_cipher_tables_size);
HB_STATIC_ASSERT(sizeof(HbEspDeviceSa) == 896, esp_device_sa_size);
HB_STATIC_ASSERT(sizeof(HbEspTable) % 64 == 0, esp_table_size);

/// What is to be done with a slot's packet, in its two private words. The host's gate decides it
/// (nf_lib/esp/gate.h); the kernel trusts no length in it.
///   a             the sequence number
///   b  bits 0..3  HB_ESP_ACTION_*
///   b  bits 4..19 index of the SA, or the drop reason
///   b  20..31     where the IP header starts in the packet
///   b  32..47     opening: where the ESP header starts
///   b  48..63     bytes of the IP packet to be sealed, or from the ESP header on
#define HB_ESP_ACTION_NONE 0u  ///< nobody decided: no verdict
#define HB_ESP_ACTION_DROP 1u
#define HB_ESP_ACTION_PASS 2u
#define HB_ESP_ACTION_SEAL 3u
#define HB_ESP_ACTION_OPEN 4u
#define HB_ESP_ORDER(action, index, ip_at, esp_at, bytes)                                \
  ((u64)((action)&15u) | ((u64)((index)&0xffffu) << 4) | ((u64)((ip_at)&0xfffu) << 20) | \
   ((u64)((esp_at)&0xffffu) << 32) | ((u64)((bytes)&0xffffu) << 48))
#define HB_ESP_ORDER_ACTION(b) ((u32)((b)&15u))
#define HB_ESP_ORDER_INDEX(b) ((u32)(((b) >> 4) & 0xffffu))
#define HB_ESP_ORDER_IP_AT(b) ((u32)(((b) >> 20) & 0xfffu))
#define HB_ESP_ORDER_ESP_AT(b) ((u32)(((b) >> 32) & 0xffffu))
#define HB_ESP_ORDER_BYTES(b) ((u32)(((b) >> 48) & 0xffffu))

/// An Ethernet header with two VLAN tags: no packet's IP header starts later.
#define HB_ESP_MAX_IP_AT 22u

#if !defined(__OPENCL_C_VERSION__) && !defined(__CUDACC__) && !defined(__CUDACC_RTC__)
/// Whether a kernel that reads this table stays inside it, whatever packets and words hold.
/// @param bytes  64-byte aligned; of the whole table
static inline bool esp_table_valid(const u8* table, u64 bytes) {
  if (bytes < sizeof(HbEspTable) || reinterpret_cast<std::uintptr_t>(table) % 8 != 0) return false;
  const auto* const header = reinterpret_cast<const HbEspTable*>(table);
  if (header->magic != HB_ESP_TABLE_MAGIC || header->version != HB_ESP_TABLE_VERSION ||
      header->total_bytes != bytes || header->n_sas > HB_ESP_MAX_SAS ||
      header->sas_offset != sizeof(HbEspTable) ||
      header->config_offset != sizeof(HbEspTable) + header->n_sas * sizeof(HbEspDeviceSa) ||
      header->config_offset > bytes)
    return false;
  for (u32 i = 0; i < header->n_sas; ++i) {
    const HbEspDeviceSa& sa = reinterpret_cast<const HbEspDeviceSa*>(table + sizeof(HbEspTable))[i];
    const bool gcm = (sa.wire.flags & HB_ESP_GCM) != 0;
    const bool sha1 = !gcm && (sa.wire.flags & HB_ESP_SHA256) == 0;
    if ((sa.wire.outer_bytes != 20 && sa.wire.outer_bytes != 40) ||
        sa.wire.iv_bytes != (gcm ? 8u : 16u) || sa.wire.icv_bytes != (sha1 ? 12u : 16u) ||
        sa.wire.block_bytes != (gcm ? 4u : 16u) || (sa.n_rounds != 10 && sa.n_rounds != 14))
      return false;
  }
  return true;
}
#endif

#endif  // HB_KERNELS_ESP_TABLE_H
