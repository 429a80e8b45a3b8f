// Engines that only seal, or only open, and sealed frames for them.
#pragma once

#include <random>
#include <string>

#include "tests/unit/ipsec_world.h"

namespace hb::test {

inline const ReferenceSa kSa = all_transforms(false)[0];   // AES-128-CBC, SHA-1
inline const ReferenceSa kGcm = all_transforms(false)[2];  // AES-128-GCM

inline std::string sa_text(const ReferenceSa& sa, const std::string& more = "replay-window 64") {
  return sa.command("192.0.2.1", "192.0.2.2", more);
}
inline Bytes sealed_frame(const ReferenceSa& sa, std::uint64_t sequence, const Bytes& inner,
                          std::uint8_t tos = 0) {
  std::mt19937 rng(static_cast<unsigned>(sequence));
  return esp_frame(reference_seal_raw(sa, sequence, random_bytes(rng, sa.iv_bytes()),
                                      with_trailer(sa, inner, inner[0] >> 4 == 4 ? 4 : 41)),
                   tos);
}

struct Sealer {
  explicit Sealer(const std::string& text,
                  ipsec::GateOptions options = one_way(ipsec::Direction::kEncrypt))
      : engine(text, options, block) {}
  StateBlock block;
  EngineUnderTest engine;
};
struct Opener {
  explicit Opener(const std::string& text,
                  ipsec::GateOptions options = one_way(ipsec::Direction::kDecrypt))
      : engine(text, options, block) {}
  std::string open(Bytes frame) { return engine.process(frame); }
  StateBlock block;
  EngineUnderTest engine;
};

}  // namespace hb::test
