#include "onvm_compat/statistics.h"

#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <string>
#include <utility>

namespace hb::onvm {
namespace {

using Counter = std::pair<const char*, std::uint64_t>;

std::array<Counter, 11> counters(const onvm_nf& nf) {
  const auto& s = nf.stats;
  return {{{"rx", s.rx},
           {"rx_drop", s.rx_drop},
           {"tx", s.tx},
           {"tx_drop", s.tx_drop},
           {"tx_buffer", s.tx_buffer},
           {"tx_returned", s.tx_returned},
           {"act_out", s.act_out},
           {"act_tonf", s.act_tonf},
           {"act_drop", s.act_drop},
           {"act_next", s.act_next},
           {"act_buffer", s.act_buffer}}};
}

}  // namespace

void print_statistics(const onvm_nf& nf) {
  fmt::print("NF {} (service {}, instance {})\n", nf.tag, nf.service_id, nf.instance_id);
  for (const auto& [name, value] : counters(nf)) fmt::print("  {:<12}{}\n", name, value);
  std::fflush(stdout);
}

void write_statistics(const onvm_nf& nf) {
  print_statistics(nf);
  std::string path = std::string(nf.tag) + "_stats.csv";
  for (char& c : path)
    if (c == '/') c = '_';
  std::ofstream file(path);
  file << "tag,service_id,instance_id";
  for (const auto& [name, value] : counters(nf)) file << ',' << name;
  file << '\n' << nf.tag << ',' << nf.service_id << ',' << nf.instance_id;
  for (const auto& [name, value] : counters(nf)) file << ',' << value;
  file << '\n';
  if (!file.flush()) fmt::print(stderr, "warning: '{}' can't be written\n", path);
}

}  // namespace hb::onvm
