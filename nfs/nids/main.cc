// The nids program: nfs/nids/README.md says how to run it.
#include "nfs/nids/nids.h"

int main(int argc, char** argv) {
  return hb::nf_main<hb::nids::Nids, hb::nids::NidsOnGpu>(
      argc, argv,
      {.name = "nids",
       .summary = "alerts on packets that match Snort or Suricata rules",
       .sets_types = hb::NameList{},
       .names_services = hb::NameList{}});
}
