// Published vectors, on the library behind the engine and on the OpenSSL reference of these tests.
#include <set>

#include "tests/unit/ipsec_world.h"

namespace hb::test {
namespace {

using namespace ipsec;

/// Runs one job over bytes: SPI, sequence number, IV, sealed part, room for the ICV.
bool run_job(const ReferenceSa& sa, Bytes& esp, std::uint64_t sequence, bool opens) {
  const auto file = parse_sa_file("v", sa.command("192.0.2.1", "192.0.2.2", "replay-window 64"));
  EXPECT_TRUE(file.ok()) << (file.ok() ? "" : file.error().line());
  auto crypto = Crypto::make();
  EXPECT_TRUE(crypto.ok());
  SaKeys keys{};
  crypto->expand(file->sas[0], keys);
  HbEspSa wire{};
  wire.iv_bytes = static_cast<u32>(sa.iv_bytes());
  wire.icv_bytes = static_cast<u32>(sa.icv_bytes());
  wire.block_bytes = static_cast<u32>(sa.block());
  wire.flags =
      (sa.gcm ? HB_ESP_GCM : 0) | (sa.sha256 ? HB_ESP_SHA256 : 0) | (sa.esn ? HB_ESP_ESN : 0);
  CryptoJob job{
      &wire,      &keys,
      esp.data(), static_cast<std::uint32_t>(esp.size() - 8 - sa.iv_bytes() - sa.icv_bytes()),
      sequence,   opens,
      false};
  crypto->run({&job, 1});
  return job.ok;
}

struct CbcVector {
  const char *source, *key, *iv, *plain, *cipher;
};
const CbcVector kCbc[] = {
    {"RFC 3602 section 4 case 1", "06a9214036b8a15b512e03d534120006",
     "3dafba429d9eb430b422da802c9fac41", "53696e676c6520626c6f636b206d7367",
     "e353779c1079aeb82708942dbe77181a"},
    {"RFC 3602 section 4 case 2", "c286696d887c9aa0611bbb3e2025a45a",
     "562e17996d093d28ddb3ba695a2e6f58",
     "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
     "d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1"},
    {"RFC 3602 section 4 case 5: a ping in ESP", "90d382b410eeba7ad938c46cec1a82bf",
     "e96e8c08ab465763fd098d45dd3ff893",
     "08000ebda70a00008e9c083db95b070008090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f2021222324"
     "25262728292a2b2c2d2e2f30313233343536370102030405060708090a0b0c0d0e0e01",
     "f663c25d325c18c6a9453e194e120849a4870b66cc6b9965330013b4898dc856a4699e523a55db080b59ec3a8e"
     "4b7e52775b07d1db34ed9c538ab50c551b874aa269add047ad2d5913ac19b7cfbad4a6"},
    {"NIST SP 800-38A F.2.1", "2b7e151628aed2a6abf7158809cf4f3c",
     "000102030405060708090a0b0c0d0e0f",
     "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a"
     "0a52eff69f2445df4f9b17ad2b417be66c3710",
     "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b273bed6b8e3c1743b7116e69e22"
     "2295163ff1caa1681fac09120eca307586e1a7"},
    {"NIST SP 800-38A F.2.5", "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
     "000102030405060708090a0b0c0d0e0f",
     "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a"
     "0a52eff69f2445df4f9b17ad2b417be66c3710",
     "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d39f23369a9d9bacfa530e26304"
     "231461b2eb05e2c39be9fcda6c19078c6a9d1b"},
};

TEST(PublishedVectors, AesCbc) {
  for (const CbcVector& v : kCbc) {
    const ReferenceSa sa{.gcm = false, .cipher_key = from_hex(v.key), .auth_key = Bytes(20, 1)};
    const Bytes plain = from_hex(v.plain);
    EXPECT_EQ(to_hex(reference::cbc(sa, true, from_hex(v.iv), plain)), v.cipher) << v.source;
    Bytes esp(8);
    const Bytes iv = from_hex(v.iv);
    esp.insert(esp.end(), iv.begin(), iv.end());
    esp.insert(esp.end(), plain.begin(), plain.end());
    esp.resize(esp.size() + 12);
    ASSERT_TRUE(run_job(sa, esp, 0, false)) << v.source;
    const auto sealed_at = esp.begin() + 24;
    EXPECT_EQ(to_hex(Bytes(sealed_at, esp.end() - 12)), v.cipher) << v.source;
    ASSERT_TRUE(run_job(sa, esp, 0, true)) << v.source;
    EXPECT_EQ(Bytes(sealed_at, esp.end() - 12), plain) << v.source;
  }
}

struct HmacVector {
  const char* source;
  bool sha256;
  Bytes key;
  std::string tag;
};

// 28 bytes are what is hashed of an ESP packet that seals nothing: SPI, sequence number, IV, and
// the high half of the number that ESN puts behind.
TEST(PublishedVectors, Hmac) {
  const std::string text = "what do ya want for nothing?";
  const Bytes jefe = {'J', 'e', 'f', 'e'};
  for (const HmacVector& v :
       {HmacVector{"RFC 2202 section 3 case 2", false, jefe, "effcdf6ae5eb2fa2d27416d5"},
        HmacVector{"RFC 4231 section 4.3", true, jefe, "5bdcc146bf60754e6a042426089575c7"}}) {
    const ReferenceSa sa{.gcm = false,
                         .sha256 = v.sha256,
                         .esn = true,
                         .cipher_key = Bytes(16, 1),
                         .auth_key = v.key};
    EXPECT_EQ(to_hex(reference::hmac(sa, Bytes(text.begin(), text.end()))), v.tag) << v.source;
    Bytes esp(text.begin(), text.begin() + 24);
    const Bytes tag = from_hex(v.tag);
    esp.insert(esp.end(), tag.begin(), tag.end());
    const std::uint64_t high = 0x696e673f;  // "ing?"
    EXPECT_TRUE(run_job(sa, esp, high << 32, true)) << v.source;
    esp.assign(text.begin(), text.begin() + 24);
    esp.insert(esp.end(), tag.begin(), tag.end());
    esp.back() ^= 1;
    EXPECT_FALSE(run_job(sa, esp, high << 32, true)) << v.source;
  }
}

struct GcmVector {
  const char *source, *key, *salt, *iv, *plain, *sealed;
  std::uint32_t spi;
  std::uint64_t sequence;
  bool esn;
};
// Whole ESP packets: the additional data are SPI and sequence number.
const GcmVector kGcm[] = {
    {"McGrew, Viega: GCM test vectors for ESP, case 1 (72 bytes, ESN)",
     "4c80cdefbb5d10da906ac73c3613a634", "2e443b68", "4956ed7e3b244cfe",
     "45000048699a000080114db7c0a80102c0a801010a9bf15638d3010000010000000000000"
     "45f736970045f756470037369700963796265726369747902646b0000210001"
     "01020201",
     "fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34cfa2436f14a3f3cf65925bf1f4"
     "a13c5d15b21e1884f5ff6247aeabb786b93bce61bc17d768fd9732459018148f6cbe722fd04796562dfdb4",
     0x00004321, 0x8765432100000000, true},
};

TEST(PublishedVectors, GcmInEsp) {
  for (const GcmVector& v : kGcm) {
    const ReferenceSa sa{.gcm = true,
                         .esn = v.esn,
                         .spi = v.spi,
                         .cipher_key = from_hex(v.key),
                         .salt = from_hex(v.salt)};
    const Bytes plain = from_hex(v.plain);
    const Bytes wanted = reference_seal_raw(sa, v.sequence, from_hex(v.iv), plain);
    EXPECT_EQ(to_hex(Bytes(wanted.begin() + 16, wanted.end())), v.sealed) << v.source;
    Bytes esp(wanted.begin(), wanted.begin() + 16);
    esp.insert(esp.end(), plain.begin(), plain.end());
    esp.resize(esp.size() + 16);
    ASSERT_TRUE(run_job(sa, esp, v.sequence, false));
    EXPECT_EQ(to_hex(Bytes(esp.begin() + 16, esp.end())), v.sealed) << v.source;
    ASSERT_TRUE(run_job(sa, esp, v.sequence, true));
    EXPECT_EQ(Bytes(esp.begin() + 16, esp.end() - 16), plain) << v.source;
  }
}

// One AES block by OpenSSL over sequence number, SPI and SA.
TEST(IvKey, IvsAreTheCipherOfWhatNeverComesTwice) {
  auto crypto = Crypto::make();
  ASSERT_TRUE(crypto.ok());
  const SecretIvKey key = crypto->iv_key(EngineUnderTest::kSeed);
  std::set<std::string> seen;
  EVP_CIPHER_CTX* const context = EVP_CIPHER_CTX_new();
  EVP_EncryptInit_ex(context, EVP_aes_128_ecb(), nullptr, EngineUnderTest::kSeed.data(), nullptr);
  std::vector<IvBlock> all;  // a burst's are made at once
  std::string all_wanted;
  for (std::uint64_t sequence = 0xfffffff0; sequence < 0x100000010; ++sequence) {
    for (const std::uint32_t sa : {0u, 1u}) {
      Bytes input, iv(16), wanted(32);
      append_be32(input, sequence >> 32);
      append_be32(input, sequence);
      append_be32(input, 0x301);
      append_be32(input, sa);
      int n = 0;
      EVP_EncryptUpdate(context, wanted.data(), &n, input.data(), 16);
      wanted.resize(16);
      IvBlock block(sequence, 0x301, sa);
      all.push_back(block);
      all_wanted += to_hex(wanted);
      crypto->make_ivs(key.front(), {&block, 1});
      std::memcpy(iv.data(), &block, sizeof(block));
      ASSERT_EQ(iv, wanted);
      ASSERT_TRUE(seen.insert(to_hex(iv)).second);
    }
  }
  crypto->make_ivs(key.front(), all);
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(all.data());
  EXPECT_EQ(to_hex(Bytes(bytes, bytes + 16 * all.size())), all_wanted);
  EVP_CIPHER_CTX_free(context);
  EXPECT_NE(crypto->random_iv_key()->front().round_keys,
            crypto->random_iv_key()->front().round_keys);
}

}  // namespace
}  // namespace hb::test
