#include "nf_lib/esp/gate_image.h"

#include <cstdint>
#include <type_traits>

namespace hb::ipsec {
namespace {

constexpr std::uint64_t kMagic = 0x3147'5053'4542'4848;
constexpr std::size_t kMaxPolicies = 65536;
constexpr std::size_t kMaxName = 4096;

/// Writes what is given to it.
class Writer {
 public:
  static constexpr bool kReads = false;
  template <typename T>
  void number(T& value, std::uint64_t /*most*/ = ~std::uint64_t{0}) {
    // As many bytes as T has are used, so a sign's don't count.
    auto rest = static_cast<std::uint64_t>(value);  // NOLINT(bugprone-signed-char-misuse)
    for (std::size_t i = 0; i < sizeof(T); ++i, rest >>= 8)
      bytes.push_back(static_cast<std::byte>(rest & 0xff));
  }
  std::vector<std::byte> bytes;
};

/// Reads into what is given to it. After the first mistake everything is 0.
class Reader {
 public:
  static constexpr bool kReads = true;
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}
  template <typename T>
  void number(T& value, std::uint64_t most = ~std::uint64_t{0}) {
    std::uint64_t got = 0;
    if (bytes_.size() < sizeof(T)) good = false;
    for (std::size_t i = 0; good && i < sizeof(T); ++i)
      got |= static_cast<std::uint64_t>(bytes_[i]) << (8 * i);
    if (got > most) good = false;
    if (!good) got = 0;
    value = static_cast<T>(got);
    if (good) bytes_ = bytes_.subspan(sizeof(T));
  }
  [[nodiscard]] bool at_end() const { return bytes_.empty(); }
  bool good = true;

 private:
  std::span<const std::byte> bytes_;
};

// Each of these is the format of its type, for both ways.

template <typename Codec>
void code(Codec& codec, IpAddress& address) {
  codec.number(address.version, 6);
  for (std::uint8_t& byte : address.bytes) codec.number(byte);
  if constexpr (Codec::kReads)
    codec.good &= address.version == 0 || address.version == 4 || address.version == 6;
}

template <typename Codec>
void code(Codec& codec, IpPrefix& prefix) {
  code(codec, prefix.address);
  codec.number(prefix.length, prefix.address.version == 6 ? 128 : 32);
}

/// @param element  of the optional
template <typename Codec, typename T, typename Element>
void code_optional(Codec& codec, std::optional<T>& value, Element element) {
  bool is_there = value.has_value();
  codec.number(is_there, 1);
  if (!is_there) return;
  if (!value) value.emplace();
  element(*value);
}

template <typename Codec>
void code(Codec& codec, Selector& selector) {
  code(codec, selector.src);
  code(codec, selector.dst);
  codec.number(selector.protocol);
  const auto port = [&](std::uint16_t& value) { codec.number(value); };
  code_optional(codec, selector.src_port, port);
  code_optional(codec, selector.dst_port, port);
}

template <typename Codec>
void code(Codec& codec, SaParameters& sa) {
  code(codec, sa.src);
  code(codec, sa.dst);
  codec.number(sa.spi);
  codec.number(sa.reqid);
  codec.number(sa.algorithm, static_cast<std::uint64_t>(Algorithm::kAesGcm));
  codec.number(sa.replay_window, kMaxWindow);
  for (bool* flag : {&sa.flags.esn, &sa.flags.noecn, &sa.flags.nopmtudisc, &sa.flags.decap_dscp,
                     &sa.flags.zero_dscp})
    codec.number(*flag, 1);
  Limits& l = sa.limits;
  for (std::uint64_t* limit :
       {&l.soft_bytes, &l.hard_bytes, &l.soft_packets, &l.hard_packets, &l.soft_seconds,
        &l.hard_seconds, &l.soft_use_seconds, &l.hard_use_seconds})
    codec.number(*limit);
  code_optional(codec, sa.selector, [&](Selector& selector) { code(codec, selector); });
  codec.number(sa.last_received);
  codec.number(sa.last_sent);
  codec.number(sa.line);
  if constexpr (Codec::kReads) codec.good &= sa.dst.version != 0 && sa.src.version != 0;
}

template <typename Codec>
void code(Codec& codec, PolicyConfig& policy) {
  code(codec, policy.selector);
  codec.number(policy.direction, static_cast<std::uint64_t>(PolicyDirection::kIn));
  codec.number(policy.action, static_cast<std::uint64_t>(PolicyAction::kBlock));
  codec.number(policy.priority);
  code(codec, policy.tunnel_src);
  code(codec, policy.tunnel_dst);
  codec.number(policy.spi);
  codec.number(policy.reqid);
  codec.number(policy.optional, 1);
  codec.number(policy.line);
}

template <typename Codec, typename List>
void code_size(Codec& codec, List& list, std::size_t most) {
  std::uint64_t n = list.size();
  codec.number(n, most);
  list.resize(n);
}

template <typename Codec>
void code(Codec& codec, GateConfig& config) {
  std::uint64_t magic = kMagic;
  codec.number(magic);
  if constexpr (Codec::kReads) codec.good &= magic == kMagic;
  code_size(codec, config.name, kMaxName);
  for (char& c : config.name) codec.number(c, 255);
  codec.number(config.options.direction, static_cast<std::uint64_t>(Direction::kBoth));
  codec.number(config.options.ttl);
  codec.number(config.options.decrement_ttl, 1);
  codec.number(config.options.mtu, 65535);
  code_size(codec, config.sas, kMaxSas);
  for (SaParameters& sa : config.sas) code(codec, sa);
  config.ids.resize(config.sas.size());
  for (SaId& id : config.ids)
    for (std::uint64_t& word : id) {
      codec.number(word);
      if constexpr (Codec::kReads) codec.good &= word != 0;
    }
  code_size(codec, config.policies, kMaxPolicies);
  for (PolicyConfig& policy : config.policies) code(codec, policy);
}

}  // namespace

std::vector<std::byte> pack_gate(const GateConfig& config) {
  Writer writer;
  GateConfig copy = config;
  copy.name.resize(std::min(copy.name.size(), kMaxName));
  code(writer, copy);
  return std::move(writer.bytes);
}

Result<GateConfig> unpack_gate(std::span<const std::byte> bytes) {
  Reader reader(bytes);
  GateConfig config;
  code(reader, config);
  if (!reader.good || !reader.at_end())
    return Error{"the gate's configuration is malformed", "build all programs from one tree"};
  return config;
}

}  // namespace hb::ipsec
