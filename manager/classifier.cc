#include "manager/classifier.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <rte_acl.h>
#include <rte_errno.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstring>

#include "manager/flow_hash.h"

namespace hb {
namespace {

/// Compiled tables may take this much; more means rules that overlap in ever new ways.
constexpr std::size_t kMaxTableBytes = std::size_t{1} << 30;

/// What rte_acl looks at: one byte, then groups of four bytes, all in network order. has_ports
/// tells a packet without ports from one whose ports are 0.
template <std::size_t AddressWords>
struct AclKey {
  std::uint8_t protocol;
  std::array<std::uint32_t, AddressWords> src;
  std::array<std::uint32_t, AddressWords> dst;
  std::uint16_t src_port;
  std::uint16_t dst_port;
  std::uint32_t has_ports;  ///< 0 or 1
};
using AclKey4 = AclKey<1>;
using AclKey6 = AclKey<4>;

/// The fields of AclKey: protocol, address words, two ports, has_ports.
template <std::size_t AddressWords>
constexpr std::size_t kFields = 1 + 2 * AddressWords + 2 + 1;

template <std::size_t AddressWords>
rte_acl_config acl_config() {
  using Key = AclKey<AddressWords>;
  rte_acl_config config{};
  config.num_categories = 1;
  config.max_size = kMaxTableBytes;
  std::uint8_t input = 0;
  const auto add = [&config](std::uint8_t type, std::size_t size, std::uint8_t group,
                             std::size_t offset) {
    const auto field = static_cast<std::uint8_t>(config.num_fields++);
    config.defs[field] = {.type = type,
                          .size = static_cast<std::uint8_t>(size),
                          .field_index = field,
                          .input_index = group,
                          .offset = static_cast<std::uint32_t>(offset)};
  };
  add(RTE_ACL_FIELD_TYPE_BITMASK, 1, input++, offsetof(Key, protocol));
  for (std::size_t i = 0; i < AddressWords; ++i)
    add(RTE_ACL_FIELD_TYPE_MASK, 4, input++, offsetof(Key, src) + 4 * i);
  for (std::size_t i = 0; i < AddressWords; ++i)
    add(RTE_ACL_FIELD_TYPE_MASK, 4, input++, offsetof(Key, dst) + 4 * i);
  add(RTE_ACL_FIELD_TYPE_RANGE, 2, input, offsetof(Key, src_port));
  add(RTE_ACL_FIELD_TYPE_RANGE, 2, input++, offsetof(Key, dst_port));
  add(RTE_ACL_FIELD_TYPE_BITMASK, 4, input, offsetof(Key, has_ports));
  return config;
}

void set_address(rte_acl_field* fields, std::size_t n_words, const IpPrefix& prefix) {
  for (std::size_t i = 0; i < n_words; ++i) {
    std::uint32_t word = 0;
    std::memcpy(&word, prefix.bytes.data() + 4 * i, sizeof(word));
    fields[i].value.u32 = ntohl(word);  // rules are in host order, keys in network order
    const auto before = static_cast<std::uint32_t>(32 * i);
    fields[i].mask_range.u32 =
        prefix.any()
            ? 0
            : std::min(32u, prefix.length - std::min<std::uint32_t>(prefix.length, before));
  }
}

template <std::size_t AddressWords>
constexpr std::uint8_t kIpVersion = AddressWords == 1 ? 4 : 6;

template <std::size_t AddressWords>
Result<rte_acl_ctx*> make_context(int socket_id, std::uint32_t max_rules) {
  // rte_acl_create returns an existing context for a name that is taken.
  static std::atomic<std::uint32_t> n_contexts{0};
  const std::string name = fmt::format("hb_flows{}_{}", kIpVersion<AddressWords>,
                                       n_contexts.fetch_add(1, std::memory_order_relaxed));
  const rte_acl_param param{.name = name.c_str(),
                            .socket_id = socket_id,
                            .rule_size = RTE_ACL_RULE_SZ(kFields<AddressWords>),
                            .max_rule_num = max_rules};
  rte_acl_ctx* const context = rte_acl_create(&param);
  if (context == nullptr)
    return Error{.what = fmt::format("rte_acl_create failed for {} rules: {}", max_rules,
                                     rte_strerror(rte_errno)),
                 .fix = "raise --flow-memory"};
  return context;
}

/// Compiles the rules that apply to an IP version into its context, whose old ones go.
/// @param types  type of each rule
/// @return whether there are any
template <std::size_t AddressWords>
Result<bool> compile_context(rte_acl_ctx* context, const FlowConfig& flows,
                             std::span<const std::uint8_t> types) {
  constexpr std::size_t kNFields = kFields<AddressWords>;
  RTE_ACL_RULE_DEF(Rule, kNFields);
  std::vector<Rule> rules;
  for (std::size_t i = 0; i < flows.rules.size(); ++i) {
    const FlowRule& flow = flows.rules[i];
    if (!flow.applies_to(kIpVersion<AddressWords>)) continue;
    Rule rule{};
    rule.data = {.category_mask = 1,
                 .priority = static_cast<std::int32_t>(flows.rules.size() - i),
                 .userdata = types[i] + 1u};  // 0 is rte_acl's "no match"
    rte_acl_field* field = rule.field;
    field[0].value.u8 = flow.protocol;
    field[0].mask_range.u8 = flow.any_protocol ? 0 : 0xff;
    set_address(field + 1, AddressWords, flow.src);
    set_address(field + 1 + AddressWords, AddressWords, flow.dst);
    field += 1 + 2 * AddressWords;
    field[0].value.u16 = flow.src_ports.low;
    field[0].mask_range.u16 = flow.src_ports.high;
    field[1].value.u16 = flow.dst_ports.low;
    field[1].mask_range.u16 = flow.dst_ports.high;
    field[2].value.u32 = 1;
    field[2].mask_range.u32 = flow.src_ports.any && flow.dst_ports.any ? 0 : 0xffffffff;
    rules.push_back(rule);
    if (flow.matches_all()) break;  // nothing after it can match
  }
  rte_acl_reset(context);
  if (rules.empty()) return false;
  const auto failed = [&flows](const char* step, int status) {
    return Error{.what = fmt::format("{}: {} failed for {} rules: {}", flows.path, step,
                                     flows.rules.size(), rte_strerror(-status)),
                 .fix = "use fewer rules, or raise --flow-memory"};
  };
  int status = rte_acl_add_rules(context, reinterpret_cast<const rte_acl_rule*>(rules.data()),
                                 static_cast<std::uint32_t>(rules.size()));
  if (status != 0) return failed("rte_acl_add_rules", status);
  const rte_acl_config config = acl_config<AddressWords>();
  status = rte_acl_build(context, &config);
  if (status != 0) return failed("rte_acl_build", status);
  return true;
}

template <std::size_t AddressWords>
void fill_key(const DecodedPacket& packet, AclKey<AddressWords>& key) noexcept {
  key.protocol = packet.protocol;
  std::memcpy(key.src.data(), packet.src.data(), sizeof(key.src));
  std::memcpy(key.dst.data(), packet.dst.data(), sizeof(key.dst));
  key.src_port = packet.has_ports ? htons(packet.src_port) : 0;
  key.dst_port = packet.has_ports ? htons(packet.dst_port) : 0;
  key.has_ports = htonl(packet.has_ports ? 1 : 0);
}

/// The keys of one IP version in a burst, and whose they are.
template <std::size_t AddressWords>
struct KeyBatch {
  std::array<AclKey<AddressWords>, kMaxBurst> keys;
  std::array<const std::uint8_t*, kMaxBurst> pointers;
  std::array<std::uint8_t, kMaxBurst> packet_idx;
  std::uint32_t n = 0;

