// The nids program: nfs/nids/README.md says how to run it.
#include "nfs/nids/nids.h"

int main(int argc, char** argv) {
  return hb::nf_main<hb::nids::Nids, hb::nids::NidsOnGpu>(
      argc, argv,
      {.name = "nids",
       .summary = "alerts on packets that match Snort or Suricata rules, or drops them",
       .drop_reasons = {"drop_rule", "reject_rule", "hit"},  // NidsDrop
       .tick_every_us = 1000,
       .names_services = hb::NameList{}});
}
