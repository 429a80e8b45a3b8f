// NIST's vectors for HMAC, on the hashes of both twins: intel-ipsec-mb with the keys that Crypto
// expands, and the kernel's block functions with the states that go to the device.
#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "kernels/esp_headers.h"
#include "kernels/sha.h"
#include "nfs/ipsec/crypto.h"
#include "nfs/ipsec/write_headers.h"
#include "tests/unit/capture_reader.h"
#include "tests/unit/ipsec_device_keys.h"
#include "tests/unit/ipsec_reference.h"

namespace hb::test {
namespace {

using namespace ipsec;
using nlohmann::json;

constexpr std::size_t kHashBlock = 64;

json read_acvp(const std::string& name) {
  std::ifstream file(data_dir() / "acvp" / name);
  EXPECT_TRUE(file.is_open()) << name;
  return json::parse(file).back();  // behind the session's own record
}

SaConfig config_of(bool is_256, const Bytes& key) {
  SaConfig config;
  config.algorithm = is_256 ? Algorithm::kAesCbcSha256 : Algorithm::kAesCbcSha1;
  config.cipher_key_bytes = is_256 ? 32 : 16;
  config.auth_key_bytes = static_cast<std::uint32_t>(key.size());
  std::ranges::copy(key, config.auth_key.begin());
  return config;
}

/// @return all of the hash
Bytes hmac_by_cpu(const Crypto& crypto, const SaConfig& config, bool is_256, const Bytes& message) {
  SaKeys keys{};
  crypto.expand(config, keys);
  Bytes tag(is_256 ? 32 : 20);
  IMB_JOB* const job = IMB_GET_NEXT_JOB(crypto.manager());
  *job = {};
  job->src = message.data();
  job->msg_len_to_hash_in_bytes = message.size();
  job->auth_tag_output = tag.data();
  job->auth_tag_output_len_in_bytes = tag.size();
  job->u.HMAC._hashed_auth_key_xor_ipad = keys.hmac_inner;
  job->u.HMAC._hashed_auth_key_xor_opad = keys.hmac_outer;
  job->cipher_mode = IMB_CIPHER_NULL;
  job->cipher_direction = IMB_DIR_ENCRYPT;
  job->chain_order = IMB_ORDER_HASH_CIPHER;
  job->hash_alg = is_256 ? IMB_AUTH_HMAC_SHA_256 : IMB_AUTH_HMAC_SHA_1;
  const IMB_JOB* done = IMB_SUBMIT_JOB(crypto.manager());
  if (done == nullptr) done = IMB_FLUSH_JOB(crypto.manager());
  EXPECT_TRUE(done != nullptr && done->status == IMB_STATUS_COMPLETED);
  return tag;
}

/// The state after the hash's second and last block: the message, its end, and its length with the
/// key's block in front (FIPS 180-4 section 5.1.1).
void hash_last_block(bool is_256, const Bytes& message, u32* state) {
  Bytes block = message;
  block.push_back(0x80);
  block.resize(kHashBlock);
  put_be32(block.data() + kHashBlock - 4, static_cast<u32>((kHashBlock + message.size()) * 8));
  u32 words[16];
  for (std::size_t i = 0; i < 16; ++i) words[i] = hb_be32(block.data() + 4 * i);
  hb_sha_compress(is_256, state, words);
}

/// RFC 2104, of the kernel's block functions. @param message  at most 55 bytes
Bytes hmac_by_device(const SaConfig& config, bool is_256, const Bytes& message) {
  HbEspDeviceSa sa = DeviceKeys(config).sa;
  const auto bytes_of = [&](const u32* state) {
    Bytes bytes(is_256 ? 32 : 20);
    for (std::size_t i = 0; i < bytes.size() / 4; ++i) put_be32(bytes.data() + 4 * i, state[i]);
    return bytes;
  };
  hash_last_block(is_256, message, sa.hmac_inner);
  hash_last_block(is_256, bytes_of(sa.hmac_inner), sa.hmac_outer);
  return bytes_of(sa.hmac_outer);
}

/// @return vectors that were computed; keys longer than a block, which no SA has, are left out
std::size_t check(const char* algorithm, bool is_256) {
  auto crypto = Crypto::make();
  EXPECT_TRUE(crypto.ok());
  const json questions = read_acvp(std::string(algorithm) + ".json");
  std::map<int, std::string> answers;
  const json expected = read_acvp(std::string(algorithm) + ".expected.json");
  for (const json& group : expected["testGroups"])
    for (const json& test : group["tests"]) answers[test["tcId"]] = test["mac"];
  std::size_t n = 0;
  for (const json& group : questions["testGroups"]) {
    for (const json& test : group["tests"]) {
      const Bytes key = from_hex(test["key"]);
      const Bytes message = from_hex(test["msg"]);
      if (key.size() > kHashBlock) continue;
      const SaConfig config = config_of(is_256, key);
      const Bytes tag = hmac_by_cpu(*crypto, config, is_256, message);
      EXPECT_EQ(hmac_by_device(config, is_256, message), tag) << test;
      const Bytes sent(tag.begin(), tag.begin() + group["macLen"].get<int>() / 8);
      EXPECT_EQ(to_hex(sent), answers.at(test["tcId"])) << test;
      ++n;
    }
  }
  return n;
}

TEST(Acvp, HmacSha1) { EXPECT_EQ(check("HMAC-SHA-1", false), 12u); }
TEST(Acvp, HmacSha256) { EXPECT_EQ(check("HMAC-SHA2-256", true), 12u); }

}  // namespace
}  // namespace hb::test
