// NIST's CAVP vectors, on the ciphers of both twins: intel-ipsec-mb with the keys that Crypto
// expands, and the kernel's functions with the keys that go to the device.
#include <fstream>
#include <map>

#include "kernels/aes.h"
#include "kernels/esp_headers.h"
#include "kernels/ghash.h"
#include "nfs/ipsec/crypto.h"
#include "nfs/ipsec/write_headers.h"
#include "tests/unit/capture_reader.h"
#include "tests/unit/ipsec_device_keys.h"
#include "tests/unit/ipsec_reference.h"

namespace hb::test {
namespace {

using namespace ipsec;

constexpr std::size_t kTagBytes = 16;

/// One record of a file: its fields by name, in capitals.
struct Record {
  std::map<std::string, std::string> fields;
  bool encrypts = false;  ///< of the section [ENCRYPT]
  bool fails = false;

  [[nodiscard]] Bytes bytes(const std::string& name) const { return from_hex(fields.at(name)); }
};

/// The records of a file of tests/data/cavp.
std::vector<Record> read_cavp(const std::string& name) {
  std::ifstream file(data_dir() / "cavp" / name);
  EXPECT_TRUE(file.is_open()) << name;
  std::vector<Record> records;
  bool encrypts = false;
  for (std::string line; std::getline(file, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (line == "[ENCRYPT]" || line == "[DECRYPT]") encrypts = line == "[ENCRYPT]";
    if (line == "FAIL") records.back().fails = true;
    const std::size_t equals = line.find(" =");
    if (equals == std::string::npos || line.front() == '[' || line.front() == '#') continue;
    std::string key = line.substr(0, equals);
    for (char& c : key) c = static_cast<char>(std::toupper(c));
    if (key == "COUNT") records.push_back({.fields = {}, .encrypts = encrypts});
    records.back().fields[key] = line.substr(std::min(line.size(), equals + 3));
  }
  return records;
}

SaConfig config_of(Algorithm algorithm, const Bytes& key) {
  SaConfig config;
  config.algorithm = algorithm;
  config.cipher_key_bytes = static_cast<std::uint32_t>(key.size());
  std::ranges::copy(key, config.cipher_key.begin());
  config.auth_key_bytes = 20;
  return config;
}

/// The kernel's ciphers with an SA's keys.
struct DeviceCiphers : DeviceKeys {
  using DeviceKeys::DeviceKeys;

  /// Enciphers or deciphers one block of 16 bytes.
  void block(bool encrypts, std::uint8_t* bytes) const {
    const HbAesTables tables{ciphers.encrypt, ciphers.decrypt, ciphers.inverse_sbox};
    u32 words[4];
    load(bytes, words);
    if (encrypts)
      hb_aes_encrypt(&tables, sa.encrypt_keys, sa.n_rounds, words);
    else
      hb_aes_decrypt(&tables, sa.decrypt_keys, sa.n_rounds, words);
    store(words, bytes);
  }

  /// GHASH over bytes that are filled up with zeros to whole blocks.
  void ghash(const Bytes& bytes, u32* y) const {
    for (std::size_t at = 0; at < bytes.size(); at += 16) {
      std::uint8_t padded[16] = {};
      std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                  std::min<std::size_t>(16, bytes.size() - at), padded);
      u32 words[4];
      load(padded, words);
      hb_ghash_block(sa.ghash, ciphers.reduce, y, words);
    }
  }

  static void load(const std::uint8_t* bytes, u32* words) {
    for (int i = 0; i < 4; ++i) words[i] = hb_be32(bytes + 4 * i);
  }
  static void store(const u32* words, std::uint8_t* bytes) {
    for (int i = 0; i < 4; ++i) ipsec::put_be32(bytes + 4 * i, words[i]);
  }
};

/// One packet's sealed part through the CPU twin's job.
Bytes cbc_by_cpu(Crypto& crypto, const SaConfig& config, bool seals, const Bytes& iv,
                 const Bytes& from) {
  SaKeys keys{};
  crypto.expand(config, keys);
  HbEspSa wire{};
  wire.iv_bytes = wire.block_bytes = 16;
  wire.icv_bytes = 12;
  Bytes esp(8);
  esp.insert(esp.end(), iv.begin(), iv.end());
  esp.insert(esp.end(), from.begin(), from.end());
  esp.resize(esp.size() + wire.icv_bytes);
  CryptoJob job{&wire, &keys,  esp.data(), static_cast<std::uint32_t>(from.size()),
                0,     !seals, false};
  crypto.run({&job, 1});
  return {esp.begin() + 24, esp.end() - wire.icv_bytes};
}

Bytes cbc_by_device(const SaConfig& config, bool seals, Bytes chain, const Bytes& from) {
  const DeviceCiphers keys(config);
  Bytes to = from;
  for (std::size_t at = 0; at < to.size(); at += 16) {
    std::uint8_t* const block = to.data() + at;
    if (seals)
      for (int i = 0; i < 16; ++i) block[i] ^= chain[static_cast<std::size_t>(i)];
    keys.block(seals, block);
    if (!seals)
      for (int i = 0; i < 16; ++i) block[i] ^= chain[static_cast<std::size_t>(i)];
    const Bytes& wire = seals ? to : from;
    chain.assign(wire.begin() + static_cast<std::ptrdiff_t>(at),
                 wire.begin() + static_cast<std::ptrdiff_t>(at + 16));
  }
  return to;
}

TEST(Cavp, AesCbc) {
  auto crypto = Crypto::make();
  ASSERT_TRUE(crypto.ok());
  std::size_t n = 0;
  for (const char* const kind : {"GFSbox", "KeySbox", "VarKey", "VarTxt", "MMT"}) {
    for (const char* const bits : {"128", "256"}) {
      const std::string name = std::string("CBC") + kind + bits + ".rsp";
      for (const Record& record : read_cavp(name)) {
        const SaConfig config = config_of(Algorithm::kAesCbcSha1, record.bytes("KEY"));
        const Bytes iv = record.bytes("IV");
        const Bytes from = record.bytes(record.encrypts ? "PLAINTEXT" : "CIPHERTEXT");
        const Bytes to = record.bytes(record.encrypts ? "CIPHERTEXT" : "PLAINTEXT");
        const std::string where = name + " " + record.fields.at("COUNT");
        ASSERT_EQ(cbc_by_cpu(*crypto, config, record.encrypts, iv, from), to) << where;
        ASSERT_EQ(cbc_by_device(config, record.encrypts, iv, from), to) << where;
        ++n;
      }
    }
  }
  EXPECT_EQ(n, 2u * (7 + 5 + 21 + 16 + 128 + 256 + 128 + 128 + 10 + 10));
}

struct Sealed {
  Bytes text, tag;
  bool operator==(const Sealed&) const = default;
};

/// @param text  sealing, the plain text; opening, the sealed one
Sealed gcm_by_cpu(const Crypto& crypto, const SaConfig& config, bool seals, const Bytes& iv,
                  const Bytes& aad, const Bytes& text) {
  SaKeys keys{};
  crypto.expand(config, keys);
  gcm_context_data context;
  Sealed out{text, Bytes(kTagBytes)};
  IMB_MGR* const manager = crypto.manager();
  const bool is_128 = config.cipher_key_bytes == 16;
  const auto run = seals ? (is_128 ? manager->gcm128_enc : manager->gcm256_enc)
                         : (is_128 ? manager->gcm128_dec : manager->gcm256_dec);
  run(&keys.gcm, &context, out.text.data(), text.data(), text.size(), iv.data(), aad.data(),
      aad.size(), out.tag.data(), kTagBytes);
  return out;
}

/// SP 800-38D section 7, of the kernel's block functions.
Sealed gcm_by_device(const SaConfig& config, bool seals, const Bytes& iv, const Bytes& aad,
                     const Bytes& text) {
  const DeviceCiphers keys(config);
  const auto stream = [&](std::uint32_t number) {
    Bytes block = iv;
    block.resize(16);
    ipsec::put_be32(block.data() + 12, number);
    keys.block(true, block.data());
    return block;
  };
  Sealed out{text, stream(1)};
  for (std::size_t at = 0; at < text.size(); ++at)
    out.text[at] ^= stream(static_cast<std::uint32_t>(at / 16 + 2))[at % 16];
  u32 y[4] = {};
  keys.ghash(aad, y);
  keys.ghash(seals ? out.text : text, y);
  Bytes lengths(16);
  ipsec::put_be32(lengths.data() + 4, static_cast<u32>(aad.size() * 8));
  ipsec::put_be32(lengths.data() + 12, static_cast<u32>(text.size() * 8));
  keys.ghash(lengths, y);
  std::uint8_t hash[16];
  DeviceCiphers::store(y, hash);
  for (std::size_t i = 0; i < kTagBytes; ++i) out.tag[i] ^= hash[i];
  return out;
}

TEST(Cavp, AesGcm) {
  auto crypto = Crypto::make();
  ASSERT_TRUE(crypto.ok());
  std::size_t n = 0;
  std::size_t n_refused = 0;
  for (const char* const name : {"gcmEncryptExtIV128.rsp", "gcmEncryptExtIV256.rsp",
                                 "gcmDecrypt128.rsp", "gcmDecrypt256.rsp"}) {
    const bool seals = std::string(name).find("Encrypt") != std::string::npos;
    for (const Record& record : read_cavp(name)) {
      const SaConfig config = config_of(Algorithm::kAesGcm, record.bytes("KEY"));
      const Bytes iv = record.bytes("IV");
      const Bytes aad = record.bytes("AAD");
      const Bytes tag = record.bytes("TAG");
      const Bytes text = record.bytes(seals ? "PT" : "CT");
      const std::string where = std::string(name) + " " + record.fields.at("COUNT");
      const Sealed got = gcm_by_cpu(*crypto, config, seals, iv, aad, text);
      ASSERT_EQ(gcm_by_device(config, seals, iv, aad, text), got) << where;
      ASSERT_EQ(got.tag != tag, record.fails) << where;
      n_refused += record.fails;
      ++n;
      if (!record.fails) {
        ASSERT_EQ(got.text, record.bytes(seals ? "CT" : "PT")) << where;
      }
    }
  }
  EXPECT_EQ(n, 4u * 375);
  EXPECT_EQ(n_refused, 196u + 191);
}

}  // namespace
}  // namespace hb::test
