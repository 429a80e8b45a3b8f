#include "nfs/ipsec/ipsec.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <array>

#include "nf_lib/clock.h"

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

void Ipsec::add_options(CLI::App& app) {
  app.add_option("--sa", path_,
                 "SAs and policies, as 'ip xfrm state' and 'ip xfrm policy' print or take them")
      ->required()
      ->type_name("FILE");
  app.add_option("--direction", direction_,
                 "encrypt: seal all; decrypt: open all; both: open ESP to own addresses, seal the "
                 "rest")
      ->check(CLI::IsMember({"encrypt", "decrypt", "both"}))
      ->capture_default_str();
  app.add_option("--mtu", mtu_, "the largest outer packet in bytes; larger ones are dropped")
      ->check(CLI::Range(128u, 65535u))
      ->capture_default_str();
  app.add_option("--ttl", ttl_, "TTL or hop limit of outer headers")
      ->check(CLI::Range(1u, 255u))
      ->capture_default_str();
  app.add_flag("--decrement-ttl", decrement_ttl_,
               "take one from inner TTLs, as a gateway that forwards; else a router NF does");
}

Result<void> Ipsec::setup(NfContext& context) {
  const Result<SaFile> file = read_sa_file(path_);
  if (!file) return file.error();
  log_warnings(*file);
  Result<Crypto> crypto = Crypto::make();
  if (!crypto) return crypto.error();
  Result<IvGenerator> ivs = IvGenerator::random();
  if (!ivs) return ivs.error();
  states_ = std::make_unique<SaStates>(context.surviving());
  const EngineOptions options{.table = {.direction = parse_direction(direction_),
                                        .ttl = static_cast<std::uint8_t>(ttl_),
                                        .decrement_ttl = decrement_ttl_},
                              .mtu = mtu_};
  auto engine = Engine::make(*file, options, *states_, std::move(*crypto), std::move(*ivs));
  if (!engine) return engine.error();
  engine_ = std::move(*engine);
  spdlog::info("{} SAs and {} policies from '{}', direction {}", file->sas.size(),
               file->policies.size(), path_, direction_);
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
  if (args.size() > 1)
    return Error{"reload takes one file", "give an SA file, or nothing for the same one again"};
  const std::string path = args.empty() ? path_ : args.front();
  const Result<SaFile> file = read_sa_file(path);
  if (!file) return file.error();
  log_warnings(*file);
  if (const Result<void> reloaded = engine_->reload(*file); !reloaded) return reloaded.error();
  path_ = path;
  return fmt::format("{} SAs and {} policies from '{}'", file->sas.size(), file->policies.size(),
                     path);
}

void Ipsec::tick(std::uint64_t) noexcept {
  engine_->take_reloaded();
  for (const std::string& line : engine_->table().check_limits(wall_clock_ns()))
    spdlog::warn("{}", line);
}

void Ipsec::tear_down() noexcept {
  if (engine_ == nullptr) return;
  for (const Sa& sa : engine_->table().sas()) {
    const auto get = [](const std::atomic<std::uint64_t>& n) {
      return n.load(std::memory_order_relaxed);
    };
    spdlog::info(
        "SA {:#x} to {}: {} packets, {} bytes, {} replayed, {} with a bad ICV, {} otherwise "
        "dropped",
        sa.wire.spi, to_string(sa.dst), get(sa.state->packets), get(sa.state->bytes),
        get(sa.state->replayed), get(sa.state->bad_icv), get(sa.state->dropped));
  }
  engine_.reset();  // keys are wiped here, reserved sequence numbers given back
}

}  // namespace hb::ipsec
