// The nids program: nfs/nids/README.md says how to run it.
#include <algorithm>
#include <string_view>

#include "nfs/nids/nids.h"

int main(int argc, char** argv) {
  hb::NfDescription nids{
      .name = "nids",
      .summary = "alerts on packets that match Snort or Suricata rules, or drops them",
      .drop_reasons = {"drop_rule", "reject_rule", "hit"},     // NidsDrop
      .counters = {"alerts", "alerts_lost", "pcre_given_up"},  // NidsCounter
      .tick_every_us = 1000,
      .sets_types = hb::NameList{},
      .names_services = hb::NameList{}};
  const auto sets_type = [](std::string_view word) { return word.starts_with("--hit-type"); };
  if (std::any_of(argv + 1, argv + argc, sets_type)) nids.sets_types.reset();  // the one it names
  return hb::nf_main<hb::nids::Nids, hb::nids::NidsOnGpu>(argc, argv, nids);
}
