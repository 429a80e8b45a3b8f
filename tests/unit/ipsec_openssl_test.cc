// Sealed here and opened by OpenSSL, and the other way round: every length, every transform.
#include "tests/unit/ipsec_world.h"

namespace hb::test {
namespace {

using ipsec::Direction;

constexpr std::size_t kMaxBytes = 9000;

struct Case {
  ReferenceSa sa;
  bool outer_6;
};
std::vector<Case> cases() {
  std::vector<Case> all;
  for (const bool esn : {false, true})
    for (const ReferenceSa& sa : all_transforms(esn))
      for (const bool outer_6 : {false, true}) all.push_back({sa, outer_6});
  return all;
}
std::string name_of(const testing::TestParamInfo<Case>& info) {
  const ReferenceSa& sa = info.param.sa;
  return std::string(sa.gcm      ? "Gcm"
                     : sa.sha256 ? "CbcSha256"
                                 : "CbcSha1") +
         std::to_string(sa.cipher_key.size() * 8) + (sa.esn ? "Esn" : "") +
         (info.param.outer_6 ? "In6" : "In4");
}

class AgainstOpenSsl : public testing::TestWithParam<Case> {
 protected:
  std::string text() const {
    const bool outer_6 = GetParam().outer_6;
    return GetParam().sa.command(outer_6 ? "2001:db8::1" : "192.0.2.1",
                                 outer_6 ? "2001:db8::2" : "192.0.2.2", "replay-window 64");
  }
  std::size_t outer_bytes() const { return GetParam().outer_6 ? 40 : 20; }
};

TEST_P(AgainstOpenSsl, OpensWhatIsSealedHere) {
  const ReferenceSa& sa = GetParam().sa;
  StateBlock block;
  EngineUnderTest engine(text(), one_way(Direction::kEncrypt), block);
  std::mt19937 rng(1);
  std::uint64_t sequence = 0;
  for (std::size_t bytes = 20; bytes <= kMaxBytes;) {
    std::vector<Bytes> inner, frames;
    for (; frames.size() < kMaxBurst && bytes <= kMaxBytes; ++bytes) {
      inner.push_back(bytes % 2 != 0 && bytes >= 40 ? ip6_packet(bytes, rng)
                                                    : ip4_packet(bytes, rng));
      frames.push_back(in_ethernet(inner.back()));
    }
    const std::vector<std::string> reasons = engine.process(frames);
    for (std::size_t i = 0; i < frames.size(); ++i) {
      ASSERT_EQ(reasons[i], "") << inner[i].size();
      ++sequence;
      const Bytes esp(frames[i].begin() + static_cast<std::ptrdiff_t>(14 + outer_bytes()),
                      frames[i].end());
      const auto opened = reference_open_raw(sa, sequence, esp);
      ASSERT_TRUE(opened) << "ICV, inner packet of " << inner[i].size() << " bytes";
      ASSERT_EQ(*opened, with_trailer(sa, inner[i], inner[i][0] >> 4 == 4 ? 4 : 41));
      ASSERT_EQ(esp[7], sequence & 0xff);
    }
  }
}

TEST_P(AgainstOpenSsl, SealsWhatIsOpenedHere) {
  const ReferenceSa& sa = GetParam().sa;
  StateBlock block;
  EngineUnderTest engine(text(), one_way(Direction::kDecrypt), block);
  std::mt19937 rng(2);
  std::uint64_t sequence = 0;
  for (std::size_t bytes = 20; bytes <= kMaxBytes;) {
    std::vector<Bytes> wanted, frames;
    for (; frames.size() < kMaxBurst && bytes <= kMaxBytes; ++bytes) {
      const Bytes inner =
          bytes % 2 != 0 && bytes >= 40 ? ip6_packet(bytes, rng) : ip4_packet(bytes, rng);
      wanted.push_back(in_ethernet(inner));
      const Bytes plain =
          with_trailer(sa, inner, inner[0] >> 4 == 4 ? 4 : 41, sa.gcm ? rng() % 60 : rng() % 15);
      const Bytes esp = reference_seal_raw(sa, ++sequence, random_bytes(rng, sa.iv_bytes()), plain);
      if (GetParam().outer_6) {
        Bytes packet = {0x60,
                        0,
                        0,
                        0,
                        static_cast<std::uint8_t>(esp.size() >> 8),
                        static_cast<std::uint8_t>(esp.size()),
                        50,
                        64};
        for (const std::uint8_t last : {1, 2}) {
          const Bytes address = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last};
          packet.insert(packet.end(), address.begin(), address.end());
        }
        packet.insert(packet.end(), esp.begin(), esp.end());
        frames.push_back(in_ethernet(packet));
      } else {
        frames.push_back(esp_frame(esp));
      }
    }
    const std::vector<std::string> reasons = engine.process(frames);
    for (std::size_t i = 0; i < frames.size(); ++i) {
      ASSERT_EQ(reasons[i], "") << wanted[i].size();
      ASSERT_EQ(frames[i], wanted[i]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(AllTransforms, AgainstOpenSsl, testing::ValuesIn(cases()), name_of);

}  // namespace
}  // namespace hb::test