  void add(const DecodedPacket& packet, std::size_t idx) noexcept {
    fill_key(packet, keys[n]);
    pointers[n] = reinterpret_cast<const std::uint8_t*>(&keys[n]);
    packet_idx[n++] = static_cast<std::uint8_t>(idx);
  }

  void classify(const rte_acl_ctx* context, std::span<std::uint8_t> types) noexcept {
    if (n == 0) return;
    std::array<std::uint32_t, kMaxBurst> results;
    // Fails only for a bad number of categories.
    [[maybe_unused]] const int status =
        rte_acl_classify(context, pointers.data(), results.data(), n, 1);
    assert(status == 0);
    for (std::uint32_t i = 0; i < n; ++i)
      types[packet_idx[i]] =
          results[i] == 0 ? kDefaultType : static_cast<std::uint8_t>(results[i] - 1);
  }
};

std::span<const std::uint8_t> frame_of(const rte_mbuf* mbuf) noexcept {
  return {rte_pktmbuf_mtod(mbuf, const std::uint8_t*), rte_pktmbuf_data_len(mbuf)};
}

/// Prefetch distance: decoding one packet takes about a tenth of a miss.
constexpr std::size_t kPrefetchAhead = 8;

}  // namespace

void decode_burst(std::span<rte_mbuf* const> burst, DecodedPacket* packets) noexcept {
  for (std::size_t i = 0; i < burst.size(); ++i) {
    if (i + kPrefetchAhead < burst.size())
      rte_prefetch0(rte_pktmbuf_mtod(burst[i + kPrefetchAhead], void*));
    packets[i] = decode_packet(frame_of(burst[i]));
  }
}

Result<std::uint8_t> TypeNames::intern(const std::string& name) {
  if (const std::optional<std::uint8_t> id = find(name)) return *id;
  if (names_.size() == kMaxTypes)
    return Error{.what = fmt::format("packet type '{}' is one too many", name),
                 .fix = fmt::format("{} types can be named, besides 'default'", kMaxTypes - 1)};
  names_.push_back(name);
  return static_cast<std::uint8_t>(names_.size() - 1);
}

Result<void> TypeNames::intern_all(const FlowConfig* flows, const RouteConfig* routes) {
  std::vector<std::string> all;
  if (flows != nullptr)
    for (const FlowRule& rule : flows->rules) all.push_back(rule.type);
  if (routes != nullptr) all.insert(all.end(), routes->types.begin(), routes->types.end());
  for (const std::string& name : all) {
    if (const Result<std::uint8_t> id = intern(name); !id) return id.error();
  }
  return {};
}

std::optional<std::uint8_t> TypeNames::find(const std::string& name) const {
  const auto found = std::find(names_.begin(), names_.end(), name);
  if (found == names_.end()) return std::nullopt;
  return static_cast<std::uint8_t>(found - names_.begin());
}

const std::string& TypeNames::name(std::uint8_t id) const {
  static const std::string unknown = "?";
  return id < names_.size() ? names_[id] : unknown;
}

Result<std::unique_ptr<Classifier>> Classifier::create(int socket_id, std::uint32_t max_rules) {
  std::unique_ptr<Classifier> classifier(new Classifier);
  classifier->max_rules_ = std::max(max_rules, 1u);
  const Result<rte_acl_ctx*> ipv4 = make_context<1>(socket_id, classifier->max_rules_);
  if (!ipv4) return ipv4.error();
  classifier->ipv4_ = *ipv4;
  const Result<rte_acl_ctx*> ipv6 = make_context<4>(socket_id, classifier->max_rules_);
  if (!ipv6) return ipv6.error();
  classifier->ipv6_ = *ipv6;
  return classifier;
}

Result<void> Classifier::compile(const FlowConfig& config, const TypeNames& names) {
  if (config.rules.size() > max_rules_)
    return Error{.what = fmt::format("{}: {} rules are more than {}", config.path,
                                     config.rules.size(), max_rules_),
                 .fix = "use fewer rules"};
  std::vector<std::uint8_t> types;
  for (const FlowRule& rule : config.rules)
    types.push_back(names.find(rule.type).value_or(kDefaultType));
  const auto all = std::find_if(config.rules.begin(), config.rules.end(),
                                [](const FlowRule& rule) { return rule.matches_all(); });
  other_type_ = all != config.rules.end() ? types[all - config.rules.begin()] : kDefaultType;
  has_ipv4_ = has_ipv6_ = false;
  const Result<bool> ipv4 = compile_context<1>(ipv4_, config, types);
  if (!ipv4) return ipv4.error();
  const Result<bool> ipv6 = compile_context<4>(ipv6_, config, types);
  if (!ipv6) return ipv6.error();
  has_ipv4_ = *ipv4;
  has_ipv6_ = *ipv6;
  return {};
}

Result<std::unique_ptr<Classifier>> Classifier::build(const FlowConfig& config, TypeNames& names,
                                                      int socket_id) {
  for (const FlowRule& rule : config.rules) {
    const Result<std::uint8_t> id = names.intern(rule.type);
    if (!id)
      return Error{.what = fmt::format("{}:{}: {}", config.path, rule.line, id.error().what),
                   .fix = id.error().fix};
  }
  auto classifier = create(socket_id, static_cast<std::uint32_t>(config.rules.size()));
  if (!classifier) return classifier.error();
  if (const Result<void> compiled = (*classifier)->compile(config, names); !compiled)
    return compiled.error();
  return classifier;
}

Classifier::~Classifier() {
  rte_acl_free(ipv4_);  // null is fine
  rte_acl_free(ipv6_);
}

void Classifier::classify_decoded(std::span<const DecodedPacket> packets,
                                  std::span<std::uint8_t> types) const noexcept {
  assert(packets.size() <= kMaxBurst && types.size() >= packets.size());
  KeyBatch<1> batch4;
  KeyBatch<4> batch6;
  for (std::size_t i = 0; i < packets.size(); ++i) {
    const DecodedPacket& packet = packets[i];
    types[i] = packet.ok() ? kDefaultType : other_type_;
    if (!packet.ok()) continue;
    if (packet.ip_version == 4 && has_ipv4_) batch4.add(packet, i);
    if (packet.ip_version == 6 && has_ipv6_) batch6.add(packet, i);
  }
  batch4.classify(ipv4_, types);
  batch6.classify(ipv6_, types);
}

void Classifier::classify_burst(std::span<rte_mbuf* const> burst,
                                std::span<std::uint8_t> types) const noexcept {
  std::array<DecodedPacket, kMaxBurst> packets;
  decode_burst(burst, packets.data());
  classify_decoded({packets.data(), burst.size()}, types);
}

void Classifier::classify_burst(std::span<rte_mbuf* const> burst, std::span<std::uint8_t> types,
                                std::span<std::uint32_t> flow_hashes) const noexcept {
  std::array<DecodedPacket, kMaxBurst> packets;
  decode_burst(burst, packets.data());
  classify_decoded({packets.data(), burst.size()}, types);
  for (std::size_t i = 0; i < burst.size(); ++i)
    flow_hashes[i] = flow_hash(frame_of(burst[i]), packets[i]);
}

}  // namespace hb
