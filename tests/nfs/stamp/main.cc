// stamp: writes into each packet who it was and which route version judged the packet: a trail of
// (letter, version) pairs behind a count, at a fixed offset. Can be slow.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>

#include "nf_lib/nf.h"

namespace {

constexpr std::uint32_t kCountOffset = 54;
constexpr std::uint32_t kTrailOffset = 55;
constexpr std::uint32_t kMaxEntries = 8;

class Stamp final : public hb::NetworkFunction {
 public:
  void add_options(CLI::App& app) override {
    app.add_option("--letter", letter_, "what to write")->required();
    app.add_option("--burst-us", burst_us_, "spend this long on each burst");
  }

  void process_burst(std::span<rte_mbuf* const> burst,
                     std::span<hb::Verdict> verdicts) noexcept override {
    for (std::size_t i = 0; i < burst.size(); ++i) {
      verdicts[i] = hb::Verdict::next();
      if (burst[i]->data_len < kTrailOffset + 2 * kMaxEntries) continue;
      auto* const bytes = rte_pktmbuf_mtod(burst[i], std::uint8_t*);
      const std::uint32_t n = bytes[kCountOffset]++;
      if (n >= kMaxEntries) continue;
      bytes[kTrailOffset + 2 * n] = static_cast<std::uint8_t>(letter_.front());
      bytes[kTrailOffset + 2 * n + 1] = hb::packet_meta(burst[i]).route_version;
    }
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(burst_us_);
    while (std::chrono::steady_clock::now() < end) continue;
  }

 private:
  std::string letter_;
  std::uint32_t burst_us_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  return hb::nf_main<Stamp>(argc, argv,
                            {.name = "stamp",
                             .summary = "test only: writes into packets who had them",
                             .sets_types = hb::NameList{},
                             .names_services = hb::NameList{}});
}
