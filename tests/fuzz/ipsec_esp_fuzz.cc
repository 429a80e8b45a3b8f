// Any frames through an engine that works both ways: nothing outside a frame's buffer is touched,
// and what passes lies inside it. Whatever is sealed comes back as it was.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "nfs/ipsec/engine.h"
#include "nfs/ipsec/sa_file.h"

namespace {

using namespace hb::ipsec;

constexpr std::uint32_t kHead = 128;
constexpr std::uint32_t kTail = 64;

std::unique_ptr<Engine> make_engine(Direction direction, SaStates& states) {
  // Without a window, so that one number can come again and again.
  const auto file = parse_sa_file(
      "f",
      "ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x301 mode tunnel aead "
      "rfc4106(gcm(aes)) 0x000102030405060708090a0b0c0d0e0f10111213 128\n"
      "ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x302 mode tunnel enc cbc(aes) "
      "0x000102030405060708090a0b0c0d0e0f auth hmac(sha1) 0x00010203\n"
      "ip xfrm state add src 2001:db8::1 dst 2001:db8::2 proto esp spi 0x303 mode tunnel flag esn "
      "replay-window 64 enc cbc(aes) 0x000102030405060708090a0b0c0d0e0f auth-trunc hmac(sha256) "
      "0x00010203 128\n"
      "ip xfrm policy add src 0.0.0.0/1 dst 0.0.0.0/0 dir out tmpl src 192.0.2.1 dst 192.0.2.2 "
      "proto esp spi 0x301 mode tunnel\n"
      "ip xfrm policy add src 0.0.0.0/0 dst 0.0.0.0/0 dir out tmpl src 192.0.2.1 dst 192.0.2.2 "
      "proto esp spi 0x302 mode tunnel\n"
      "ip xfrm policy add src ::/0 dst ::/0 dir out tmpl src 2001:db8::1 dst 2001:db8::2 proto esp "
      "mode tunnel\n");
  auto crypto = Crypto::make();
  const std::array<std::uint8_t, IvKey::kSeedBytes> seed = {7};
  if (!file || !crypto) std::abort();
  GateOptions options;
  options.direction = direction;
  SecretIvKey iv_key = crypto->iv_key(seed);
  auto engine = Engine::make(*file, options, states, std::move(*crypto), std::move(iv_key));
  if (!engine) std::abort();
  return std::move(*engine);
}

SaStates make_states() {
  void* const block = std::aligned_alloc(128, SaStates::kBytes);
  std::memset(block, 0, SaStates::kBytes);
  return SaStates({static_cast<std::byte*>(block), SaStates::kBytes});
}

/// A frame in a buffer of exactly its room, so that AddressSanitizer sees what lies around it.
struct Buffered {
  explicit Buffered(const std::uint8_t* data, std::size_t size)
      : memory(new std::uint8_t[kHead + size + kTail]()),
        frame{memory.get(), static_cast<std::uint32_t>(kHead + size + kTail), kHead,
              static_cast<std::uint32_t>(size)} {
    if (size != 0) std::memcpy(memory.get() + kHead, data, size);
  }
  std::unique_ptr<std::uint8_t[]> memory;
  Frame frame;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static SaStates seal_states = make_states();
  static SaStates open_states = make_states();
  static const auto sealer = make_engine(Direction::kEncrypt, seal_states);
  static const auto opener = make_engine(Direction::kDecrypt, open_states);

  Buffered hostile(data, size);
  Outcome outcome;
  opener->process({&hostile.frame, 1}, {&outcome, 1});
  if (outcome.passes) {
    const Frame& f = hostile.frame;
    if (f.offset > f.room || f.length > f.room - f.offset) std::abort();
  }
  Buffered plain(data, size);
  sealer->process({&plain.frame, 1}, {&outcome, 1});
  if (!outcome.passes) return 0;
  opener->process({&plain.frame, 1}, {&outcome, 1});
  // An inner packet that is fine for a tunnel is fine behind it, but for what RFC 6040 drops.
  if (!outcome.passes) std::abort();
  if (plain.frame.length > size || std::memcmp(plain.frame.data(), data, plain.frame.length) != 0)
    std::abort();
  return 0;
}
