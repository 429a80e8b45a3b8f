// steer: treats every n-th packet differently, in one of all the ways that an NF has; can be slow.
#include <CLI/CLI.hpp>
#include <atomic>
#include <charconv>
#include <chrono>
#include <optional>

#include "nf_lib/nf.h"

namespace {

class Steer final : public hb::NetworkFunction {
 public:
  void add_options(CLI::App& app) override {
    app.add_option("--every", every_option_, "treat every n-th packet")
        ->check(CLI::Range(1, 1 << 30));
    app.add_option("--type", type_name_, "give it this packet type");
    app.add_option("--to-service", service_name_, "send it to this service");
    app.add_option("--to-port", port_, "send it out of this port");
    app.add_flag("--drop", drop_, "drop it");
    app.add_option("--burst-us", burst_us_, "spend this long on each burst");
    app.add_option("--setup-ms", setup_ms_, "spend this long on set-up");
  }

  hb::Result<void> setup(hb::NfContext& context) override {
    every_ = every_option_;
    spend(std::chrono::milliseconds(setup_ms_));
    if (!type_name_.empty()) {
      type_ = context.find_type(type_name_);
      if (!type_) return hb::Error{"no file names the type '" + type_name_ + "'", "see --type"};
    }
    if (!service_name_.empty()) {
      service_ = context.find_service(service_name_);
      if (!service_) return hb::Error{"no service '" + service_name_ + "'", "see --to-service"};
    }
    return {};
  }

  /// --every N
  hb::Result<std::string> reload(std::span<const std::string> args) override {
    std::uint64_t every = 0;
    if (args.size() == 2 && args[0] == "--every")
      std::from_chars(args[1].data(), args[1].data() + args[1].size(), every);
    if (every == 0) return hb::Error{"reload wants --every N", "N counts from 1"};
    every_.store(every, std::memory_order_relaxed);
    return "treats every " + args[1] + " packets";
  }

  void process_burst(std::span<rte_mbuf* const> burst,
                     std::span<hb::Verdict> verdicts) noexcept override {
    for (std::size_t i = 0; i < burst.size(); ++i)
      verdicts[i] = ++seen_ % every_.load(std::memory_order_relaxed) == 0 ? treat(burst[i])
                                                                          : hb::Verdict::next();
    spend(std::chrono::microseconds(burst_us_));
  }

 private:
  hb::Verdict treat(rte_mbuf* mbuf) const noexcept {
    if (type_) hb::packet_meta(mbuf).type = *type_;
    if (drop_) return hb::Verdict::drop(0);
    if (service_) return hb::Verdict::to_service(*service_);
    if (port_) return hb::Verdict::to_port(*port_);
    return hb::Verdict::next();
  }

  // Spins: a process that sleeps would never be caught at work.
  template <typename Duration>
  static void spend(Duration how_long) noexcept {
    const auto end = std::chrono::steady_clock::now() + how_long;
    while (std::chrono::steady_clock::now() < end) continue;
  }

  std::uint64_t every_option_ = 1;
  std::atomic<std::uint64_t> every_{1};
  std::uint64_t seen_ = 0;
  std::string type_name_;
  std::string service_name_;
  std::optional<std::uint8_t> type_;
  std::optional<hb::ServiceId> service_;
  std::optional<std::uint32_t> port_;
  bool drop_ = false;
  std::uint32_t burst_us_ = 0;
  std::uint32_t setup_ms_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  return hb::nf_main<Steer>(argc, argv,
                            {.name = "steer",
                             .summary = "test only: treats every n-th packet differently",
                             .drop_reasons = {"every_nth"}});
}
