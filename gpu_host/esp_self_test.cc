#include "gpu_host/esp_self_test.h"

#include <array>
#include <numeric>

#include "nf_lib/esp/device_keys.h"

namespace hb {
namespace {

using Bytes = std::vector<std::uint8_t>;

// A UDP packet, and what three SAs make of it with sequence number 5: computed by OpenSSL.
constexpr std::string_view kPlain =
    "020202020202020202020202080045b9002900074000401126000a0100010a02000100010002001500006b6e"
    "6f776e20616e7377657221";
constexpr std::string_view kCbcSha1 =
    "020202020202020202020202080045b90068000040004032b5a7c0000201c0000202000003010000000548d4"
    "2a99bca5fc4dcd5761c13a505ec02cdd7e56ced517536873a4848435515137dc1e0b959b0ff391a6dd9de9b7"
    "c898313912cb88b65bd6ef5f8fd6e26f31c2e3f1575dbe950152d488c9e4";
constexpr std::string_view kCbcSha256 =
    "020202020202020202020202080045b9006c000040004032b5a3c0000201c00002020000030200000005bf0c"
    "bc17454965d43d2b38fdfb09d6c1c6719a64cc066d5d76d353c465923f88e7a8c5a7af9d1b0157837219b0e7"
    "ce2fdcce3245e0b2fb486507074c1daaae5dacf7b10b6782a60ee4464af6fcebdaeb";
constexpr std::string_view kGcm =
    "020202020202020202020202080045b90060000040004032b5afc0000201c000020200000303000000050000"
    "000000000005b99b6b2c70fb3b1e45fdd444bd99343e945272a91f7b7041210b15ebfbe194ba0d2d16ae0c30"
    "90560cdc0c88601a607f883aed30fee9ca4def13879e";

constexpr std::uint32_t kIpAt = 14;
constexpr std::uint32_t kSequence = 5;

Bytes from_hex(std::string_view text) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(static_cast<std::uint8_t>(digit(text[i]) * 16 + digit(text[i + 1])));
  return bytes;
}

/// Keys of 0, 1, 2, ...
std::vector<std::byte> make_table() {
  std::array<std::uint8_t, 32> numbers;
  std::iota(numbers.begin(), numbers.end(), std::uint8_t{0});
  constexpr std::array<std::uint8_t, 4> kSalt = {10, 11, 12, 13};
  std::vector<std::byte> table(sizeof(HbEspTable) + 3 * sizeof(HbEspDeviceSa));
  auto& header = *reinterpret_cast<HbEspTable*>(table.data());
  ipsec::fill_device_header(header, 3, table.size(), std::span(numbers).last<16>());
  auto* const sas = reinterpret_cast<HbEspDeviceSa*>(table.data() + sizeof(HbEspTable));
  const auto fill = [&](std::uint32_t i, ipsec::Algorithm algorithm, std::size_t cipher_bytes,
                        std::size_t auth_bytes) {
    ipsec::SaParameters sa;
    sa.src = {4, {192, 0, 2, 1}};
    sa.dst = {4, {192, 0, 2, 2}};
    sa.spi = 0x301 + i;
    sa.algorithm = algorithm;
    ipsec::fill_device_sa(sas[i], sa, {},
                          {.cipher = std::span(numbers).first(cipher_bytes),
                           .salt = kSalt,
                           .auth = std::span(numbers).first(auth_bytes)},
                          header.ciphers);
  };
  fill(0, ipsec::Algorithm::kAesCbcSha1, 16, 20);
  fill(1, ipsec::Algorithm::kAesCbcSha256, 32, 32);
  fill(2, ipsec::Algorithm::kAesGcm, 16, 0);
  return table;
}

}  // namespace

SelfTest esp_self_test() {
  SelfTest test;
  test.table = make_table();
  const Bytes plain = from_hex(kPlain);
  const std::array<Bytes, 3> sealed = {from_hex(kCbcSha1), from_hex(kCbcSha256), from_hex(kGcm)};
  const auto words = [](u64 action, std::size_t sa, std::size_t bytes) {
    return HbSlotWords{kSequence, HB_ESP_ORDER(action, sa, kIpAt, kIpAt + 20, bytes)};
  };
  for (std::size_t sa = 0; sa < sealed.size(); ++sa) {
    const std::size_t esp_bytes = sealed[sa].size() - kIpAt - 20;
    test.cases.push_back({.packet = plain,
                          .words = words(HB_ESP_ACTION_SEAL, sa, plain.size() - kIpAt),
                          .expected = sealed[sa]});
    test.cases.push_back({.packet = sealed[sa],
                          .words = words(HB_ESP_ACTION_OPEN, sa, esp_bytes),
                          .expected = plain});
    Bytes forged = sealed[sa];
    if (!forged.empty()) forged.back() ^= 1;
    test.cases.push_back({.packet = forged,
                          .words = words(HB_ESP_ACTION_OPEN, sa, esp_bytes),
                          .verdict = HB_VERDICT_DROP,
                          .expected = {}});
  }
  return test;
}

}  // namespace hb
