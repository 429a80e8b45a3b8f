// router: forwards IPv4 by longest prefix; its route file decides the port.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <optional>

#include "nf_lib/nf.h"
#include "nfs/router/router.h"

namespace hb::router {
namespace {

class RouterNf final : public NetworkFunction {
 public:
  void add_options(CLI::App& app) override {
    app.add_option("--route-file", path_, "IPv4 routes: prefix, port, next-hop MAC per line")
        ->required();
  }

  Result<void> setup(NfContext& context) override {
    const Result<std::vector<Route>> routes = read_route_file(path_, context.n_ports());
    if (!routes) return routes.error();
    Result<Fib> fib = Fib::build(*routes);
    if (!fib) return fib.error();
    std::vector<MacAddress> port_macs(context.n_ports());
    for (std::uint32_t port = 0; port < context.n_ports(); ++port)
      std::ranges::copy(context.port_mac(port), port_macs[port].begin());
    router_.emplace(*std::move(fib), std::move(port_macs));
    return {};
  }

  void process_burst(std::span<rte_mbuf* const> burst,
                     std::span<Verdict> verdicts) noexcept override {
    router_->process_burst(burst, verdicts);
    // The port is chosen here, but NFs that the routes put behind the router come first.
    for (std::size_t i = 0; i < burst.size(); ++i) {
      if (verdicts[i].kind() != HB_VERDICT_TO_PORT) continue;
      set_out_port(packet_meta(burst[i]), verdicts[i].argument());
      verdicts[i] = Verdict::next();
    }
  }

 private:
  std::string path_;
  std::optional<Router> router_;
};

}  // namespace
}  // namespace hb::router

int main(int argc, char** argv) {
  return hb::nf_main<hb::router::RouterNf>(argc, argv,
                                           {.name = "router",
                                            .summary = "forwards IPv4 by longest prefix",
                                            .drop_reasons = hb::router::drop_names(),
                                            .sets_types = hb::NameList{},
                                            .names_services = hb::NameList{}});
}
