#include "nf_lib/esp/sa_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/esp_headers.h"
#include "nf_lib/clock.h"

namespace hb::ipsec {
namespace {

constexpr std::uint32_t kNone = ~0u;
/// Numbers reserved at once: a kill skips at most these, and shared memory is written once for so
/// many packets.
constexpr std::uint64_t kSequenceChunk = 1024;

std::uint32_t spread(std::uint32_t spi) { return spi * 0x9e3779b1u; }  // Knuth's multiplier

bool fits(const PolicyConfig& policy, const Sa& sa) {
  return (policy.tunnel_src.version == 0 || policy.tunnel_src == sa.src) &&
         (policy.tunnel_dst.version == 0 || policy.tunnel_dst == sa.dst) &&
         (policy.reqid == 0 || policy.reqid == sa.reqid) &&
         (policy.spi == 0 || policy.spi == sa.wire.spi);
}

}  // namespace

HbEspSa make_wire(const SaParameters& config, const GateOptions& options) {
  HbEspSa wire{};
  const bool is_gcm = config.algorithm == Algorithm::kAesGcm;
  wire.spi = config.spi;
  wire.iv_bytes = is_gcm ? 8 : 16;
  wire.block_bytes = is_gcm ? 4 : 16;
  wire.icv_bytes = config.algorithm == Algorithm::kAesCbcSha1 ? 12 : 16;
  wire.flags = (config.flags.esn ? HB_ESP_ESN : 0) | (config.flags.noecn ? HB_ESP_NOECN : 0) |
               (config.flags.nopmtudisc ? HB_ESP_CLEAR_DF : 0) |
               (config.flags.decap_dscp ? HB_ESP_DECAP_DSCP : 0) |
               (config.flags.zero_dscp ? HB_ESP_ZERO_DSCP : 0) | (is_gcm ? HB_ESP_GCM : 0) |
               (config.algorithm == Algorithm::kAesCbcSha256 ? HB_ESP_SHA256 : 0) |
               (options.decrement_ttl ? HB_ESP_DECREMENT : 0);
  if (config.dst.version == 4) {
    wire.outer_bytes = 20;
    wire.outer[0] = 0x45;
    wire.outer[8] = options.ttl;
    wire.outer[9] = HB_ESP_PROTOCOL;
    std::memcpy(wire.outer + 12, config.src.bytes.data(), 4);
    std::memcpy(wire.outer + 16, config.dst.bytes.data(), 4);
    hb_put_be16(wire.outer + 10, hb_ip4_checksum(wire.outer, wire.outer_bytes));
  } else {
    wire.outer_bytes = 40;
    wire.outer[0] = 0x60;
    wire.outer[6] = HB_ESP_PROTOCOL;
    wire.outer[7] = options.ttl;
    std::memcpy(wire.outer + 8, config.src.bytes.data(), 16);
    std::memcpy(wire.outer + 24, config.dst.bytes.data(), 16);
  }
  return wire;
}

Result<std::unique_ptr<SaTable>> SaTable::make(const GateConfig& config, SaStates& states) {
  std::unique_ptr<SaTable> table(new SaTable);
  if (const auto added = table->add_sas(config, states); !added) return added.error();
  if (const auto added = table->add_policies(config); !added) return added.error();
  return table;
}

void SaTable::give_back() noexcept {
  for (Sa& sa : sas_) sa.sequence.give_back();
}

Result<void> SaTable::add_sas(const GateConfig& all, SaStates& states) {
  sas_ = std::vector<Sa>(all.sas.size());
  for (std::size_t i = 0; i < all.sas.size(); ++i) {
    const SaParameters& config = all.sas[i];
    Sa& sa = sas_[i];
    sa.wire = make_wire(config, all.options);
    sa.index = static_cast<std::uint32_t>(i);
    sa.state = states.find_or_add(all.ids[i], wall_clock_ns());
    if (sa.state == nullptr)
      return Error{
          fmt::format("{}:{}: there is no room for another SA's sequence numbers", all.name,
                      config.line),
          fmt::format("restart the manager: it keeps those of {} SAs, all that it has seen",
                      SaStates::kRecords)};
    // Where the file says that the SA stands counts once: from then on the record knows better. A
    // record that isn't ready yet is no other table's.
    if (sa.state->ready.load(std::memory_order_acquire) == 0) {
      sa.state->reserved.store(config.last_sent, std::memory_order_relaxed);
      sa.state->window.start_after(config.last_received);
      sa.state->ready.store(1, std::memory_order_release);
    }
    sa.sequence = ReservedCounter(&sa.state->reserved, kSequenceChunk);
    sa.window = config.replay_window;
    sa.reqid = config.reqid;
    sa.src = config.src;
    sa.dst = config.dst;
    sa.selector = config.selector;
    sa.limits = config.limits;
  }
  return {};
}

Result<void> SaTable::add_policies(const GateConfig& file) {
  const Direction direction = file.options.direction;
  std::vector<bool> is_inbound(sas_.size(), true);
  const bool has_outbound = std::ranges::any_of(
      file.policies, [](const PolicyConfig& p) { return p.direction == PolicyDirection::kOut; });
  if (direction == Direction::kBoth && !has_outbound)
    return Error{file.name + ": no policy with dir out says what is to be encrypted",
                 "add what 'ip xfrm policy' prints, or give --direction encrypt or decrypt"};
  for (const PolicyConfig& policy : file.policies) {
    if (policy.direction == PolicyDirection::kIn) {
      inbound_policies_.push_back(policy);
      continue;
    }
    OutboundPolicy out{policy.selector, policy.action, {}};
    for (std::size_t i = 0; policy.action == PolicyAction::kProtect && i < sas_.size(); ++i) {
      if (!fits(policy, sas_[i])) continue;
      out.sas.push_back(static_cast<std::uint32_t>(i));
      // What is sealed with an SA of one's own goes away from here: nothing of it comes in.
      if (direction == Direction::kBoth) is_inbound[i] = false;
    }
    outbound_.push_back(std::move(out));
  }
  if (!has_outbound) {
    for (std::size_t i = 0; i < sas_.size(); ++i)
      outbound_.push_back({sas_[i].selector.value_or(Selector{}),
                           PolicyAction::kProtect,
                           {static_cast<std::uint32_t>(i)}});
  }
  for (const PolicyConfig& policy : inbound_policies_)
    for (std::size_t i = 0; i < sas_.size(); ++i)
      if (policy.action == PolicyAction::kProtect && fits(policy, sas_[i])) is_inbound[i] = true;
  index_inbound(is_inbound);
  outbound_cache_ = PolicyCache(outbound_.size());
  inbound_cache_ = PolicyCache(inbound_policies_.size());
  return {};
}

void SaTable::index_inbound(const std::vector<bool>& is_inbound) {
  by_spi_.assign(std::bit_ceil(2 * sas_.size()), kNone);
  const std::size_t mask = by_spi_.size() - 1;
  for (std::size_t i = 0; i < sas_.size(); ++i) {
    if (!is_inbound[i]) continue;
    std::size_t at = spread(sas_[i].wire.spi) & mask;
    while (by_spi_[at] != kNone) at = (at + 1) & mask;
    by_spi_[at] = static_cast<std::uint32_t>(i);
    if (std::ranges::find(own_addresses_, sas_[i].dst) == own_addresses_.end())
      own_addresses_.push_back(sas_[i].dst);
  }
}

Sa* SaTable::find_inbound(std::uint32_t spi, std::uint8_t version,
                          const std::uint8_t* dst) noexcept {
  const std::size_t mask = by_spi_.size() - 1;
  for (std::size_t at = spread(spi) & mask; by_spi_[at] != kNone; at = (at + 1) & mask) {
    Sa& sa = sas_[by_spi_[at]];
    if (sa.wire.spi == spi && sa.dst.version == version &&
        std::memcmp(sa.dst.bytes.data(), dst, version == 4 ? 4 : 16) == 0)
      return &sa;
  }
  return nullptr;
}

bool SaTable::is_own_address(std::uint8_t version, const std::uint8_t* dst) const noexcept {
  return std::ranges::any_of(own_addresses_, [&](const IpAddress& own) {
    return own.version == version && std::memcmp(own.bytes.data(), dst, version == 4 ? 4 : 16) == 0;
  });
}

PolicyMatch SaTable::match_outbound(const SelectorKey& key) const noexcept {
  for (std::uint32_t i = 0; i < outbound_.size(); ++i) {
    const OutboundPolicy& policy = outbound_[i];
    if (!policy.selector.matches(key)) continue;
    std::uint32_t n = 0;
    while (n < policy.sas.size() && !sas_[policy.sas[n]].takes(key)) ++n;
    return {i, n, n < policy.sas.size() ? policy.sas[n] : PolicyMatch::kNone};
  }
  return {};
}

Choice SaTable::choose_outbound(const SelectorKey& key) noexcept {
  const PolicyMatch& match = find_match(key);
  if (match.policy == PolicyMatch::kNone) return {};
  const OutboundPolicy& policy = outbound_[match.policy];
  Choice choice{nullptr, policy.action, true, false};
  for (std::size_t n = match.candidate; n < policy.sas.size(); ++n) {
    Sa& sa = sas_[policy.sas[n]];
    if (n != match.candidate && !sa.takes(key)) continue;
    // A spent SA is the answer only if no other is left, so that its drops have their reason.
    if (!sa.is_spent()) return {&sa, policy.action, true, false};
    if (choice.sa == nullptr) choice = {&sa, policy.action, true, true};
  }
  return choice;
}

const PolicyConfig* SaTable::match_inbound(const SelectorKey& key) noexcept {
  const PolicyMatch& match = inbound_cache_.find(key, [this](const SelectorKey& k) {
    const auto policy = std::ranges::find_if(
        inbound_policies_, [&](const PolicyConfig& p) { return p.selector.matches(k); });
    return policy == inbound_policies_.end()
               ? PolicyMatch{}
               : PolicyMatch{.policy =
                                 static_cast<std::uint32_t>(policy - inbound_policies_.begin())};
  });
  return match.policy == PolicyMatch::kNone ? nullptr : &inbound_policies_[match.policy];
}

bool SaTable::may_come_through(const Sa& sa, const SelectorKey& key) noexcept {
  if (!sa.takes(key)) return false;
  if (inbound_policies_.empty()) return true;
  const PolicyConfig* const policy = match_inbound(key);
  return policy != nullptr && policy->action == PolicyAction::kProtect && fits(*policy, sa);
}

Choice SaTable::choose_unprotected(const SelectorKey& key) noexcept {
  const PolicyConfig* const policy = match_inbound(key);
  if (policy == nullptr) return {};
  const bool optional = policy->action == PolicyAction::kProtect && policy->optional;
  return {nullptr, optional ? PolicyAction::kBypass : policy->action, true, false};
}

std::vector<std::string> SaTable::check_limits(std::uint64_t now_ns) {
  constexpr std::uint64_t kSecond = 1'000'000'000;
  std::vector<std::string> lines;
  for (Sa& sa : sas_) {
    const std::uint64_t packets = sa.state->packets.load(std::memory_order_relaxed);
    const std::uint64_t bytes = sa.state->bytes.load(std::memory_order_relaxed);
    const std::uint64_t created = sa.state->created.load(std::memory_order_relaxed);
    if (packets != 0 && sa.state->first_use.load(std::memory_order_relaxed) == 0)
      sa.state->first_use.store(now_ns, std::memory_order_relaxed);
    const std::uint64_t used = sa.state->first_use.load(std::memory_order_relaxed);
    const auto passed = [&](std::uint64_t from_ns, std::uint64_t seconds) {
      return seconds != 0 && from_ns != 0 && now_ns > from_ns &&
             now_ns - from_ns >= seconds * kSecond;
    };
    const Limits& l = sa.limits;
    sa.expired.store(passed(created, l.hard_seconds) || passed(used, l.hard_use_seconds),
                     std::memory_order_relaxed);
    const auto tell = [&](bool reached, bool& reported, const char* what) {
      if (!reached || reported) return;
      reported = true;
      lines.push_back(fmt::format("SA {:#x} to {}: {} after {} packets, {} bytes", sa.wire.spi,
                                  to_string(sa.dst), what, packets, bytes));
    };
    tell(packets >= l.soft_packets || bytes >= l.soft_bytes || passed(created, l.soft_seconds) ||
             passed(used, l.soft_use_seconds),
         sa.soft_reported, "a soft limit is reached, replace it soon");
    tell(sa.is_spent(), sa.hard_reported, "a hard limit is reached, its packets are dropped");
  }
  return lines;
}

}  // namespace hb::ipsec
