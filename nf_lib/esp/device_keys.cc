#include "nf_lib/esp/device_keys.h"

#include <array>
#include <cstring>

#include "kernels/aes.h"
#include "kernels/esp_headers.h"
#include "kernels/sha.h"
#include "nf_lib/esp/sa_table.h"

namespace hb::ipsec {
namespace {

/// Multiplies in GF(2^8): FIPS 197 section 4.2.
std::uint32_t times(std::uint32_t a, std::uint32_t b) {
  std::uint32_t product = 0;
  for (; b != 0; b >>= 1) {
    if ((b & 1) != 0) product ^= a;
    a = a << 1 ^ ((a & 0x80) != 0 ? 0x11b : 0);
  }
  return product & 0xff;
}

/// FIPS 197 section 5.1.1: the inverse, then an affine map.
std::uint32_t sbox(std::uint32_t x) {
  std::uint32_t inverse = 1;  // x^254
  for (int bit = 7; bit >= 0; --bit) {
    inverse = times(inverse, inverse);
    if ((254 >> bit & 1) != 0) inverse = times(inverse, x);
  }
  std::uint32_t s = inverse;
  for (int turn = 1; turn <= 4; ++turn) s ^= (inverse << turn | inverse >> (8 - turn)) & 0xff;
  return s ^ 0x63;
}

/// The S-box on each byte of a word.
std::uint32_t substitute(const HbEspCipherTables& tables, std::uint32_t word) {
  std::uint32_t result = 0;
  for (int shift = 0; shift < 32; shift += 8)
    result |= (tables.encrypt[word >> shift & 0xff] >> 8 & 0xff) << shift;
  return result;
}

/// Round keys of the equivalent inverse cipher: FIPS 197 section 5.3.5.
void invert_keys(const std::uint32_t* encrypt, std::uint32_t n_rounds,
                 const HbEspCipherTables& tables, std::uint32_t* decrypt) {
  for (std::uint32_t round = 0; round <= n_rounds; ++round) {
    for (std::uint32_t column = 0; column < 4; ++column) {
      const std::uint32_t word = encrypt[4 * (n_rounds - round) + column];
      const bool is_end = round == 0 || round == n_rounds;
      const std::uint32_t s = substitute(tables, word);  // the table undoes it
      decrypt[4 * round + column] = is_end ? word : hb_aes_column(tables.decrypt, s, s, s, s, 0);
    }
  }
}

/// The multiples of the hash key H by all polynomials of four bits: 8 is H itself.
void make_ghash_table(HbEspDeviceSa& sa, const HbEspCipherTables& ciphers) {
  const HbAesTables aes{ciphers.encrypt, ciphers.decrypt, ciphers.inverse_sbox};
  std::uint32_t h[4] = {};
  hb_aes_encrypt(&aes, sa.encrypt_keys, sa.n_rounds, h);
  for (std::uint32_t i = 8; i != 0; i >>= 1) {
    std::memcpy(sa.ghash[i], h, sizeof(h));
    const std::uint32_t out = h[3] & 1;
    for (int word = 3; word > 0; --word) h[word] = h[word] >> 1 | h[word - 1] << 31;
    h[0] = h[0] >> 1 ^ (out != 0 ? 0xe1000000 : 0);
  }
  for (const std::uint32_t high : {2u, 4u, 8u})
    for (std::uint32_t low = 1; low < high; ++low)
      for (int word = 0; word < 4; ++word)
        sa.ghash[high + low][word] = sa.ghash[high][word] ^ sa.ghash[low][word];
  explicit_bzero(h, sizeof(h));
}

/// The hash's state behind its first block, the padded key: RFC 2104.
void begin_hmac(std::span<const std::uint8_t> key, std::uint8_t pad, bool is_256,
                std::uint32_t* state) {
  constexpr std::uint32_t kSha1[8] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
  constexpr std::uint32_t kSha256[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::uint8_t, 64> block{};
  if (!key.empty()) std::memcpy(block.data(), key.data(), key.size());
  for (std::uint8_t& byte : block) byte ^= pad;
  std::uint32_t words[16];
  for (std::size_t i = 0; i < 16; ++i) words[i] = hb_be32(block.data() + 4 * i);
  std::memcpy(state, is_256 ? kSha256 : kSha1, sizeof(kSha256));
  hb_sha_compress(is_256, state, words);
  explicit_bzero(words, sizeof(words));
  explicit_bzero(block.data(), block.size());
}

}  // namespace

void make_cipher_tables(HbEspCipherTables& tables) {
  for (std::uint32_t x = 0; x < 256; ++x) {
    const std::uint32_t s = sbox(x);
    tables.encrypt[x] = times(s, 2) << 24 | s << 16 | s << 8 | times(s, 3);
    tables.decrypt[s] = times(x, 14) << 24 | times(x, 9) << 16 | times(x, 13) << 8 | times(x, 11);
    const std::uint32_t shift = s % 4 * 8;
    tables.inverse_sbox[s / 4] = (tables.inverse_sbox[s / 4] & ~(0xffu << shift)) | x << shift;
  }
  // A bit that leaves at the right comes back as x^128 = 1 + x + x^2 + x^7, from the left.
  for (std::uint32_t i = 0; i < 16; ++i) {
    tables.reduce[i] = 0;
    for (std::uint32_t bit = 0; bit < 4; ++bit)
      if ((i >> bit & 1) != 0) tables.reduce[i] ^= 0xe100u >> (3 - bit);
  }
}

void expand_aes(std::span<const std::uint8_t> key, const HbEspCipherTables& tables,
                std::uint32_t* words) {
  const std::size_t n_key = key.size() / 4;
  std::uint32_t constant = 1;
  for (std::size_t i = 0; i < 4 * (n_key + 7); ++i) {
    if (i < n_key) {
      words[i] = hb_be32(key.data() + 4 * i);
      continue;
    }
    std::uint32_t word = words[i - 1];
    if (i % n_key == 0) {
      word = substitute(tables, word << 8 | word >> 24) ^ constant << 24;
      constant = times(constant, 2);
    } else if (n_key == 8 && i % n_key == 4) {
      word = substitute(tables, word);
    }
    words[i] = words[i - n_key] ^ word;
  }
}

void fill_device_sa(HbEspDeviceSa& sa, const SaParameters& parameters, const GateOptions& options,
                    const KeyMaterial& keys, const HbEspCipherTables& tables) {
  sa.wire = make_wire(parameters, options);
  sa.n_rounds = keys.cipher.size() == 16 ? 10 : 14;
  expand_aes(keys.cipher, tables, sa.encrypt_keys);
  if (parameters.algorithm == Algorithm::kAesGcm) {
    sa.salt = hb_be32(keys.salt.data());
    make_ghash_table(sa, tables);
    return;
  }
  invert_keys(sa.encrypt_keys, sa.n_rounds, tables, sa.decrypt_keys);
  const bool is_256 = parameters.algorithm == Algorithm::kAesCbcSha256;
  begin_hmac(keys.auth, 0x36, is_256, sa.hmac_inner);
  begin_hmac(keys.auth, 0x5c, is_256, sa.hmac_outer);
}

void fill_device_header(HbEspTable& header, std::uint32_t n_sas, std::uint64_t total_bytes,
                        std::span<const std::uint8_t, 16> iv_key) {
  header.magic = HB_ESP_TABLE_MAGIC;
  header.version = HB_ESP_TABLE_VERSION;
  header.n_sas = n_sas;
  header.sas_offset = sizeof(HbEspTable);
  header.config_offset = sizeof(HbEspTable) + n_sas * sizeof(HbEspDeviceSa);
  header.total_bytes = total_bytes;
  make_cipher_tables(header.ciphers);
  expand_aes(iv_key, header.ciphers, header.iv_keys);
}

}  // namespace hb::ipsec
