#include "nfs/ipsec/ipsec.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <array>

#include "nf_lib/clock.h"
#include "nfs/ipsec/device_table.h"
#include "nfs/ipsec/sa_file.h"

namespace hb::ipsec {
namespace {

/// Limits by time have a granularity of seconds.
constexpr std::uint64_t kTickUs = 100'000;

Direction parse_direction(const std::string& word) {
  if (word == "encrypt") return Direction::kEncrypt;
  return word == "decrypt" ? Direction::kDecrypt : Direction::kBoth;
}

void log_warnings(const SaFile& file) {
  for (const std::string& warning : file.warnings) spdlog::warn("{}", warning);
}

Result<std::string> reload_path(std::span<const std::string> args, const std::string& now) {
  if (args.size() > 1)
    return Error{"reload takes one file", "give an SA file, or nothing for the same one again"};
  return args.empty() ? now : args.front();
}

std::string summary_of(const SaFile& file, const std::string& path) {
  return fmt::format("{} SAs and {} policies from '{}'", file.sas.size(), file.policies.size(),
                     path);
}

void log_counters(std::uint32_t spi, const IpAddress& dst, const SaState& state) {
  const auto get = [](const std::atomic<std::uint64_t>& n) {
    return n.load(std::memory_order_relaxed);
  };
  spdlog::info(
      "SA {:#x} to {}: {} packets, {} bytes, {} replayed, {} with a bad ICV, {} otherwise "
      "dropped",
      spi, to_string(dst), get(state.packets), get(state.bytes), get(state.replayed),
      get(state.bad_icv), get(state.dropped));
}

}  // namespace

NfDescription description() {
  NfDescription description{.name = "ipsec",
                            .summary = "seals packets into ESP tunnels and opens them again"};
  description.drop_reasons.assign(kDropNames.begin(), kDropNames.end());
  // Whatever is spread, an SA's packets must stay together, and what is to be sealed shows its SA
  // only to the policies.
  description.choice = InstanceChoice::kSingle;
  description.tick_every_us = kTickUs;
  description.surviving_bytes = SaStates::kBytes;
  return description;
}

void Options::add_to(CLI::App& app) {
  app.add_option("--sa", path,
                 "SAs and policies, as 'ip xfrm state' and 'ip xfrm policy' print or take them")
      ->required()
      ->type_name("FILE");
  app.add_option("--direction", direction,
                 "encrypt: seal all; decrypt: open all; both: open ESP to own addresses, seal the "
                 "rest")
      ->check(CLI::IsMember({"encrypt", "decrypt", "both"}))
      ->capture_default_str();
  app.add_option("--mtu", mtu, "the largest outer packet in bytes; larger ones are dropped")
      ->check(CLI::Range(128u, 65535u))
      ->capture_default_str();
  app.add_option("--ttl", ttl, "TTL or hop limit of outer headers")
      ->check(CLI::Range(1u, 255u))
      ->capture_default_str();
  app.add_flag("--decrement-ttl", decrement_ttl,
               "take one from inner TTLs, as a gateway that forwards; else a router NF does");
}

GateOptions Options::gate() const {
  return {.direction = parse_direction(direction),
          .ttl = static_cast<std::uint8_t>(ttl),
          .decrement_ttl = decrement_ttl,
          .mtu = mtu};
}

Result<void> Ipsec::setup(NfContext& context) {
  const Result<SaFile> file = read_sa_file(options_.path);
  if (!file) return file.error();
  log_warnings(*file);
  Result<Crypto> crypto = Crypto::make();
  if (!crypto) return crypto.error();
  Result<SecretIvKey> iv_key = crypto->random_iv_key();
  if (!iv_key) return iv_key.error();
  states_ = std::make_unique<SaStates>(context.surviving());
  auto engine =
      Engine::make(*file, options_.gate(), *states_, std::move(*crypto), std::move(*iv_key));
  if (!engine) return engine.error();
  engine_ = std::move(*engine);
  spdlog::info("{} SAs and {} policies from '{}', direction {}", file->sas.size(),
               file->policies.size(), options_.path, options_.direction);
  return {};
}

void Ipsec::process_burst(std::span<rte_mbuf* const> burst, std::span<Verdict> verdicts) noexcept {
  std::array<Frame, kMaxBurst> frames;
  std::array<Outcome, kMaxBurst> outcomes;
  for (std::size_t i = 0; i < burst.size(); ++i)
    frames[i] = {static_cast<std::uint8_t*>(burst[i]->buf_addr), burst[i]->buf_len,
                 burst[i]->data_off, burst[i]->data_len};
  engine_->process({frames.data(), burst.size()}, {outcomes.data(), burst.size()});
  for (std::size_t i = 0; i < burst.size(); ++i) {
    verdicts[i] = outcomes[i].passes ? Verdict::next()
                                     : Verdict::drop(static_cast<std::uint32_t>(outcomes[i].drop));
    burst[i]->data_off = static_cast<std::uint16_t>(frames[i].offset);
    burst[i]->data_len = static_cast<std::uint16_t>(frames[i].length);
    burst[i]->pkt_len = frames[i].length;
  }
}

Result<std::string> Ipsec::reload(std::span<const std::string> args) {
  const Result<std::string> path = reload_path(args, options_.path);
  if (!path) return path;
  const Result<SaFile> file = read_sa_file(*path);
  if (!file) return file.error();
  log_warnings(*file);
  if (const Result<void> reloaded = engine_->reload(*file); !reloaded) return reloaded.error();
  options_.path = *path;
  return summary_of(*file, *path);
}

void Ipsec::tick(std::uint64_t) noexcept {
  engine_->take_reloaded();
  for (const std::string& line : engine_->table().check_limits(wall_clock_ns()))
    spdlog::warn("{}", line);
}

void Ipsec::tear_down() noexcept {
  if (engine_ == nullptr) return;
  for (const Sa& sa : engine_->table().sas()) log_counters(sa.wire.spi, sa.dst, *sa.state);
  engine_.reset();  // keys are wiped here, reserved sequence numbers given back
}

Result<void> IpsecOnGpu::setup(NfContext& context) {
  Result<SaFile> file = read_sa_file(options_.path);
  if (!file) return file.error();
  log_warnings(*file);
  states_ = std::make_unique<SaStates>(context.surviving());
  file_ = std::move(*file);
  spdlog::info("{}, direction {}", summary_of(*file_, options_.path), options_.direction);
  return {};
}

Result<MemoryFile> IpsecOnGpu::table_file() {
  const Result<Crypto> crypto = Crypto::make();
  if (!crypto) return crypto.error();
  const Result<SecretIvKey> iv_key = crypto->random_iv_key();
  if (!iv_key) return iv_key.error();
  // Also makes records and says what can't be, before gpu_host does.
  const auto gate = Gate::make(gate_config(*file_, options_.gate(), *crypto), *states_);
  if (!gate) return gate.error();
  return MemoryFile::make("hummingbird-table",
                          build_device_table(*file_, options_.gate(), *crypto, iv_key->front()));
}

Result<std::string> IpsecOnGpu::reload(std::span<const std::string> args) {
  const Result<std::string> path = reload_path(args, options_.path);
  if (!path) return path;
  Result<SaFile> file = read_sa_file(*path);
  if (!file) return file.error();
  log_warnings(*file);
  before_ = std::exchange(file_, std::move(*file));
  path_before_ = std::exchange(options_.path, *path);
  return summary_of(*file_, *path);
}

void IpsecOnGpu::on_replaced(bool in_force) {
  if (!in_force) {
    file_ = std::move(before_);
    options_.path = path_before_;
  }
  before_.reset();
}

void IpsecOnGpu::tear_down() noexcept {
  const Result<Crypto> crypto = Crypto::make();
  if (!crypto || !file_) return;
  for (const SaConfig& sa : file_->sas)
    if (const SaState* const state = states_->find_or_add(crypto->identify(sa), wall_clock_ns()))
      log_counters(sa.spi, sa.dst, *state);
  file_.reset();  // keys are wiped here
}

}  // namespace hb::ipsec
